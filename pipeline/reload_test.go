package pipeline

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// run lets the pipeline run until the end of the test. What a test wants of a
// worker it does by worker.do from then on.
func run(t *testing.T, p *Pipeline) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
}

// reload changes the configuration that is in force.
func reload(t *testing.T, p *Pipeline, change func(*conf.Tcpcopy)) {
	t.Helper()
	c := *p.now.Load().cfg
	change(&c)
	must(t, p.Reload(&c))
}

func transfers(t *testing.T, texts ...string) (all []conf.Transfer) {
	t.Helper()
	for _, s := range texts {
		x, err := conf.ParseTransfer(s)
		must(t, err)
		all = append(all, x)
	}
	return all
}

// send hands a packet of c to its worker, and returns the target of the
// session that c has then, which is invalid if it has none.
func (c *client) send(p *Pipeline, flags packet.Flags, payload string) (to netip.AddrPort) {
	w := p.workers[packet.Shard(c.src.Port, len(p.workers))]
	w.do(func() {
		g := c.frame(flags, payload)
		w.frame(g)
		var s packet.Segment
		packet.Decode(g.Data, g.Wire, &s)
		if i := w.clientSession(&s); i != 0 {
			to = netip.AddrPortFrom(w.slab.At(i).Target.Addr.Netip(), w.slab.At(i).Target.Port)
		}
	})
	return to
}

func (p *Pipeline) droppedNow(d PacketDrop) (n uint64) {
	for _, w := range p.workers {
		w.do(func() { n += w.counter.Dropped[d] })
	}
	return n
}

func TestAReloadGivesNewSessionsToNewTransfersAndLetsOldOnesEnd(t *testing.T) {
	p := newPipeline(t, 2, nil)
	run(t, p)
	other := netip.MustParseAddrPort("10.1.2.200:8080")
	old := newClient(40000)
	if to := old.send(p, packet.SYN, ""); to != target {
		t.Fatalf("a session to %v, want %v", to, target)
	}

	reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "80-10.1.2.200:8080") })
	if to := old.send(p, packet.ACK|packet.PSH, "on"); to != target {
		t.Errorf("a running session has the target %v, want %v", to, target)
	}
	if to := newClient(40001).send(p, packet.SYN, ""); to != other {
		t.Errorf("a new session has the target %v, want %v", to, other)
	}

	reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "81-10.1.2.200:8080") })
	if to := old.send(p, packet.ACK|packet.PSH, "on"); to != target {
		t.Errorf("a session of a removed transfer has the target %v, want %v", to, target)
	}
	if to := newClient(40002).send(p, packet.SYN, ""); to.IsValid() {
		t.Errorf("a removed transfer has a new session, to %v", to)
	}
	if n := p.droppedNow(TransferRemoved); n != 1 {
		t.Errorf("%d packets dropped as transfer_removed, want 1", n)
	}
	p.prune()
	if now := p.now.Load(); !strings.Contains(expression(now.cfg, &now.set.matcher), "port 80)") {
		t.Error("running sessions are not captured any more")
	}

	for _, w := range p.workers {
		w.do(w.abort)
	}
	p.prune()
	if now := p.now.Load(); strings.Contains(expression(now.cfg, &now.set.matcher), "port 80)") {
		t.Error("a removed transfer without sessions is captured still")
	}
	before := p.droppedNow(NotMatched)
	newClient(40003).send(p, packet.SYN, "")
	if n := p.droppedNow(NotMatched) - before; n != 1 {
		t.Errorf("%d packets dropped as not_matched, want 1", n)
	}

	// It comes back.
	reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "81-10.1.2.200:8080", "80-10.1.2.100:80") })
	if to := newClient(40004).send(p, packet.SYN, ""); to != target {
		t.Errorf("a session to %v, want %v", to, target)
	}
	if n := len(p.now.Load().set.matcher.transfers); n != 3 {
		t.Errorf("%d transfers have been, want 3", n)
	}
}

