package matrix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// clientsAtMost is how long the clients of a cell may take.
const clientsAtMost = 60 * time.Second

// quietAtMost is how long the target may log nothing before what is missing is
// taken for lost, and waitAtMost how long a cell waits in all.
const (
	quietAtMost = 6 * time.Second
	waitAtMost  = 20 * time.Second
)

// settled is how long the target must log nothing new before it is taken to
// have everything, and nothing twice.
const settled = 300 * time.Millisecond

// A cell is a client with a server.
type cell struct {
	row    row
	column column
	*testbed.Testbed
	clients []*lab.Process // that run
	started int
}

// A server tells what it was asked for so far. partial counts requests that it
// did not serve to their end.
type server func() (served Tally, partial int, err error)

// measure runs the cell on a testbed of its own.
func (c *cell) measure(ctx context.Context, programs testbed.Programs) *Result {
	r := &Result{Row: c.row.name, Column: c.column.name}
	if err := c.runOn(ctx, programs, r); err != nil {
		r.Error = err.Error()
	}
	return r
}

func (c *cell) runOn(ctx context.Context, programs testbed.Programs, r *Result) (err error) {
	c.Testbed, err = testbed.NewSmall(ctx, programs, testbed.Small{
		Options: lab.Options{Offload: true, Assistants: 1, Backend: c.row.backend},
		Port:    c.row.port, CaptureLoss: c.column.captureLoss,
		// Two cores for all of this leave uploads in the rings. With the default of
		// 128 MiB a packet is lost each time that bytes fill one to its very end
		// (docs/limits.md); what rings bridge is another test's.
		Args: []string{"-B", "512"},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	online, target, err := c.row.start(ctx, c)
	if err != nil {
		return err
	}
	clients, cancel := context.WithTimeout(ctx, clientsAtMost)
	defer cancel()
	if c.column.before != nil {
		if err := c.column.before(clients, c); err != nil {
			return err
		}
	}
	if err := c.StartCopy(ctx); err != nil {
		return err
	}
	var truth *recordings
	if c.column.captureLoss > 0 {
		if truth, err = c.record(ctx); err != nil {
			return err
		}
	}
	before, err := c.connections()
	if err != nil {
		return err
	}
	if err := c.column.run(clients, c); err != nil {
		return err
	}
	if err := c.compare(ctx, r, online, target, truth); err != nil {
		return err
	}
	if truth != nil {
		if r.Misbegun, err = truth.misbegun(); err != nil {
			return err
		}
	}
	after, err := c.connections()
	if err != nil {
		return err
	}
	r.OnlineConnections, r.TargetConnections = after[0]-before[0], after[1]-before[1]
	return c.counters(r)
}

// compare waits until everything has arrived, or nothing more does, and counts.
// The load has just ended.
func (c *cell) compare(ctx context.Context, r *Result, online, target server, truth *recordings) error {
	began := time.Now()
	came, counted := began, 0 // when the target's log grew last, and to how many
	expected := func(string) bool { return true }
	for {
		all, _, err := online()
		if err != nil {
			return err
		}
		got, partial, err := target()
		if err != nil {
			return err
		}
		all, got = all.selected(c.column.counts), got.selected(c.column.counts)
		if n := got.Total(); n != counted {
			counted, came = n, time.Now()
		}
		quiet, givenUp := time.Since(came), time.Since(began) > waitAtMost
		if truth != nil && (quiet > settled || givenUp) { // to end recordings takes seconds
			if expected, err = truth.whole(); err != nil {
				return err
			}
			truth = nil
			continue
		}
		want := all.selected(expected)
		r.Online, r.Expected, r.Target, r.Partial = all.Total(), want.Total(), got.Total(), partial
		r.Missing, _, _ = difference(want, got)
		_, r.Duplicated, r.Foreign = difference(all, got)
		r.Altered = got.selected(func(request string) bool { return all[request] > 0 && !expected(request) }).Total()
		r.Late = came.Sub(began).Seconds()
		if truth == nil && (r.Missing == 0 && quiet > settled || quiet > quietAtMost || givenUp) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// connections are those that production and the target have accepted.
func (c *cell) connections() (n [2]int, err error) {
	for i, h := range []*lab.Host{c.Online[0].Host, c.Target[0].Host} {
		if n[i], err = h.Accepted(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// counters reads what tcpcopy says of its work.
func (c *cell) counters(r *Result) error {
	m, err := c.Copiers[0].Metrics()
	if err != nil {
		return err
	}
	turns := m.By("tcpcopy_turns_total", "result")
	r.TurnsCopied, r.TurnsUnanswered, r.TurnsLost = int(turns["copied"]), int(turns["unanswered"]), int(turns["lost"])
	r.Reopened = int(m.Sum("tcpcopy_sessions_reopened_total"))
	r.KernelDrops = int(m.Sum("tcpcopy_capture_kernel_drops_total"))
	return nil
}

// start starts a client.
func (c *cell) start(command lab.Command) (*lab.Process, error) {
	c.started++
	command.Name = fmt.Sprintf("%s%d", filepath.Base(command.Args[0]), c.started)
	p, err := c.Client.Start(command)
	if err == nil {
		c.clients = append(c.clients, p)
	}
	return p, err
}

// wait waits for the clients that were started, all of which must succeed.
func (c *cell) wait(ctx context.Context) error {
	for _, p := range c.clients {
		select {
		case <-p.Done:
		case <-ctx.Done():
			return fmt.Errorf("%s does not end: %w\n%s", p.Name, ctx.Err(), p.Tail(5))
		}
		if status, err := p.Wait(); err != nil || status != 0 {
			return fmt.Errorf("%s: exit status %d, %v\n%s", p.Name, status, err, p.Tail(5))
		}
	}
	c.clients = nil
	return nil
}

// run runs a client to its end.
func (c *cell) run(ctx context.Context, args ...string) error {
	if _, err := c.start(lab.Command{Args: args}); err != nil {
		return err
	}
	return c.wait(ctx)
}

// file writes a file of the cell and returns its path.
func (c *cell) file(name, text string) (string, error) {
	path := filepath.Join(c.Lab.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// dir makes a directory of a host's server.
func (c *cell) dir(h *lab.Host) (string, error) {
	path := filepath.Join(c.Lab.Dir, h.Name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o777) // servers that give root up write here
}
