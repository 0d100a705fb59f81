package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// view shows once a second what production and the target received: a table
// that is drawn again and again on a terminal, lines elsewhere.
type view struct {
	out      io.Writer
	terminal bool
	testbed  *testbed.Testbed
	length   time.Duration
	began    time.Time
	last     []int // counts a second ago
	drawn    bool
	ended    chan struct{}

	mu  sync.Mutex
	p99 [2]int // of each load, microseconds
}

func newView(out io.Writer, terminal bool, s *testbed.Testbed, length time.Duration) *view {
	return &view{out: out, terminal: terminal, testbed: s, length: length, began: time.Now(), ended: make(chan struct{}),
		last: make([]int, len(s.Online)+len(s.Target))}
}

// latency takes a load's last second.
func (v *view) latency(i int, s load.Stat) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.p99[i] = s.P99
}

// run shows until done.
func (v *view) run(ctx context.Context, done <-chan struct{}) {
	defer close(v.ended)
	time.Sleep(100 * time.Millisecond) // so that a load's second is told before it is shown
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			v.show()
		case <-done:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (v *view) wait() { <-v.ended }

func (v *view) show() {
	servers := append(append([]*testbed.Server{}, v.testbed.Online...), v.testbed.Target...)
	counts := make([]int, len(servers))
	for i := len(servers) - 1; i >= 0; i-- { // the target first: no copy is ahead of its request
		counts[i] = servers[i].Count()
	}
	var names, rates, totals strings.Builder
	online, target := 0, 0
	for i, s := range servers {
		if i == len(v.testbed.Online) {
			for _, line := range []*strings.Builder{&names, &rates, &totals} {
				line.WriteString("  |")
			}
		}
		if i < len(v.testbed.Online) {
			online += counts[i]
		} else {
			target += counts[i]
		}
		fmt.Fprintf(&names, "%8s", strings.ToUpper(s.Host.Name))
		fmt.Fprintf(&rates, "%8d", counts[i]-v.last[i])
		fmt.Fprintf(&totals, "%8d", counts[i])
	}
	v.last = counts
	v.mu.Lock()
	p99 := float64(max(v.p99[0], v.p99[1])) / 1000
	v.mu.Unlock()
	copied := 100 * float64(target) / float64(max(1, online))
	at := time.Since(v.began).Round(time.Second)
	if v.terminal {
		if v.drawn {
			fmt.Fprint(v.out, "\x1b[4A") // up four lines, to draw over them
		}
		fmt.Fprintf(v.out, "\x1b[K%10s%s\n\x1b[K%10s%s\n\x1b[K%10s%s\n", "", &names, "per second", &rates, "total", &totals)
		fmt.Fprintf(v.out, "\x1b[K%10s  copied %.2f %%, production's p99 %.1f ms, %v of %v\n", "", copied, p99, at, v.length)
	} else {
		if !v.drawn {
			fmt.Fprintf(v.out, "%10s%s  |  copied  production's p99\n", "requests/s", &names)
		}
		fmt.Fprintf(v.out, "%10v%s  | %6.2f %%  %.1f ms\n", at, &rates, copied, p99)
	}
	v.drawn = true
}
