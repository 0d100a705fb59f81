package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/stage"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// As fast as production answers, which shares the machine with the copy.
func TestManyConnectionsInAClosedLoopAreCopied(t *testing.T) {
	p := small(t, usual)
	p.copy()
	report := p.wait(p.load(load.Config{Conns: 4000, Duration: span(5 * time.Second)}))
	ended := time.Now()
	r := p.judge(verdict.Rules{})
	p.exact(r)
	p.Logf("production: %.0f requests/s, latency p50 %d us, p99 %d us; copied %v after the load",
		report.Rate(), report.P50, report.P99, time.Since(ended).Round(100*time.Millisecond))
	p.end()
}

// Each copy of a connection brings every request of it, once and in order.
func TestEveryCopyOfAConnectionIsWhole(t *testing.T) {
	for _, c := range []struct {
		copies int
		load   load.Config
	}{
		{10, load.Config{Conns: 50, Rate: 300}},
		{10, load.Config{Conns: 100, Rate: 100, Close: "server"}},
		{100, load.Config{Conns: 50, Rate: 50}},
	} {
		name := fmt.Sprintf("%d copies", c.copies)
		if c.load.Close != "" {
			name += ", short"
		}
		t.Run(name, func(t *testing.T) {
			p := small(t, stage.Small{Options: lab.Options{Offload: true}, Args: []string{"-n", fmt.Sprint(c.copies)}})
			p.copy()
			c.load.Duration = span(5 * time.Second)
			p.wait(p.load(c.load))
			p.same(func() (lines []string) {
				for _, line := range p.requests(p.Online[0], false) {
					for range c.copies {
						lines = append(lines, line)
					}
				}
				return lines
			}, func() []string { return p.requests(p.Target[0], false) })
			m, err := p.Copiers[0].Metrics()
			p.must(err)
			if got := m.Sum("tcpcopy_copies_achieved"); got != float64(c.copies) {
				p.Errorf("tcpcopy says that it achieved %v copies of a connection, want %d", got, c.copies)
			}
			p.end()
		})
	}
}

// Sessions are whole ones: where they do not suffice, tcpcopy makes fewer
// copies and says how many.
func TestCopiesBeyondTheLimitAreRefusedAndCounted(t *testing.T) {
	p := small(t, stage.Small{Options: lab.Options{Offload: true}, Args: []string{"-n", "10", "--max-sessions", "200"}})
	p.copy()
	p.wait(p.load(load.Config{Conns: 50, Rate: 200, Duration: 2 * time.Second}))
	want := map[string]bool{}
	for _, line := range p.requests(p.Online[0], false) {
		want[line] = true
	}
	p.Settle(p.ctx, 2*time.Second)
	whole := p.requests(p.Target[0], false)
	for _, line := range whole {
		if !want[line] {
			p.Errorf("a copy that is not whole: %s", line)
		}
	}
	m, err := p.Copiers[0].Metrics()
	p.must(err)
	achieved := m.Sum("tcpcopy_copies_achieved")
	if len(whole) == 0 || len(whole) > 200 || int(achieved*50+0.5) != len(whole) {
		p.Errorf("%d copies of 50 connections within 200 sessions, %v of a connection as tcpcopy counts", len(whole), achieved)
		p.counters()
	}
	p.Logf("%v of 10 copies of a connection", achieved)
	p.end()
}
