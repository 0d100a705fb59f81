package pipeline

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

var target = netip.MustParseAddrPort("10.1.2.100:80")

// inNamespace runs the test on a thread in a network namespace of its own,
// with a veth pair of which one end, eth0, has 10.1.2.1/24 and knows a MAC
// address for the target. The thread, and so the namespace, ends with the
// test.
func inNamespace(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		if testing.Short() {
			t.Skip("namespaces need root")
		}
		t.Fatal("namespaces need root: run the tests as root, or with -short")
	}
	runtime.LockOSThread() // never unlocked
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	connect(t)
}

// connect makes the interface eth0, whose packets come from its peer.
func connect(t testing.TB) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}
	must(t, netlink.LinkAdd(veth))
	for _, name := range []string{"eth0", "peer", "lo"} {
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetUp(l))
	}
	l, err := netlink.LinkByName("eth0")
	must(t, err)
	must(t, netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 1, 2, 1), Mask: net.CIDRMask(24, 32)}}))
	must(t, netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, IP: target.Addr().AsSlice(),
		State: netlink.NUD_PERMANENT, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPipeline opens a pipeline of n workers, which do not run: the test calls
// their pass.
func newPipeline(t testing.TB, n int, change func(*conf.Tcpcopy)) *Pipeline {
	t.Helper()
	inNamespace(t)
	pool, err := conf.ParsePool([]string{"10.1.3.x"})
	must(t, err)
	c := &conf.Tcpcopy{
		Transfers: []conf.Transfer{{Online: netip.AddrPortFrom(netip.Addr{}, 80), Target: target}},
		Clients:   pool, Percent: 100, Copies: 1, Workers: n, RingBytes: 1 << 20, SnapLen: 1 << 18,
		MaxSessions: 100_000, Memory: 1 << 30, SendMode: conf.SendLink,
		Intercepts: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, ConnsPerIntercept: 1,
	}
	if change != nil {
		change(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p, err := Open(ctx, c, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { p.close(); cancel() })
	for _, w := range p.workers {
		w.startClock()
	}
	return p
}

// client writes the packets of a client as a ring would hand them over.
type client struct {
	src, dst packet.Endpoint
	seq, ack uint32
	buf      []byte
	captured ring.Frame
}

func newClient(port uint16) *client {
	return &client{
		src: packet.Endpoint{Addr: packet.Addr4([]byte{192, 0, 2, 7}), Port: port},
		dst: packet.Endpoint{Addr: packet.Addr4([]byte{10, 9, 0, 10}), Port: 80},
		seq: 1000, buf: make([]byte, 2048),
	}
}

func (c *client) frame(flags packet.Flags, payload string) *ring.Frame {
	n := packet.Build(c.buf, &packet.Header{Src: c.src, Dst: c.dst, Seq: c.seq, Ack: c.ack, Flags: flags, Window: 1000}, len(payload))
	n += copy(c.buf[n:], payload)
	c.seq += uint32(len(payload))
	if flags&(packet.SYN|packet.FIN) != 0 {
		c.seq++
	}
	c.captured = ring.Frame{Data: c.buf[:n], Wire: n, Time: time.Now().UnixNano()}
	return &c.captured
}

// open makes a session of c in w, established at the target, whose sequence
// number is then next.
func (c *client) open(t testing.TB, w *worker) (end packet.Endpoint, next uint32) {
	t.Helper()
	w.frame(c.frame(packet.SYN, ""))
	pass(w)
	for i := uint32(1); int(i) < len(w.extra); i++ {
		if s := w.slab.At(i); s.ClientEnd == c.src && s.State() == session.SynSent {
			end = s.Endpoint
		}
	}
	if end == (packet.Endpoint{}) {
		t.Fatal("no SYN was sent")
	}
	r := packet.Reply{Src: packet.EndpointFrom(target), Dst: end, Seq: 5000, Ack: c.seq, Flags: packet.SYN | packet.ACK, Window: 65535}
	r.MSS, r.WindowScale = 1460, packet.NoWindowScale
	w.reply(&r)
	c.ack = 7001
	w.frame(c.frame(packet.ACK, ""))
	pass(w)
	return end, 5001
}

// pass does what a thread of only this worker does in a round.
func pass(w *worker) int {
	n := w.pass()
	w.tx.Flush()
	w.sent()
	return n
}

func TestAPacketFromRingToWireAndItsReplyAllocateNothing(t *testing.T) {
	w := newPipeline(t, 1, nil).workers[0]
	c := newClient(40000)
	end, next := c.open(t, w)
	request := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	cycle := func() {
		w.frame(c.frame(packet.ACK|packet.PSH, request))
		pass(w)
		r := packet.Reply{Src: packet.EndpointFrom(target), Dst: end, Seq: next, Ack: c.seq, Len: 100, Flags: packet.ACK | packet.PSH, Window: 65535}
		w.reply(&r)
		next += 100
		c.ack += 100
		w.frame(c.frame(packet.ACK, ""))
		pass(w)
	}
	for range 100 {
		cycle()
	}
	if n := testing.AllocsPerRun(1000, cycle); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
	st := &w.core.Stats
	if st.TurnsCopied < 1099 || st.Delivered != st.Accepted || len(w.tx.Stats().Errors) > 0 {
		t.Errorf("turns %d, accepted %d, delivered %d, send errors %v", st.TurnsCopied, st.Accepted, st.Delivered, w.tx.Stats().Errors)
	}
}

func TestEveryPacketIsInOneCounter(t *testing.T) {
	p := newPipeline(t, 3, func(c *conf.Tcpcopy) { c.Percent = 50; c.MaxSessions = 3 * 40 })
	feed := func(w *worker, f *ring.Frame) { w.frame(f) }
	// Each worker gets everything, so that two thirds change hands.
	for i := range 600 {
		w := p.workers[i%3]
		c := newClient(uint16(20000 + i))
		feed(w, c.frame(packet.SYN, ""))
		feed(w, c.frame(packet.ACK, ""))
		feed(w, c.frame(packet.ACK|packet.PSH, "hello"))
		c.dst.Port = 81
		feed(w, c.frame(packet.ACK|packet.PSH, "other port"))
		c.dst.Port, c.src.Addr = 80, packet.Addr4([]byte{10, 1, 3, 9})
		feed(w, c.frame(packet.ACK|packet.PSH, "of our own"))
		c.src.Addr, c.src.Port = packet.Addr4([]byte{192, 0, 2, 7}), uint16(30000+i)
		feed(w, c.frame(packet.RST, ""))
		f := c.frame(packet.ACK, "cut")
		f.Data = f.Data[:25]
		feed(w, f)
		f = c.frame(packet.ACK, "udp")
		f.Data[9] = 17
		feed(w, f)
		f = c.frame(packet.ACK, "fragment")
		binary.BigEndian.PutUint16(f.Data[6:], 0x2000)
		feed(w, f)
		feed(w, &ring.Frame{Data: []byte{0x12}, Wire: 1})
		if i%20 == 0 {
			for _, w := range p.workers {
				pass(w)
			}
		}
	}
	for range 3 {
		for _, w := range p.workers {
			pass(w)
			w.publish()
		}
	}
	c := p.Totals()
	var dropped uint64
	for d, n := range c.Dropped {
		dropped += n
		if n == 0 && PacketDrop(d) != Incomplete && PacketDrop(d) != ShedMemory && PacketDrop(d) != ShedLoss && PacketDrop(d) != ShuttingDown && PacketDrop(d) != HandoverFull && PacketDrop(d) != SessionRate && PacketDrop(d) != ByteRate && PacketDrop(d) != TransferRemoved {
			t.Errorf("nothing was dropped as %v", PacketDrop(d))
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
	p := newPipeline(t, 1, nil)
	w := p.workers[0]
	for i := range 10 {
		c := newClient(uint16(40000 + i))
		c.open(t, w)
		if i%2 == 0 {
			w.frame(c.frame(packet.ACK|packet.PSH, "unanswered"))
		}
	}
	pass(w)
	w.drain()
	pass(w)
	if n := w.core.Stats.Sent[session.KindFIN]; n != 5 {
		t.Errorf("%d FINs for 5 idle sessions", n)
	}
	c := newClient(50000)
	w.frame(c.frame(packet.SYN, ""))
	w.abort()
	pass(w)
	if w.slab.Len() != 0 || w.ends.Len() != 0 || w.clients.Len() != 0 {
		t.Errorf("left: %d sessions, %d endpoints, %d clients", w.slab.Len(), w.ends.Len(), w.clients.Len())
	}
	s := &w.core.Stats
	if s.Buffered != 0 || s.Dropped[session.Shutdown] != 50 || s.Accepted != 50 {
		t.Errorf("accepted %d, buffered %d, dropped %d", s.Accepted, s.Buffered, s.Dropped[session.Shutdown])
	}
	if w.counter.Dropped[ShuttingDown] != 1 || s.Sent[session.KindRST] < 5 {
		t.Errorf("new sessions refused %d, RSTs %d", w.counter.Dropped[ShuttingDown], s.Sent[session.KindRST])
	}
	if w.core.Held() != 0 {
		t.Errorf("%d bytes are still held", w.core.Held())
	}
}

func TestAClientThatBeginsAnewOnItsPortGetsASecondSession(t *testing.T) {
	w := newPipeline(t, 1, nil).workers[0]
	c := newClient(40000)
	first, _ := c.open(t, w)
	w.frame(c.frame(packet.ACK|packet.PSH, "on its way"))
	pass(w)
	c.seq += 1 << 20
	second, _ := c.open(t, w)
	if first == second {
		t.Fatalf("both sessions show %v to the target", first)
	}
	if w.endSession(first) == 0 {
		t.Error("the first session was cut off with payload on its way")
	}
}

func BenchmarkRequest(b *testing.B) {
	w := newPipeline(b, 1, nil).workers[0]
	c := newClient(40000)
	end, next := c.open(b, w)
	request := "GET / HTTP/1.1\r\nHost: example\r\nUser-Agent: bench\r\n\r\n"
	b.ReportAllocs()
	for b.Loop() {
		w.frame(c.frame(packet.ACK|packet.PSH, request))
		pass(w)
		r := packet.Reply{Src: packet.EndpointFrom(target), Dst: end, Seq: next, Ack: c.seq, Len: 100, Flags: packet.ACK | packet.PSH, Window: 65535}
		w.reply(&r)
		next += 100
		c.ack += 100
		w.frame(c.frame(packet.ACK, ""))
		pass(w)
	}
}
