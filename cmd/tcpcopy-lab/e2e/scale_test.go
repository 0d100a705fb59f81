package e2e

import (
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// As fast as production answers, which shares the machine with the copy.
func TestManyConnectionsInAClosedLoopAreCopied(t *testing.T) {
	p := small(t, usual)
	p.copy()
	report := p.wait(p.load(load.Config{Conns: 4000, Duration: 5 * time.Second}))
	ended := time.Now()
	r := p.judge(verdict.Rules{})
	p.exact(r)
	p.Logf("production: %.0f requests/s, latency p50 %d us, p99 %d us; copied %v after the load",
		report.Rate(), report.P50, report.P99, time.Since(ended).Round(100*time.Millisecond))
	p.end()
}
