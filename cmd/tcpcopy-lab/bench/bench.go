// Package bench measures tcpcopy and intercept as processes in the lab: what a
// copy costs, how late it is, what it does to production. A second pair of
// binaries with the same command line, the peer, takes its turn in the same
// run.
package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// Config says what to measure.
type Config struct {
	Programs testbed.Programs
	Peer     testbed.Programs // no Tcpcopy: no peer
	// PeerReplayer is the peer's tcpcopy for recordings, where it is another one.
	PeerReplayer string
	Rows         []string      // names of Rows
	Runs         int           // of each row and side; the medians are reported
	Duration     time.Duration // of a load
}

// A Side is one of those whose copies are compared.
type Side string

const (
	Ours  Side = "ours"
	Peer  Side = "peer"
	Alone Side = "alone" // production without a copy
)

// Run measures, and tells each result as it comes.
func Run(ctx context.Context, c Config, progress io.Writer) (*Report, error) {
	r := &Report{Machine: machine(), Date: time.Now().Format(time.DateOnly), Runs: c.Runs, Seconds: c.Duration.Seconds()}
	for _, name := range c.Rows {
		i := slices.IndexFunc(rows, func(w row) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("bench: no row %q; there are %q", name, Rows())
		}
		w := rows[i]
		result := Result{Row: w.name, Samples: map[Side][]Values{}}
		for run := range c.Runs {
			sides := w.sides(c)
			if run%2 == 1 { // what is first may find another machine than what is last
				slices.Reverse(sides)
			}
			for _, s := range sides {
				v, err := w.runOnce(ctx, c, s)
				if err != nil {
					return nil, fmt.Errorf("bench: %s, %s: %w", w.name, s, err)
				}
				result.Samples[s] = append(result.Samples[s], v)
				fmt.Fprintf(progress, "%s, %s %d of %d: %v\n", w.name, s, run+1, c.Runs, v)
			}
		}
		r.Results = append(r.Results, result)
	}
	return r, nil
}

func (w row) sides(c Config) []Side {
	sides := []Side{Ours}
	if c.Peer.Tcpcopy != "" && (w.speed == "" || c.PeerReplayer != "") {
		sides = append(sides, Peer)
	}
	if w.alone {
		sides = append(sides, Alone)
	}
	return sides
}

// runOnce measures a row once, on a testbed of its own, so that connections which
// one copy leaves behind at the target do not disturb the next.
func (w row) runOnce(ctx context.Context, c Config, who Side) (Values, error) {
	o := testbed.Small{}
	o.Offload, o.ThreadedReceive, o.Assistants = w.offload, w.threadedReceive, 1
	o.Padding, o.Target = w.padding[0], &testbed.Origin{Padding: w.padding[1]}
	s, err := testbed.NewSmall(ctx, c.Programs, o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	w.load.Duration = cmp.Or(w.load.Duration, c.Duration)
	if w.speed != "" {
		return replay(ctx, w, s, c, who)
	}
	var p *pair
	switch who {
	case Ours:
		p, err = start(ctx, s, c.Programs)
	case Peer:
		p, err = start(ctx, s, c.Peer)
	}
	if err != nil {
		return nil, err
	}
	return w.measure(ctx, w, s, p)
}
