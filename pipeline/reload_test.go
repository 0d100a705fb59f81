package pipeline

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source/live"
)

// reload changes the configuration that is in force.
func reload(t *testing.T, p *Pipeline, change func(*conf.Tcpcopy)) {
	t.Helper()
	c := *p.now.Load().conf
	change(&c)
	testbed.Must(t, p.Reload(&c))
}

func transfers(t *testing.T, texts ...string) (all []conf.Transfer) {
	t.Helper()
	for _, s := range texts {
		x, err := conf.ParseTransfer(s)
		testbed.Must(t, err)
		all = append(all, x)
	}
	return all
}

// send hands a packet of c to its worker, and returns the target of the
// session that c has then, which is invalid if it has none.
func send(p *Pipeline, c *testbed.Client, flags packet.Flags, payload string) (to netip.AddrPort) {
	i := packet.Shard(c.Src.Port, len(p.workers))
	w := p.workers[i]
	w.Do(func() {
		p.clients.Source(i).(*live.Source).Frame(c.Frame(flags, payload), w)
		w.Sessions(func(s *session.Session) {
			if s.ClientEnd == c.Src {
				to = netip.AddrPortFrom(s.Target.Addr.Netip(), s.Target.Port)
			}
		})
	})
	return to
}

func droppedNow(p *Pipeline, d account.PacketDrop) uint64 {
	for _, w := range p.workers {
		w.Do(w.Publish)
	}
	return p.Totals().Dropped[d]
}

func captures(p *Pipeline, what string) bool {
	return strings.Contains(p.now.Load().matcher.Expression(), what)
}

func TestAReloadGivesNewSessionsToNewTransfersAndLetsOldOnesEnd(t *testing.T) {
	p := newPipeline(t, 2, nil)
	run(t, p)
	target, other := testbed.Target, netip.MustParseAddrPort("10.1.2.200:8080")
	testbed.AddNeighbour(t, other.Addr())
	old := testbed.NewClient(40000)
	if to := send(p, old, packet.SYN, ""); to != target {
		t.Fatalf("a session to %v, want %v", to, target)
	}

	reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "80-10.1.2.200:8080") })
	if to := send(p, old, packet.ACK|packet.PSH, "on"); to != target {
		t.Errorf("a running session has the target %v, want %v", to, target)
	}
	if to := send(p, testbed.NewClient(40001), packet.SYN, ""); to != other {
		t.Errorf("a new session has the target %v, want %v", to, other)
	}

	reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "81-10.1.2.200:8080") })
	if to := send(p, old, packet.ACK|packet.PSH, "on"); to != target {
		t.Errorf("a session of a removed transfer has the target %v, want %v", to, target)
	}
	if to := send(p, testbed.NewClient(40002), packet.SYN, ""); to.IsValid() {
		t.Errorf("a removed transfer has a new session, to %v", to)
	}
	if n := droppedNow(p, account.TransferRemoved); n != 1 {
		t.Errorf("%d packets dropped as transfer_removed, want 1", n)
	}
	(host{p}).Summarize()
	if !captures(p, "port 80)") {
		t.Error("running sessions are not captured any more")
	}

	for _, w := range p.workers {
		w.Do(w.Abort)
	}
	(host{p}).Summarize()
	if captures(p, "port 80)") {
		t.Error("a removed transfer without sessions is captured still")
	}
	before := droppedNow(p, account.NotMatched)
	send(p, testbed.NewClient(40003), packet.SYN, "")
	if n := droppedNow(p, account.NotMatched) - before; n != 1 {
		t.Errorf("%d packets dropped as not_matched, want 1", n)
	}

	// It comes back.
	reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "81-10.1.2.200:8080", "80-10.1.2.100:80") })
	if to := send(p, testbed.NewClient(40004), packet.SYN, ""); to != target {
		t.Errorf("a session to %v, want %v", to, target)
	}
	if n := len(p.now.Load().matcher.Transfers); n != 3 {
		t.Errorf("%d transfers have been at a time, want 3", n)
	}
}

func TestTransferNumbersAreUsedAgain(t *testing.T) {
	p := newPipeline(t, 2, nil)
	run(t, p)
	kept := testbed.NewClient(39999) // its session stays
	send(p, kept, packet.SYN, "")
	for i := range account.MaxTransfers + 20 {
		to := fmt.Sprintf("%v:%d", testbed.Target.Addr(), 2000+i) // Add waits for an unknown neighbour
		reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "81-"+to) })
		if i%20 == 0 {
			c := testbed.NewClient(uint16(40000 + i))
			c.Dst.Port = 81
			if got := send(p, c, packet.SYN, ""); got.String() != to {
				t.Fatalf("reload %d: a session to %v, want %v", i, got, to)
			}
			if n := p.Totals().Matched[p.number(to)]; n > 1 {
				t.Errorf("reload %d: %d packets of the transfer that had the number before are counted", i, n)
			}
		}
	}
	if to := send(p, kept, packet.ACK|packet.PSH, "on"); to != testbed.Target {
		t.Errorf("the first session has the target %v", to)
	}
	if n := len(p.now.Load().matcher.Transfers); n > 20 {
		t.Errorf("%d numbers of transfers", n)
	}
}

