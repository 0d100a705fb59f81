package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/stage"
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
	mannered := func(m web.Manner) stage.Small {
		return stage.Small{Origin: stage.Origin{Embedded: true}, Target: &stage.Origin{Manner: m}}
	}
	narrow := mannered(web.Slow)
	narrow.Sysctls = []string{"ipv4/tcp_rmem=4096 8192 8192"}
	bashful := mannered(web.Shy)
	bashful.Sysctls = []string{"core/somaxconn=4", "ipv4/tcp_syncookies=0"}
	plain := []string{"ipv4/tcp_timestamps=0", "ipv4/tcp_sack=0", "ipv4/tcp_window_scaling=0"}
	for _, c := range []struct {
		name  string
		stage stage.Small
		load  load.Config
		quiet time.Duration // 0: the usual
	}{
		{"closes after 10 requests", stage.Small{Target: &stage.Origin{Requests: 10}}, alive, 0},
		{"closes after each request", stage.Small{Target: &stage.Origin{Requests: 1}}, alive, 0},
		{"resets instead of answering", mannered(web.Reset), alive, 0},
		{"answers with more", stage.Small{Target: &stage.Origin{Padding: 700}}, alive, 0},
		{"answers with less", stage.Small{Origin: stage.Origin{Padding: 700}, Target: &stage.Origin{}}, alive, 0},
		{"answers late", mannered(web.Late), load.Config{Conns: 20, Rate: 200}, 0},
		// The first turns wait 5, 2.5, 1.25 s ... for it; a dropped SYN 1, 2, 4.
		{"never answers", mannered(web.Mute), load.Config{Conns: 20, Rate: 200}, 8 * time.Second},
		{"accepts slowly", bashful, load.Config{Conns: 300, Rate: 200, Close: "server"}, 10 * time.Second},
		{"sends SYN cookies", stage.Small{Sysctls: []string{"ipv4/tcp_syncookies=2"}}, short, 0},
		{"reads slowly into a small window", narrow, post, 0},
		{"has no options of TCP, and packets are lost", stage.Small{Sysctls: plain, Loss: 0.01}, post, 0},
		{"has an MTU of 576", stage.Small{MTU: 576}, post, 0},
		{"has an MTU of 1280, IPv6", stage.Small{MTU: 1280, V6: true}, post, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.stage.Options = lab.Options{Offload: true}
			p := small(t, c.stage)
			if c.quiet > 0 {
				p.quiet = c.quiet
			}
			p.copy()
			c.load.Duration = span(3 * time.Second)
			p.wait(p.load(c.load))
			r := p.judge(verdict.Rules{})
			p.exact(r)
			p.Logf("%d connections for %d, copied %v after the load", r.Target[0].Connections, r.Online[0].Connections, p.settled)
			p.end()
		})
	}
}

// Of each connection the request in flight may be lost or repeated when the
// target dies; those behind it wait until it is back.
func TestATargetMayBeRestartedUnderLoad(t *testing.T) {
	for name, c := range map[string]load.Config{
		"keep-alive": {Conns: 20, Rate: 500},
		"short":      {Conns: 300, Rate: 300, Close: "server"},
	} {
		t.Run(name, func(t *testing.T) {
			p := small(t, usual)
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
