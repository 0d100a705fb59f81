package ring

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// Addresses that no host has; b answers them by way of a.
var (
	client4 = netip.MustParseAddr("10.50.0.7")
	client6 = netip.MustParseAddr("fd00:50::7")
)

func (h host) newTx(mode Mode) *Tx {
	h.t.Helper()
	var tx *Tx
	h.in(func() {
		var err error
		tx, err = NewTx(mode)
		must(h.t, err)
	})
	h.t.Cleanup(func() { _ = tx.Close() })
	return tx
}

// peer is a minimal TCP client that sends by a Tx and listens by a Ring.
type peer struct {
	t     *testing.T
	tx    *Tx
	hop   *Hop
	ring  *Ring
	src   packet.Endpoint
	dst   packet.Endpoint
	mss   int
	seq   uint32
	ack   uint32
	acked uint32
}

func (p *peer) send(flags packet.Flags, options, data []byte) {
	head := p.tx.Begin()
	list := pieces(data, 9)
	if len(data) == 0 {
		list = nil
	}
	for _, b := range list {
		if p.tx.Payload(b) != len(b) {
			p.t.Fatal("a piece does not fit")
		}
	}
	h := packet.Header{Src: p.src, Dst: p.dst, Seq: p.seq, Ack: p.ack, Flags: flags, Window: 0xffff, ID: uint16(p.seq), Options: options}
	p.tx.Commit(packet.Build(head, &h, len(data)), p.mss, p.hop)
	p.seq += uint32(len(data))
	if flags&(packet.SYN|packet.FIN) != 0 {
		p.seq++
	}
}

// listen reads replies until until is true.
func (p *peer) listen(until func(*packet.Reply) bool) {
	p.t.Helper()
	eventually(p.t, func() bool {
		var f Frame
		for p.ring.Next(&f) {
			var r packet.Reply
			if packet.DecodeReply(f.Data, f.Wire, &r) != packet.WellFormed || r.Dst != p.src {
				continue
			}
			if r.Flags&packet.RST != 0 {
				p.t.Fatal("the server resets the connection")
			}
			if until(&r) {
				return true
			}
		}
		return false
	})
}

// TestServerReceivesWhatWasSent has the kernel's TCP take what Tx sends.
func TestServerReceivesWhatWasSent(t *testing.T) {
	data := randomBytes(1 << 20)
	for _, offloads := range []string{"on", "off"} {
		p := newPair(t)
		p.b.route("10.50.0.0/16", a4.String())
		p.b.route("fd00:50::/64", a6.String())
		if offloads == "off" {
			for _, command := range []uint32{0x17, 0x1f, 0x24, 0x2c} { // STXCSUM, STSO, SGSO, SGRO
				p.a.offload("va", command, 0)
				p.b.offload("vb", command, 0)
			}
		}
		hops := p.a.hops("")
		for _, family := range []string{"IPv4", "IPv6"} {
			src, server := client4, b4
			if family == "IPv6" {
				src, server = client6, b6
			}
			hop, err := hops.Add(server)
			must(t, err)
			for mode, name := range map[Mode]string{Link: "Link", Raw: "Raw"} {
				t.Run(name+" "+family+" offloads "+offloads, func(t *testing.T) {
					var listener net.Listener
					p.b.in(func() {
						var err error
						listener, err = net.Listen("tcp", netip.AddrPortFrom(server, 0).String())
						must(t, err)
					})
					defer listener.Close()
					sum := make(chan [32]byte, 1)
					go func() {
						defer close(sum)
						c, err := listener.Accept()
						if err != nil {
							return
						}
						defer c.Close()
						_ = c.SetDeadline(time.Now().Add(20 * time.Second))
						b, err := io.ReadAll(c) // to the FIN
						if err == nil {
							sum <- sha256.Sum256(b)
						}
					}()
					to := listener.Addr().(*net.TCPAddr).AddrPort()
					c := &peer{t: t, tx: p.a.newTx(mode), hop: hop, mss: 1420, seq: 0xfffff000,
						ring: p.a.open(Config{Interface: "va", Version: V2, Filter: onlyTCP}),
						src:  packet.EndpointFrom(netip.AddrPortFrom(src, 3333)),
						dst:  packet.EndpointFrom(to)}
					if mode == Raw {
						c.hop = nil
					}
					c.transfer(data)
					if got := <-sum; got != sha256.Sum256(data) {
						t.Error("the server received something else")
					}
					s := c.tx.Stats()
					if len(s.Errors) != 0 || s.Segments < uint64(len(data)/1420) || mode == Link && s.Messages > 100 || s.Bytes < uint64(len(data)) {
						t.Errorf("%+v", s)
					}
				})
			}
		}
	}
}