// number is that of the transfer to a target.
func (p *Pipeline) number(target string) int {
	m := p.now.Load().matcher
	for i := range m.Transfers {
		if !m.Transfers[i].Leaving && m.Transfers[i].Conf.Target.String() == target {
			return i
		}
	}
	return -1
}

func TestAReloadChangesTheLimitsOfRunningWorkers(t *testing.T) {
	p := newPipeline(t, 1, nil)
	run(t, p)
	c := testbed.NewClient(40000)
	send(p, c, packet.SYN, "")
	reload(t, p, func(c *conf.Tcpcopy) { c.MaxSessions = 1 })
	send(p, testbed.NewClient(40001), packet.SYN, "")
	if n := droppedNow(p, account.ShedSessions); n != 1 {
		t.Errorf("%d shed above the bound of sessions, want 1", n)
	}
	reload(t, p, func(c *conf.Tcpcopy) { c.MaxSessions, c.Percent = 1000, 1e-9 })
	send(p, testbed.NewClient(40002), packet.SYN, "")
	if n := droppedNow(p, account.SampledOut); n != 1 {
		t.Errorf("%d left out above the share, want 1", n)
	}
	if to := send(p, c, packet.ACK|packet.PSH, "on"); to != testbed.Target {
		t.Errorf("the running session has the target %v", to)
	}
	reload(t, p, func(c *conf.Tcpcopy) { c.Percent, c.Copies = 100, 3 })
	send(p, testbed.NewClient(40003), packet.SYN, "")
	if n := (host{p}).Sessions(); n != 4 {
		t.Errorf("%d sessions, want 1 and 3 copies", n)
	}
	reload(t, p, func(c *conf.Tcpcopy) { c.Memory = 2 }) // less than the session holds
	send(p, testbed.NewClient(40004), packet.SYN, "")
	if n := droppedNow(p, account.ShedMemory); n != 1 {
		t.Errorf("%d left out above the bound of memory, want 1", n)
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
				c.Transfers = append(c.Transfers, conf.Transfer{Online: netip.AddrPortFrom(netip.Addr{}, 1000+port), Target: testbed.Target})
			}
		},
	} {
		c := *now.conf
		change(&c)
		if err := p.Reload(&c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if p.now.Load() != now {
			t.Errorf("%s: and yet there is another configuration", want)
		}
	}
}

// fragile are clients whose rings take no filter while they are broken.
type fragile struct {
	clients
	broken atomic.Bool
}

func (f *fragile) Prepare(m *match.Matcher, now, next *conf.Tcpcopy) (func() error, error) {
	if f.broken.Load() {
		return func() error { return errors.New("no room for the filter") }, nil
	}
	return f.clients.Prepare(m, now, next)
}

func TestAReloadThatFailsAtTheLastStepChangesNothing(t *testing.T) {
	p := newPipeline(t, 2, nil)
	rings := &fragile{clients: p.clients}
	p.clients = rings
	run(t, p)
	testbed.AddNeighbour(t, netip.MustParseAddr("10.1.2.101"))
	now, hops := p.now.Load(), p.hops.Len()
	links := p.targets.Status()
	rings.broken.Store(true)
	next := *now.conf
	next.Transfers = transfers(t, "80-10.1.2.101:80", "81-10.1.2.101:81")
	next.Intercepts = append(next.Intercepts, netip.MustParseAddrPort("127.0.0.1:2"))
	next.Percent = 0
	for range 2 {
		if err := p.Reload(&next); err == nil {
			t.Fatal("it did not fail")
		}
	}
	if p.now.Load() != now || p.hops.Len() != hops || p.targets.Status() != links {
		t.Errorf("%d hops, were %d; %s, were %s", p.hops.Len(), hops, p.targets.Status(), links)
	}
	rings.broken.Store(false)
	if to := send(p, testbed.NewClient(40000), packet.SYN, ""); to != testbed.Target {
		t.Errorf("a session to %v", to)
	}
	reload(t, p, func(c *conf.Tcpcopy) { c.Transfers = transfers(t, "80-10.1.2.101:80") })
	if n := len(p.now.Load().matcher.Transfers); n != 2 {
		t.Errorf("%d numbers of transfers, want 2", n)
	}
}
