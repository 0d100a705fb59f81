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

// A tcpcopy that gets the processor for a tenth of the time, in pieces longer
// apart than its ring lasts, cannot copy everything. What it lost is counted,
// what it copies is right, and the sessions that ran go on when it has time.
func TestATcpcopyThatIsStarvedLosesRequestsNotSessions(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Args: []string{"-B", "1"}})
	p.quiet = 1500 * time.Millisecond // what is missing is so for good
	p.copy()
	long := p.load(load.Config{Conns: 50, Rate: 2000, Duration: 7 * time.Second})
	short := p.load(load.Config{Conns: 500, Rate: 300, Duration: 7 * time.Second, Close: "server"})
	time.Sleep(time.Second)
	tcpcopy := p.Copiers[0].Process
	for range 6 {
		p.must(tcpcopy.Signal(syscall.SIGSTOP))
		time.Sleep(450 * time.Millisecond)
		p.must(tcpcopy.Signal(syscall.SIGCONT))
		time.Sleep(50 * time.Millisecond)
	}
	recovered := now() + 1 // the rings are read up, and each connection has begun a turn
	p.wait(long)
	p.wait(short)
	r := p.judge(verdict.Rules{})
	c := r.Copy
	t.Logf("%v", c)
	if r.Tcpcopy.Uncaught == 0 || c.Missing == 0 {
		t.Errorf("%v packets dropped by the kernel, %d requests missing: nothing was lost, this shows nothing", r.Tcpcopy.Uncaught, c.Missing)
	}
	if c.Duplicated+c.OutOfOrder+c.Foreign+c.Altered+c.Mixed > 0 {
		t.Errorf("what was copied is not right:\n%s", r)
	}
	p.exact(p.judge(verdict.Rules{Window: [2]float64{recovered, now()}}))
	p.end()
}
