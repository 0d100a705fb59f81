package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// As fast as production answers, which shares the machine with the copy.
func TestManyConnectionsInAClosedLoopAreCopied(t *testing.T) {
	closedLoop(t, 4000, 5*time.Second)
}

// With few connections the copy is as fast as the target's answers come back:
// nothing on the way may gather them for long.
func TestFewConnectionsInAClosedLoopAreCopied(t *testing.T) {
	closedLoop(t, 4, 2*time.Second)
}

func closedLoop(t *testing.T, conns int, last time.Duration) {
	p := small(t, defaultSmall)
	p.copy()
	report := p.wait(p.load(load.Config{Conns: conns, Duration: loadDuration(last)}))
	r := p.judge(verdict.Rules{})
	p.exact(r)
	p.Logf("production: %.0f requests/s, latency p50 %d us, p99 %d us; copied %v after the load",
		report.Rate(), report.P50, report.P99, p.settled)
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
			p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Args: []string{"-n", fmt.Sprint(c.copies)}})
			p.copy()
			c.load.Duration = loadDuration(5 * time.Second)
			p.wait(p.load(c.load))
			p.wantSame(func() (lines []string) {
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

// A connection has all its copies or none, so that what is copied is whole.
func TestConnectionsWhoseCopiesDoNotFitAreLeftOutAndCounted(t *testing.T) {
	const conns, copies, sessions = 50, 10, 200
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Args: []string{"-n", fmt.Sprint(copies), "--max-sessions", fmt.Sprint(sessions)}})
	p.copy()
	p.wait(p.load(load.Config{Conns: conns, Rate: 200, Duration: 2 * time.Second}))
	p.Settle(p.ctx, 2*time.Second)
	seen := map[string]int{}
	for _, line := range p.requests(p.Target[0], false) {
		seen[line]++
	}
	for _, line := range p.requests(p.Online[0], false) {
		if n := seen[line]; n != 0 && n != copies {
			p.Errorf("%d whole copies of a connection, want %d or none", n, copies)
		}
		delete(seen, line)
	}
	for line := range seen {
		p.Errorf("a copy that is not whole: %s", line)
	}
	m, err := p.Copiers[0].Metrics()
	p.must(err)
	established := m.By("tcpcopy_handshakes_total", "result")["established"]
	shed := m.By("tcpcopy_dropped_packets_total", "reason")["shed_sessions"]
	if established > sessions || established+copies*shed != conns*copies {
		p.Errorf("%v sessions established, %v connections shed; want %d copies in all", established, shed, conns*copies)
		p.counters()
	}
	p.end()
}