func TestAReloadChangesTheLimitsOfRunningWorkers(t *testing.T) {
	p := newPipeline(t, 1, nil)
	run(t, p)
	c := newClient(40000)
	c.send(p, packet.SYN, "")
	reload(t, p, func(c *conf.Tcpcopy) { c.MaxSessions = 1 })
	newClient(40001).send(p, packet.SYN, "")
	if n := p.droppedNow(ShedSessions); n != 1 {
		t.Errorf("%d shed above the bound of sessions, want 1", n)
	}
	reload(t, p, func(c *conf.Tcpcopy) { c.MaxSessions, c.Percent = 1000, 1e-9 })
	newClient(40002).send(p, packet.SYN, "")
	if n := p.droppedNow(SampledOut); n != 1 {
		t.Errorf("%d left out above the share, want 1", n)
	}
	if to := c.send(p, packet.ACK|packet.PSH, "on"); to != target {
		t.Errorf("the running session has the target %v", to)
	}
	reload(t, p, func(c *conf.Tcpcopy) { c.Percent, c.Copies = 100, 3 })
	newClient(40003).send(p, packet.SYN, "")
	w := p.workers[0]
	w.do(func() {
		if n := w.slab.Len(); n != 4 {
			t.Errorf("%d sessions, want 1 and 3 copies", n)
		}
	})
	reload(t, p, func(c *conf.Tcpcopy) { c.Memory = 1 << 20 })
	w.do(func() {
		if w.memory != 1<<20 {
			t.Errorf("a bound of %d bytes", w.memory)
		}
	})
}

func TestAReloadKeepsTheLinksThatStay(t *testing.T) {
	p := newPipeline(t, 2, nil)
	run(t, p)
	first := p.now.Load().links[0]
	one, two := first.addr, netip.MustParseAddrPort("127.0.0.1:2")
	for _, addrs := range [][]netip.AddrPort{{one, two}, {two, one}, {two}} {
		reload(t, p, func(c *conf.Tcpcopy) { c.Intercepts = addrs })
		links := p.now.Load().links
		var got []netip.AddrPort
		for _, l := range links {
			got = append(got, l.addr)
		}
		if !slices.Equal(got, addrs) {
			t.Errorf("links to %v, want %v", got, addrs)
		}
		if stays := slices.Contains(addrs, one); slices.Contains(links, first) != stays {
			t.Errorf("%v: the link that was there is kept: %v", addrs, !stays)
		}
	}
	select {
	case <-first.ended:
	default:
		t.Error("the link to an intercept that was removed is kept up")
	}
}

func TestWhatARunningPipelineCannotTakeOnChangesNothing(t *testing.T) {
	p := newPipeline(t, 1, nil)
	run(t, p)
	now := p.now.Load()
	for want, change := range map[string]func(*conf.Tcpcopy){
		"does not change without a restart": func(c *conf.Tcpcopy) { c.Intercepts = nil },
		"copies have the address 10.1.3.7":  func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "80-10.1.3.7:80") },
		"at most 64 are possible": func(c *conf.Tcpcopy) {
			for port := range uint16(65) {
				c.Transfers = append(c.Transfers, conf.Transfer{Online: netip.AddrPortFrom(netip.Addr{}, 1000+port), Target: target})
			}
		},
	} {
		c := *now.cfg
		change(&c)
		if err := p.Reload(&c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if p.now.Load() != now {
			t.Errorf("%s: and yet there is another configuration", want)
		}
	}
}

func TestAnotherShareIsReachedFromTheOneOfTheMoment(t *testing.T) {
	const start = 1000 * session.Second
	c := &conf.Tcpcopy{Percent: 40, Ramp: 100 * time.Second, Copies: 1}
	a := newAdmission(c, 1, 7, start)
	near := func(at session.Time, want float64) {
		t.Helper()
		if got := share(&a, start+at); got < want*0.9 || got > want*1.1 {
			t.Errorf("%v %% after %d s, want %v", got, at/session.Second, want)
		}
	}
	near(50*session.Second, 20.5)
	c.Percent = 80
	a.reconfigure(c, 1, start+50*session.Second)
	near(50*session.Second, 20.5)
	near(100*session.Second, 50)
	c.MaxSessionRate = 5 // does not begin the ramp anew
	a.reconfigure(c, 1, start+100*session.Second)
	near(150*session.Second, 80)
	c.Percent, c.Ramp = 10, 0
	a.reconfigure(c, 1, start+200*session.Second)
	near(200*session.Second, 10)
}