// transfer opens a connection, sends data and closes it.
func (p *peer) transfer(data []byte) {
	p.send(packet.SYN, []byte{2, 4, 0x05, 0xb4, 1, 3, 3, 7}, nil)
	p.tx.Flush()
	window, scale := 0, 0
	p.listen(func(r *packet.Reply) bool {
		p.ack, p.acked, window, scale = r.Seq+1, r.Ack, int(r.Window), int(r.WindowScale)
		return r.Flags == packet.SYN|packet.ACK
	})
	p.send(packet.ACK, nil, nil)
	heard := func(r *packet.Reply) bool {
		// It sends nothing twice: stay below the queues on the way.
		p.acked, window = r.Ack, min(int(r.Window)<<scale, 200_000)
		return true
	}
	for left := data; len(left) > 0; {
		n := min(len(left), 60000, window-int(p.seq-p.acked))
		if n < min(len(left), 20000) {
			p.tx.Flush()
			p.listen(heard)
			continue
		}
		flags := packet.ACK | packet.PSH
		if n == len(left) {
			flags |= packet.FIN
		}
		p.send(flags, nil, left[:n])
		left = left[n:]
	}
	p.tx.Flush()
	p.listen(func(r *packet.Reply) bool { return heard(r) && p.acked == p.seq })
	if p.tx.Pending() != 0 {
		p.t.Error("something is pending")
	}
}

func TestSegmentsOnTheWireAreThoseOfTheKernel(t *testing.T) {
	p := newPair(t)
	for _, command := range []uint32{0x1f, 0x24} { // STSO, SGSO: the kernel cuts before the wire
		p.a.offload("va", command, 0)
	}
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	hop, err := p.a.hops("").Add(b4)
	must(t, err)
	data := randomBytes(10000)
	var seen [2][][]byte
	for i, mode := range []Mode{Link, Raw} {
		c := &peer{t: t, tx: p.a.newTx(mode), hop: hop, mss: 1400, seq: 5, ack: 6,
			src: packet.EndpointFrom(port(a4, 999)), dst: packet.EndpointFrom(port(b4, 80))}
		c.send(packet.ACK|packet.PSH|packet.FIN, nil, data)
		c.tx.Flush()
		for _, f := range collect(t, r, 8) {
			// On a veth with checksum offload the kernel leaves the TCP
			// checksum unfinished.
			clear(f.Data[20+checksumAt:][:2])
			seen[i] = append(seen[i], f.Data)
		}
	}
	for i := range seen[0] {
		if string(seen[0][i]) != string(seen[1][i]) {
			t.Errorf("segment %d:\n%x of the kernel\n%x of Tx", i, seen[0][i][:40], seen[1][i][:40])
		}
	}
}

