package worker

import (
	"net"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// share is how many of 10,000 clients a takes at the time, in percent.
func share(a *admission, at session.Time) float64 {
	a.update(at)
	n := 0
	for i := range 10_000 {
		if a.within(packet.Endpoint{Addr: packet.Addr4([]byte{192, 0, byte(i >> 8), byte(i)}), Port: uint16(i * 7)}) {
			n++
		}
	}
	return float64(n) / 100
}

func TestTheShareIsAsConfiguredAndGrowsWithTheRamp(t *testing.T) {
	const start = 1000 * session.Second
	for _, c := range []struct {
		percent float64
		ramp    session.Time
		at      session.Time
		want    float64
	}{
		{100, 0, 0, 100},
		{10, 0, 0, 10},
		{2.5, 0, 0, 2.5},
		{100, 100 * session.Second, 0, 1},
		{100, 100 * session.Second, 50 * session.Second, 50.5},
		{100, 100 * session.Second, 1000 * session.Second, 100},
		{20, 10 * session.Second, 5 * session.Second, 10.5},
	} {
		a := newAdmission(&conf.Tcpcopy{Percent: c.percent, Copies: 1}, 1, 7, start)
		a.ramp = c.ramp
		if got := share(&a, start+c.at); got < c.want*0.85-0.2 || got > c.want*1.15+0.2 {
			t.Errorf("%v %% with a ramp of %d s: %v %% after %d s, want %v", c.percent, c.ramp/session.Second, got, c.at/session.Second, c.want)
		}
	}
}

func TestNewSessionsKeepToTheirRate(t *testing.T) {
	w := newRig(t, func(c *conf.Tcpcopy) { c.MaxSessionRate = 10 })
	open := func(from int) (n int) {
		for i := range 100 {
			c := testbed.NewClient(uint16(20000 + from + i))
			before := w.counter.Clients
			w.frame(c.Frame(packet.SYN, ""))
			n += int(w.counter.Clients - before)
			w.frame(c.Frame(packet.ACK, "")) // must not come in half-way
		}
		return n
	}
	at := w.now
	w.admission.update(at)
	w.admission.sessions.tokens = 10
	if n := open(0); n != 10 {
		t.Errorf("%d sessions at once, want 10", n)
	}
	w.admission.update(at + session.Second/2)
	if n := open(1000); n != 5 {
		t.Errorf("%d sessions half a second later, want 5", n)
	}
	d := &w.counter.Dropped
	if d[account.SessionRate] != 185 || d[account.RefusedBefore] != 185 || w.counter.Accepted != 30 {
		t.Errorf("left out %d SYNs and %d packets behind them, accepted %d", d[account.SessionRate], d[account.RefusedBefore], w.counter.Accepted)
	}
}

func TestRunningSessionsUseUpTheByteRateOfNewOnes(t *testing.T) {
	w := newRig(t, func(c *conf.Tcpcopy) { c.MaxByteRate = 1000 })
	c := testbed.NewClient(20000)
	openSession(t, c, w)
	for range 3 {
		w.frame(c.Frame(packet.ACK|packet.PSH, string(make([]byte, 500))))
	}
	if st := w.core.Stats; st.Accepted != 1500 {
		t.Errorf("a running session was cut to %d bytes", st.Accepted)
	}
	w.frame(testbed.NewClient(20001).Frame(packet.SYN, ""))
	if w.counter.Dropped[account.ByteRate] != 1 || w.counter.Clients != 1 {
		t.Errorf("left out %d, taken up %d", w.counter.Dropped[account.ByteRate], w.counter.Clients)
	}
	w.admission.update(w.now + 2*session.Second)
	w.frame(testbed.NewClient(20002).Frame(packet.SYN, ""))
	if w.counter.Clients != 2 {
		t.Error("no session later, when there was room")
	}
}

func TestEachCopyIsASessionOfItsOwn(t *testing.T) {
	const copies = 5
	w := newRig(t, func(c *conf.Tcpcopy) { c.Copies = copies })
	c := testbed.NewClient(40000)
	w.frame(c.Frame(packet.SYN, ""))
	pass(w)
	ends := map[packet.Endpoint]bool{}
	for i := uint32(1); i <= copies; i++ {
		ends[w.table.slab.At(i).Endpoint] = true
	}
	if len(ends) != copies || w.endpoints.used.Len() != copies || w.table.clients.Len() != 1 {
		t.Fatalf("%d endpoints of %d copies", len(ends), copies)
	}
	for e := range ends {
		r := packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: e, Seq: 5000, Ack: c.Seq, Flags: packet.SYN | packet.ACK, Window: 65535}
		r.MSS, r.WindowScale = 1460, packet.NoWindowScale
		w.reply(&r)
	}
	c.Ack = 7001
	w.frame(c.Frame(packet.ACK|packet.PSH, "hello"))
	pass(w)
	if n := w.core.Stats.Sent[session.KindPayload]; n != copies {
		t.Fatalf("the request was sent %d times", n)
	}
	// The first ends early; the others still belong to the client.
	first := w.table.slab.At(1).Endpoint
	w.reply(&packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: first, Seq: 5001, Ack: c.Seq, Flags: packet.ACK | packet.PSH, Len: 10, Window: 65535})
	w.core.Abort(w.table.slab.At(1), session.TargetTimeout, w.now)
	w.touch(1, w.table.slab.At(1))
	pass(w)
	delete(ends, first)
	for e := range ends {
		w.reply(&packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: e, Seq: 5001, Ack: c.Seq, Flags: packet.ACK | packet.PSH, Len: 10, Window: 65535})
	}
	c.Ack += 10
	w.frame(c.Frame(packet.ACK|packet.PSH, "again"))
	pass(w)
	if n := w.core.Stats.Sent[session.KindPayload]; n != 2*copies-1 {
		t.Fatalf("both requests were sent %d times", n)
	}
	if w.counter.Clients != 1 || w.table.slab.Len() != copies-1 {
		t.Errorf("%d clients, %d sessions", w.counter.Clients, w.table.slab.Len())
	}
	// The client begins anew while its copies run.
	c.Seq += 1 << 20
	w.frame(c.Frame(packet.SYN, ""))
	pass(w)
	if w.table.slab.Len() != 2*copies-1 || w.table.clients.Len() != 1 {
		t.Errorf("%d sessions, %d clients", w.table.slab.Len(), w.table.clients.Len())
	}
	w.Abort()
	pass(w)
	if w.table.slab.Len() != 0 || w.table.clients.Len() != 0 || w.endpoints.used.Len() != 0 || w.core.Held() != 0 {
		t.Errorf("left: %d sessions, %d clients, %d endpoints, %d bytes", w.table.slab.Len(), w.table.clients.Len(), w.endpoints.used.Len(), w.core.Held())
	}
}

