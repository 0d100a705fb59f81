package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// A target need not be as production is: it may close, reset, be slow or
// silent, answer with more or with less, speak a poorer TCP.
func TestATargetMayBehaveUnlikeProduction(t *testing.T) {
	var (
		alive = load.Config{Conns: 20, Rate: 500}
		short = load.Config{Conns: 300, Rate: 300, Close: "server"}
		post  = load.Config{Conns: 10, Rate: 30, Post: 100_000}
	)
	withFault := func(m web.Fault) testbed.Small {
		return testbed.Small{Origin: testbed.Origin{Embedded: true}, Target: &testbed.Origin{Fault: m}}
	}
	smallWindow := withFault(web.ReadsSlowly)
	smallWindow.Sysctls = []string{"ipv4/tcp_rmem=4096 8192 8192"}
	slowAccept := withFault(web.AcceptsSlowly)
	slowAccept.Sysctls = []string{"core/somaxconn=4", "ipv4/tcp_syncookies=0"}
	plain := []string{"ipv4/tcp_timestamps=0", "ipv4/tcp_sack=0", "ipv4/tcp_window_scaling=0"}
	for _, c := range []struct {
		name    string
		testbed testbed.Small
		load    load.Config
		quiet   time.Duration // 0: five seconds
	}{
		{"closes after 10 requests", testbed.Small{Target: &testbed.Origin{Requests: 10}}, alive, 0},
		{"closes after each request", testbed.Small{Target: &testbed.Origin{Requests: 1}}, alive, 0},
		{"resets instead of answering", withFault(web.ResetsFifth), alive, 0},
		{"answers with more", testbed.Small{Target: &testbed.Origin{Padding: 700}}, alive, 0},
		{"answers with less", testbed.Small{Origin: testbed.Origin{Padding: 700}, Target: &testbed.Origin{}}, alive, 0},
		{"answers late", withFault(web.AnswersLate), load.Config{Conns: 20, Rate: 200}, 0},
		{"accepts slowly", slowAccept, load.Config{Conns: 300, Rate: 200, Close: "server"}, 10 * time.Second},
		{"sends SYN cookies", testbed.Small{Sysctls: []string{"ipv4/tcp_syncookies=2"}}, short, 0},
		{"reads slowly into a small window", smallWindow, post, 0},
		{"has no options of TCP, and packets are lost", testbed.Small{Sysctls: plain, Loss: 0.01}, post, 0},
		{"has an MTU of 576", testbed.Small{MTU: 576}, post, 0},
		{"has an MTU of 1280, IPv6", testbed.Small{MTU: 1280, V6: true}, post, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.testbed.Options = lab.Options{Offload: true}
			p := small(t, c.testbed)
			if c.quiet > 0 {
				p.quiet = c.quiet
			}
			p.copy()
			c.load.Duration = loadDuration(3 * time.Second)
			p.wait(p.load(c.load))
			r := p.judge(verdict.Rules{})
			p.exact(r)
			p.Logf("%d connections for %d, copied %v after the load", r.Target[0].Connections, r.Online[0].Connections, p.settled)
			p.end()
		})
	}
}

// A request is held until the one before it is answered, for as long as its
// client could have waited (-t). A target that answers none gets the first of
// each connection, and the rest is given up with a reason.
func TestATargetThatNeverAnswersGetsOneRequestOfAConnection(t *testing.T) {
	p := small(t, testbed.Small{
		Options: lab.Options{Offload: true},
		Origin:  testbed.Origin{Embedded: true}, Target: &testbed.Origin{Fault: web.NeverAnswers},
		Args: []string{"-t", "2s"},
	})
	p.copy()
	p.wait(p.load(load.Config{Conns: 20, Rate: 200, Duration: 3 * time.Second}))
	time.Sleep(4 * time.Second) // -t, and its timers
	r := p.judge(verdict.Rules{})
	if online := r.Online[0]; r.Copy.Foreign+r.Copy.Altered+r.Copy.Mixed+r.Copy.OutOfOrder > 0 || online.Requests != 600 {
		p.Errorf("not a copy of 600 requests\n%s", r)
	}
	target := r.Target[0]
	if target.Requests > target.Connections {
		p.Errorf("%d requests on %d connections: some were sent behind one that is not answered", target.Requests, target.Connections)
	}
	if n := r.Online[0].Connections; target.Connections < n || target.Connections > 4*n {
		p.Errorf("%d connections for %d, of which each may be opened 3 times again", target.Connections, n)
	}
	m, err := p.Copiers[0].Metrics()
	p.must(err)
	turns := m.By("tcpcopy_turns_total", "result")
	if sum := turns["unanswered"] + turns["lost"]; turns["copied"] > 0 || sum < float64(target.Requests) {
		p.Errorf("%v, of %d requests that were sent", turns, target.Requests)
	}
	if why := m.By("tcpcopy_sessions_closed_total", "reason")["target_timeout"]; why < 20 {
		p.Errorf("%v sessions were given up for the target's silence", why)
	}
	p.Logf("%d connections for %d, %v, %+v", target.Connections, r.Online[0].Connections, turns, r.Tcpcopy)
	p.end()
}

// Of each connection the request in flight may be lost or repeated when the
// target dies; those behind it wait until it is back.
func TestATargetMayBeRestartedUnderLoad(t *testing.T) {
	for name, c := range map[string]load.Config{
		"keep-alive": {Conns: 20, Rate: 500},
		"short":      {Conns: 300, Rate: 300, Close: "server"},
	} {
		t.Run(name, func(t *testing.T) {
			p := small(t, defaultSmall)
			p.copy()
			c.Duration = 7 * time.Second
			l := p.load(c)
			time.Sleep(2 * time.Second)
			p.must(p.Target[0].Process.Signal(syscall.SIGKILL))
			killed := now()
			time.Sleep(2 * time.Second)
			p.must(p.Target[0].Start(p.ctx))
			p.wait(l)
			r := p.judge(verdict.Rules{})
			p.Logf("%v", r.Copy)
			inFlight := c.Conns
			if c.Close != "" {
				inFlight = int(c.Rate / 10) // a tenth of a second of them
			}
			if n := r.Copy.Missing + r.Copy.Duplicated; n > inFlight {
				p.Errorf("%d requests missing or repeated, at most %d were in flight", n, inFlight)
			}
			if r.Copy.Foreign+r.Copy.OutOfOrder+r.Copy.Altered+r.Copy.Mixed > 0 {
				p.Errorf("not a copy\n%s", r)
			}
			p.exact(p.judge(verdict.Rules{Window: [2]float64{0, killed - 0.5}}))
			if p.Failed() {
				p.counters()
			}
			p.end()
		})
	}
}