func TestFailedMessagesAreCountedAndPassedOver(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(b4)
	must(t, err)
	var gone Hop
	gone.publish(newNextHop(4242, 1500, make(net.HardwareAddr, 6), make(net.HardwareAddr, 6)))
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	for mode, want := range map[Mode]map[unix.Errno]uint64{
		Link: {unix.EHOSTUNREACH: 2, unix.ENXIO: 3, unix.EMSGSIZE: 1, unix.EINVAL: 2},
		Raw:  {unix.EMSGSIZE: 1, unix.EINVAL: 2},
	} {
		c := &peer{t: t, tx: p.a.newTx(mode), hop: hop, src: packet.EndpointFrom(port(a4, 999)), dst: packet.EndpointFrom(port(b4, 80))}
		good := func() { c.hop = hop; c.send(packet.ACK, nil, []byte("good")) }
		good()
		if mode == Link {
			for _, h := range []*Hop{nil, new(Hop), &gone, &gone, &gone} {
				c.hop = h
				c.send(packet.ACK, nil, nil)
			}
		}
		good()
		c.send(packet.ACK, nil, make([]byte, 3000)) // mss 0: no limit
		c.tx.Begin()
		c.tx.Commit(0, 0, hop)
		c.tx.Commit(HeaderRoom+1, 0, hop)
		good()
		c.tx.Flush()
		collect(t, r, 3)
		s := c.tx.Stats()
		got := map[unix.Errno]uint64{}
		for _, e := range s.Errors {
			got[e.Errno] = e.Count
		}
		if len(got) != len(want) || s.Messages != 3 || s.Segments != 3 || s.Bytes != 3*44 {
			t.Errorf("%+v", s)
		}
		for e, n := range want {
			if got[e] != n {
				t.Errorf("mode %d: %v: %d, want %d", mode, e, got[e], n)
			}
		}
	}
}

func TestFullQueueCostsMessagesNotTime(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(b4)
	must(t, err)
	for errno, c := range map[unix.Errno]struct{ limit, buffer int }{
		unix.EAGAIN:  {limit: 1 << 20, buffer: 1},     // the socket's buffer is full
		unix.ENOBUFS: {limit: 4000, buffer: 16 << 20}, // the device's queue is
	} {
		q := &netlink.Tbf{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: hop.Ifindex(), Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
			Rate: 10000, Limit: uint32(c.limit), Buffer: 2000 * 100_000 / 64} // a burst of 2000 bytes, in ticks of 64 ns
		must(t, p.a.nl.QdiscReplace(q))
		tx := &peer{t: t, tx: p.a.newTx(Link), hop: hop, src: packet.EndpointFrom(port(a4, 999)), dst: packet.EndpointFrom(port(b4, 80))}
		must(t, unix.SetsockoptInt(tx.tx.link.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, c.buffer))
		const n = 40
		for range n {
			tx.send(packet.ACK, nil, make([]byte, 1400))
		}
		tx.tx.Flush()
		s := tx.tx.Stats()
		if len(s.Errors) != 1 || s.Errors[0].Errno != errno || s.Messages == 0 || s.Messages+s.Errors[0].Count != n {
			t.Errorf("%v: %+v", errno, s)
		}
		must(t, p.a.nl.QdiscDel(q))
	}
}

func TestFullBatchIsSentByItself(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(b4)
	must(t, err)
	for _, mode := range []Mode{Link, Raw} {
		r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
		c := &peer{t: t, tx: p.a.newTx(mode), hop: hop, src: packet.EndpointFrom(port(a4, 999)), dst: packet.EndpointFrom(port(b4, 80))}
		const n = BatchLen*2 + 5
		for i := range n {
			c.send(packet.ACK, nil, binary.BigEndian.AppendUint32(nil, uint32(i)))
		}
		if c.tx.Pending() != 5 {
			t.Error(c.tx.Pending())
		}
		c.tx.Flush()
		for i, f := range collect(t, r, n) {
			if got := binary.BigEndian.Uint32(f.Data[40:]); got != uint32(i) {
				t.Fatalf("message %d is %d", i, got)
			}
		}
	}
}

func TestSendingDoesNotAllocate(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(b4)
	must(t, err)
	for _, mode := range []Mode{Link, Raw} {
		tx := p.a.newTx(mode)
		h := packet.Header{Src: packet.EndpointFrom(port(a4, 999)), Dst: packet.EndpointFrom(port(b4, 80)), Flags: packet.ACK}
		data := make([]byte, 3000)
		if n := testing.AllocsPerRun(20, func() {
			for range 5 {
				head := tx.Begin()
				n := tx.Payload(data) + tx.Payload(data)
				tx.Commit(packet.Build(head, &h, n), 1448, hop)
			}
			tx.Flush()
		}); n != 0 {
			t.Errorf("mode %d: %v allocations", mode, n)
		}
	}
}

func TestUnknownModeIsRefused(t *testing.T) {
	if _, err := NewTx(7); err == nil {
		t.Error("accepted")
	}
}