func TestAnEndpointRestsWhereTheTargetClosedFirst(t *testing.T) {
	w := newRig(t, nil)
	c := testbed.NewClient(40000)
	end, next := openSession(t, c, w)
	w.reply(&packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: end, Seq: next, Ack: c.Seq, Flags: packet.ACK | packet.FIN, Window: 65535})
	c.Ack = 7002
	w.frame(c.Frame(packet.ACK|packet.FIN, ""))
	pass(w)
	w.reply(&packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: end, Seq: next + 1, Ack: c.Seq, Flags: packet.ACK, Window: 65535})
	pass(w)
	w.now += 5 * session.Second
	w.timers.advance(w.now, w.fire)
	w.flush()
	if w.table.slab.Len() != 0 {
		t.Fatalf("%d sessions are left", w.table.slab.Len())
	}
	c.Seq += 1 << 20
	if again, _ := openSession(t, c, w); again == end {
		t.Errorf("%v is used again while the target has it in TIME-WAIT", end)
	}
}

// More than the ring holds comes while the worker does not run.
func TestNewClientsAreLeftOutWhileTheRingLoses(t *testing.T) {
	w := newRig(t, func(c *conf.Tcpcopy) { c.Interfaces = []string{"eth0"} })
	running := testbed.NewClient(40000)
	openSession(t, running, w)
	eth0, err := net.InterfaceByName("eth0")
	testbed.Must(t, err)
	from := uint16(20000)
	send := func(n int) { // of n new clients and one that runs
		var data [][]byte
		add := func(f *ring.Frame) {
			data = append(data, append(append(append([]byte{}, eth0.HardwareAddr...), 2, 0, 0, 0, 0, 2, 8, 0), f.Data...))
		}
		for range n {
			add(testbed.NewClient(from).Frame(packet.SYN, ""))
			from++
		}
		add(running.Frame(packet.ACK|packet.PSH, "on its way"))
		testbed.NewFrames(t, "peer", data).Send(t)
		time.Sleep(5 * retire)
		w.publishedAt = w.clock.Now() + session.Second // the loss is looked for behind all passes
		for pass(w) > 0 {
		}
		w.Publish()
	}
	send(20_000)
	if w.counter.Dropped[account.ShedLoss] > 0 || w.rings.Lost() == 0 {
		t.Fatalf("%d clients left out before a loss was seen, %d packets lost", w.counter.Dropped[account.ShedLoss], w.rings.Lost())
	}
	// The ring tells of the loss with the next block that it hands over.
	send(20_000)
	send(10)
	clients, accepted, shed := w.counter.Clients, w.counter.Accepted, w.counter.Dropped[account.ShedLoss]
	w.frame(testbed.NewClient(from).Frame(packet.SYN, ""))
	w.frame(running.Frame(packet.ACK|packet.PSH, "more"))
	if n := w.counter.Dropped[account.ShedLoss] - shed; n != 1 || w.counter.Clients != clients {
		t.Errorf("%d clients left out, %d taken up", n, w.counter.Clients-clients)
	}
	if w.counter.Accepted != accepted+1 {
		t.Errorf("%d packets of a running session accepted, want 1", w.counter.Accepted-accepted)
	}
	w.now += lossFor
	if d, ok := w.admission.room(w.Len(), w.core.Held(), w.now); !ok {
		t.Errorf("%v after the loss", d)
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
