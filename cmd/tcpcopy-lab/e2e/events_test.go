package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

var defaultSmall = testbed.Small{Options: lab.Options{Offload: true}}

// Connections that wait while tcpcopy starts. Of the first request that it sees
// on each it cannot know whether it is whole, so it may begin with the second.
func TestIdleConnectionsOlderThanTcpcopyAreCopiedFromTheirNextTurn(t *testing.T) {
	p := small(t, defaultSmall)
	l := p.load(load.Config{Conns: 20, Rate: 500, Duration: 4 * time.Second, Hold: true})
	select {
	case <-l.Held:
	case <-time.After(20 * time.Second):
		t.Fatal("the load does not hold")
	}
	p.copy()
	p.must(l.GoOn())
	p.wait(l)
	r := p.judge(verdict.Rules{AfterFirst: true})
	p.exact(r)
	if r.Copy.Before < 20 || r.Copy.Before > 40 || r.Target[0].Connections != 20 {
		t.Errorf("%d requests before the copy, %d connections copied; want one or two of each of 20", r.Copy.Before, r.Target[0].Connections)
	}
	p.end()
}

func TestBusyConnectionsOlderThanTcpcopyHaveNoGapOnceCopied(t *testing.T) {
	p := small(t, defaultSmall)
	l := p.load(load.Config{Conns: 20, Rate: 1000, Duration: 6 * time.Second})
	time.Sleep(time.Second)
	p.copy()
	p.wait(l)
	r := p.judge(verdict.Rules{AfterFirst: true})
	p.exact(r)
	if r.Target[0].Connections != 20 {
		t.Errorf("%d connections copied, want 20", r.Target[0].Connections)
	}
	p.end()
}

func TestSessionsGoOnWhenInterceptIsRestarted(t *testing.T) {
	p := small(t, defaultSmall)
	p.copy()
	l := p.load(load.Config{Conns: 50, Rate: 1000, Duration: 8 * time.Second})
	time.Sleep(3 * time.Second)
	intercept := p.Intercepts[0]
	if status, err := intercept.Process.Stop(10 * time.Second); status != 0 || err != nil {
		t.Errorf("intercept: exit status %d, %v", status, err)
	}
	p.must(intercept.Start(p.ctx, "intercept"))
	p.wait(l)
	r := p.judge(verdict.Rules{})
	p.exact(r)
	p.unbroken(r)
	p.end()
}

// The killed assistant's sessions stall; the other's do not. Once it is back,
// all is as before.
func TestOneOfTwoAssistantsIsKilledAndComesBack(t *testing.T) {
	p := seed(t, testbed.Seed{Gateway: lab.L4, Options: lab.Options{Offload: true, Assistants: 2}})
	p.copy()
	start := now()
	long := p.load(load.Config{Conns: 60, Rate: 800, Duration: 14 * time.Second})
	short := p.load(load.Config{Conns: 500, Rate: 200, Duration: 14 * time.Second, Close: "server"})
	time.Sleep(4 * time.Second)
	victim := p.Intercepts[1]
	p.must(victim.Process.Signal(syscall.SIGKILL))
	killed := now()
	time.Sleep(3 * time.Second)
	p.must(victim.Start(p.ctx, "intercept"))
	back := now()
	p.wait(long)
	p.wait(short)
	// What began shortly before the kill may have been in flight.
	p.exact(p.judge(verdict.Rules{Window: [2]float64{start, killed - 1}}))
	p.exact(p.judge(verdict.Rules{Window: [2]float64{back + 3, now()}}))
	between := p.judge(verdict.Rules{Window: [2]float64{killed, back}})
	t.Logf("while it was gone: %v", between.Copy)
	if between.Copy.Foreign > 0 || between.Copy.OutOfOrder > 0 || between.Copy.Ratio() < 0.3 {
		t.Errorf("while one of two assistants was gone:\n%s", between)
	}
	p.end()
}

func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }

func TestTcpcopyEndsInOrderUnderLoad(t *testing.T) {
	p := small(t, defaultSmall)
	p.copy()
	l := p.load(load.Config{Conns: 50, Rate: 1000, Duration: 5 * time.Second})
	time.Sleep(2 * time.Second)
	tcpcopy := p.Copiers[0]
	if status, err := tcpcopy.Process.Stop(15 * time.Second); status != 0 || err != nil {
		t.Errorf("tcpcopy: exit status %d, %v", status, err)
	}
	if !strings.Contains(tcpcopy.Process.Tail(5), "accepted") {
		t.Errorf("no summary at the end of tcpcopy's log:\n%s", tcpcopy.Process.Tail(5))
	}
	// Production did not notice, and the target has no connection left.
	p.wait(l)
	if n := p.Target[0].Host.Established(80); n > 0 {
		t.Errorf("%d copied connections are still open at the target", n)
	}
	r, err := p.Judge(verdict.Rules{})
	p.must(err)
	if r.Copy.Foreign+r.Copy.OutOfOrder+r.Copy.Duplicated > 0 || r.Target[0].Requests < 1000 {
		t.Errorf("until the end:\n%s", r)
	}
}
