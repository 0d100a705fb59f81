package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// A busy host: for two seconds there is no CPU for one of the processes.
func TestTwoSecondsWithoutACPULoseNothing(t *testing.T) {
	short := load.Config{Conns: 2000, Rate: 1000, Duration: 4 * time.Second, Close: "server"}
	keepalive := load.Config{Conns: 100, Rate: 10000, Duration: 4 * time.Second}
	for name, c := range map[string]struct {
		load    load.Config
		of      string
		offload bool
	}{
		"tcpcopy, short connections":                {short, "tcpcopy", true},
		"tcpcopy, keep-alive":                       {keepalive, "tcpcopy", true},
		"tcpcopy, keep-alive, no offloads":          {keepalive, "tcpcopy", false},
		"intercept, short connections, no offloads": {short, "intercept", false},
		"intercept, keep-alive":                     {keepalive, "intercept", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := small(t, testbed.Small{Options: lab.Options{Offload: c.offload}, Args: []string{"--workers", "2", "-B", "128"}})
			p.copy()
			l := p.load(c.load)
			time.Sleep(time.Second)
			x := p.Copiers[0].Process
			if c.of == "intercept" {
				x = p.Intercepts[0].Process
			}
			p.must(x.Signal(syscall.SIGSTOP))
			time.Sleep(2 * time.Second)
			p.must(x.Signal(syscall.SIGCONT))
			p.wait(l)
			p.exact(p.judge(verdict.Rules{}))
		})
	}
}

// Ten connections upload 90 MB in a third of a second.
func TestABurstOfUploadsIsCopiedWhole(t *testing.T) {
	for name, offload := range map[string]bool{"offloads": true, "no offloads": false} {
		t.Run(name, func(t *testing.T) {
			p := small(t, testbed.Small{Options: lab.Options{Offload: offload}, Args: []string{"--workers", "2", "-B", "128"}})
			p.copy()
			p.wait(p.load(load.Config{Conns: 10, Rate: 1000, Duration: 300 * time.Millisecond, Post: 300_000}))
			p.exact(p.judge(verdict.Rules{}))
		})
	}
}
