package worker

import (
	"encoding/binary"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

func TestAPacketFromRingToWireAndItsReplyAllocateNothing(t *testing.T) {
	w := newRig(t, nil)
	c := testbed.NewClient(40000)
	end, next := openSession(t, c, w)
	request := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	cycle := func() {
		w.frame(c.Frame(packet.ACK|packet.PSH, request))
		pass(w)
		r := packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: end, Seq: next, Ack: c.Seq, Len: 100, Flags: packet.ACK | packet.PSH, Window: 65535}
		w.reply(&r)
		next += 100
		c.Ack += 100
		w.frame(c.Frame(packet.ACK, ""))
		pass(w)
	}
	for range 100 {
		cycle()
	}
	if n := testing.AllocsPerRun(1000, cycle); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
	st := &w.core.Stats
	if st.TurnsCopied < 1099 || st.Delivered != st.Accepted || len(w.sender.tx.Stats().Errors) > 0 {
		t.Errorf("turns %d, accepted %d, delivered %d, send errors %v", st.TurnsCopied, st.Accepted, st.Delivered, w.sender.tx.Stats().Errors)
	}
}

func TestEveryPacketIsInOneCounter(t *testing.T) {
	p := newRigs(t, 3, func(c *conf.Tcpcopy) { c.Percent = 50; c.MaxSessions = 3 * 40 })
	feed := func(w *rig, f *ring.Frame) { w.frame(f) }
	// Each worker gets everything, so that two thirds change hands.
	for i := range 600 {
		w := p[i%3]
		c := testbed.NewClient(uint16(20000 + i))
		feed(w, c.Frame(packet.SYN, ""))
		feed(w, c.Frame(packet.ACK, ""))
		feed(w, c.Frame(packet.ACK|packet.PSH, "hello"))
		c.Dst.Port = 81
		feed(w, c.Frame(packet.ACK|packet.PSH, "other port"))
		c.Dst.Port, c.Src.Addr = 80, packet.Addr4([]byte{10, 1, 3, 9})
		feed(w, c.Frame(packet.ACK|packet.PSH, "of our own"))
		c.Src.Addr, c.Src.Port = packet.Addr4([]byte{192, 0, 2, 7}), uint16(30000+i)
		feed(w, c.Frame(packet.RST, ""))
		f := c.Frame(packet.ACK, "cut")
		f.Data = f.Data[:25]
		feed(w, f)
		f = c.Frame(packet.ACK, "udp")
		f.Data[9] = 17
		feed(w, f)
		f = c.Frame(packet.ACK, "fragment")
		binary.BigEndian.PutUint16(f.Data[6:], 0x2000)
		feed(w, f)
		feed(w, &ring.Frame{Data: []byte{0x12}, Wire: 1})
		if i%20 == 0 {
			for _, w := range p {
				pass(w)
			}
		}
	}
	for range 3 {
		for _, w := range p {
			pass(w)
			w.Publish()
		}
	}
	c := totals(p)
	var dropped uint64
	for d, n := range c.Dropped {
		dropped += n
		if n == 0 && account.PacketDrop(d) != account.Incomplete && account.PacketDrop(d) != account.ShedMemory && account.PacketDrop(d) != account.ShedLoss && account.PacketDrop(d) != account.ShuttingDown && account.PacketDrop(d) != account.HandoverFull && account.PacketDrop(d) != account.SessionRate && account.PacketDrop(d) != account.ByteRate && account.PacketDrop(d) != account.TransferRemoved {
			t.Errorf("nothing was dropped as %v", account.PacketDrop(d))
		}
	}
	if c.Captured != 6000 || c.Captured+c.TakenOver != c.Accepted+c.HandedOver+dropped || c.TakenOver != c.HandedOver {
		t.Errorf("captured %d + taken over %d, accepted %d + handed over %d + dropped %d %v", c.Captured, c.TakenOver, c.Accepted, c.HandedOver, dropped, c.Dropped)
	}
	if c.HandedOver == 0 || c.Accepted == 0 {
		t.Errorf("handed over %d, accepted %d", c.HandedOver, c.Accepted)
	}
	s := &c.Session
	var lost uint64
	for _, n := range s.Dropped {
		lost += n
	}
	if s.Accepted == 0 || s.Accepted != s.Delivered+s.Buffered+lost {
		t.Errorf("payload: accepted %d, delivered %d, buffered %d, dropped %d", s.Accepted, s.Delivered, s.Buffered, lost)
	}
}

func TestShutdownEndsEverySessionAndKeepsTheAccount(t *testing.T) {
	p := newRigs(t, 1, nil)
	w := p[0]
	for i := range 10 {
		c := testbed.NewClient(uint16(40000 + i))
		openSession(t, c, w)
		if i%2 == 0 {
			w.frame(c.Frame(packet.ACK|packet.PSH, "unanswered"))
		}
	}
	pass(w)
	w.Drain()
	pass(w)
	if n := w.core.Stats.Sent[session.KindFIN]; n != 5 {
		t.Errorf("%d FINs for 5 idle sessions", n)
	}
	c := testbed.NewClient(50000)
	w.frame(c.Frame(packet.SYN, ""))
	w.Abort()
	pass(w)
	if w.table.slab.Len() != 0 || w.endpoints.used.Len() != 0 || w.table.clients.Len() != 0 {
		t.Errorf("left: %d sessions, %d endpoints, %d clients", w.table.slab.Len(), w.endpoints.used.Len(), w.table.clients.Len())
	}
	s := &w.core.Stats
	if s.Buffered != 0 || s.Dropped[session.Shutdown] != 50 || s.Accepted != 50 {
		t.Errorf("accepted %d, buffered %d, dropped %d", s.Accepted, s.Buffered, s.Dropped[session.Shutdown])
	}
	if w.counter.Dropped[account.ShuttingDown] != 1 || s.Sent[session.KindRST] < 5 {
		t.Errorf("new sessions refused %d, RSTs %d", w.counter.Dropped[account.ShuttingDown], s.Sent[session.KindRST])
	}
	if w.core.Held() != 0 {
		t.Errorf("%d bytes are still held", w.core.Held())
	}
}

func TestAClientThatBeginsAnewOnItsPortGetsASecondSession(t *testing.T) {
	w := newRig(t, nil)
	c := testbed.NewClient(40000)
	first, _ := openSession(t, c, w)
	w.frame(c.Frame(packet.ACK|packet.PSH, "on its way"))
	pass(w)
	c.Seq += 1 << 20
	second, _ := openSession(t, c, w)
	if first == second {
		t.Fatalf("both sessions show %v to the target", first)
	}
	if w.endpoints.find(first) == 0 {
		t.Error("the first session was cut off with payload on its way")
	}
}

func BenchmarkRequest(b *testing.B) {
	w := newRig(b, nil)
	c := testbed.NewClient(40000)
	end, next := openSession(b, c, w)
	request := "GET / HTTP/1.1\r\nHost: example\r\nUser-Agent: bench\r\n\r\n"
	b.ReportAllocs()
	for b.Loop() {
		w.frame(c.Frame(packet.ACK|packet.PSH, request))
		pass(w)
		r := packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: end, Seq: next, Ack: c.Seq, Len: 100, Flags: packet.ACK | packet.PSH, Window: 65535}
		w.reply(&r)
		next += 100
		c.Ack += 100
		w.frame(c.Frame(packet.ACK, ""))
		pass(w)
	}
}
