package reply

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// segment is a target's packet.
func segment(flags packet.Flags, dst string, length int) []byte {
	b := make([]byte, packet.MaxHeader)
	to := netip.MustParseAddrPort(dst)
	src := endpoint("10.1.2.100:80")
	if to.Addr().Is6() {
		src = endpoint("[2001:db8::100]:80")
	}
	h := packet.Header{
		Src: src, Dst: packet.EndpointFrom(to), Seq: 1, Ack: 2, Flags: flags, Window: 500,
		Options: []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2},
	}
	return b[:packet.Build(b, &h, length)]
}

// frames is a source of frames.
type frames []ring.Frame

func (f *frames) Next(to *ring.Frame) bool {
	if len(*f) == 0 {
		return false
	}
	*to, *f = (*f)[0], (*f)[1:]
	return true
}

func (f *frames) add(b []byte, length int) {
	*f = append(*f, ring.Frame{Data: b, Wire: len(b) + length})
}

func TestEveryPacketLeavesThroughOneCounter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := NewRouter(time.Minute, 50)
	sinks := []*basket{new(basket), new(basket), new(basket)}
	var outlets []*Outlet
	for i, claims := range [][]netip.Prefix{prefixes("10.1.3.0/24", "2001:db8:3::/48"), prefixes("10.1.4.0/24"), nil} {
		l, err := r.Join(Member{ID: [16]byte{byte(i + 1)}, Count: 1, Claims: claims}, sinks[i])
		if err != nil {
			t.Fatal(err)
		}
		outlets = append(outlets, l)
	}
	r.Leave(outlets[1])
	c := NewCapture("eth0", nil, r, 100, nil)
	var source frames
	kinds := []string{"10.1.3.%d:%d", "10.1.4.%d:%d", "192.0.2.%d:%d", "[2001:db8:3::%d]:%d"}
	total := 0
	for range 1500 {
		for range rnd.IntN(8) {
			flags := []packet.Flags{packet.ACK, packet.SYN | packet.ACK, packet.RST}[rnd.IntN(3)]
			b := segment(flags, fmt.Sprintf(kinds[rnd.IntN(4)], rnd.IntN(20), 1+rnd.IntN(3)), 1448)
			switch rnd.IntN(20) {
			case 0:
				b[0] = 0 // not IP
			case 1:
				b = b[:30] // cut
			case 2:
				b[6], b[9] = 17, 17 // another protocol
			case 3:
				b[6] = 0x20 // a fragment, in IPv4
			}
			source.add(b, 1448)
			total++
		}
		for c.pass(&source) > 0 {
		}
		if rnd.IntN(3) == 0 {
			e := endpoint(fmt.Sprintf(kinds[2], rnd.IntN(20), 1+rnd.IntN(3)))
			r.AddFlows(outlets[2], []packet.Endpoint{e})
			if rnd.IntN(2) == 0 {
				r.DelFlows(outlets[2], []packet.Endpoint{e})
			}
		}
		if rnd.IntN(50) == 0 {
			r.Sweep(time.Now().Add(HoldFor))
		}
	}
	n, st := c.Counts(), r.Stats()
	var malformed, delivered uint64
	for m, v := range n.Malformed {
		malformed += v
		if m > 0 && v == 0 {
			t.Errorf("the test made no packet that is %v", packet.Malformed(m))
		}
	}
	for _, s := range sinks {
		delivered += uint64(len(s.got))
	}
	if n.Captured != uint64(total) {
		t.Errorf("%d captured of %d", n.Captured, total)
	}
	if sum := n.Routed + n.NoSession + n.LinkDown + n.Held + malformed; sum != n.Captured {
		t.Errorf("%d captured, %d accounted for: %+v", n.Captured, sum, n)
	}
	if sum := uint64(st.Held) + st.Released + st.Expired; sum != n.Held {
		t.Errorf("%d held, %d accounted for: %+v", n.Held, sum, st)
	}
	if delivered != n.Routed+st.Released {
		t.Errorf("%d delivered, %d routed and %d released", delivered, n.Routed, st.Released)
	}
	for what, v := range map[string]uint64{"routed": n.Routed, "no session": n.NoSession, "link down": n.LinkDown, "released": st.Released, "expired": st.Expired} {
		if v == 0 {
			t.Errorf("the test made no packet that is %s", what)
		}
	}
}

func TestRepliesAreDeliveredInOrderAndNoMoreThanAskedForAtOnce(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	a, b := &sizes{}, &sizes{}
	for i, s := range []*sizes{a, b} {
		m := member(byte(i+1), fmt.Sprintf("10.1.%d.0/24", i+3))
		if _, err := r.Join(m, s); err != nil {
			t.Fatal(err)
		}
	}
	c := NewCapture("", nil, r, 16, nil)
	var source frames
	for i := range 1000 {
		p := segment(packet.ACK, fmt.Sprintf("10.1.%d.1:%d", 3+i%2, 1+i), 0)
		source.add(p, 0)
	}
	for c.pass(&source) > 0 {
	}
	for _, s := range []*sizes{a, b} {
		if !slices.IsSorted(s.ports) || len(s.ports) != 500 || s.most > 16 || s.most < 2 {
			t.Errorf("%d replies, at most %d at once", len(s.ports), s.most)
		}
	}
}

type sizes struct {
	most  int
	ports []uint16
}

func (s *sizes) Deliver(batch []packet.Reply) {
	s.most = max(s.most, len(batch))
	for i := range batch {
		s.ports = append(s.ports, batch[i].Dst.Port)
	}
}

func TestOutletThatChangesWithinAPassGetsItsOwnReplies(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	first, second := new(basket), new(basket)
	l, err := r.Join(member(1, "10.1.3.0/24"), first)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCapture("", nil, r, 0, nil)
	b := segment(packet.ACK, "10.1.3.1:1", 0)
	c.dispatch(b, len(b))
	r.Leave(l)
	if _, err := r.Join(member(1, "10.1.3.0/24"), second); err != nil {
		t.Fatal(err)
	}
	c.dispatch(b, len(b))
	c.flush()
	if len(first.got) != 1 || len(second.got) != 1 {
		t.Errorf("%d and %d", len(first.got), len(second.got))
	}
}

func TestRewriteGivesTheReplyItsSessionBack(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	s := new(basket)
	if _, err := r.Join(member(1, "10.1.3.2/32"), s); err != nil {
		t.Fatal(err)
	}
	c := NewCapture("", nil, r, 0, []Rewrite{{packet.AddrFrom(netip.MustParseAddr("172.17.0.2")), packet.AddrFrom(netip.MustParseAddr("10.1.3.2"))}})
	var source frames
	source.add(segment(packet.ACK, "172.17.0.2:4000", 0), 0)
	c.pass(&source)
	if len(s.got) != 1 || s.got[0].Dst.String() != "10.1.3.2:4000" {
		t.Errorf("%v", s.got)
	}
}

func TestReplyThatOvertakesItsClaimIsHeldForIt(t *testing.T) {
	r := NewRouter(time.Minute, 4)
	s := new(basket)
	l, err := r.Join(member(1), s)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCapture("", nil, r, 0, nil)
	var source frames
	arrive := func(flags packet.Flags, dst string) {
		source.add(segment(flags, dst, 0), 0)
		c.pass(&source)
	}
	claim := func(dst string) int {
		s.got = nil
		r.AddFlows(l, []packet.Endpoint{endpoint(dst)})
		return len(s.got)
	}
	arrive(packet.SYN|packet.ACK, "192.0.2.1:1")
	arrive(packet.RST|packet.ACK, "192.0.2.1:1")
	arrive(packet.SYN|packet.ACK, "192.0.2.1:2")
	arrive(packet.ACK, "192.0.2.1:3") // not the first of a session
	if n := claim("192.0.2.1:1"); n != 2 || s.got[0].Flags&packet.SYN == 0 || s.got[1].Flags&packet.RST == 0 {
		t.Errorf("%d in the wrong order or number: %v", n, s.got)
	}
	if n := claim("192.0.2.1:3"); n != 0 {
		t.Errorf("%d came that were not held", n)
	}
	if n := claim("192.0.2.1:1"); n != 0 {
		t.Errorf("%d came twice", n)
	}
	for port := 4; port < 8; port++ { // the table holds four
		arrive(packet.SYN|packet.ACK, fmt.Sprintf("192.0.2.1:%d", port))
	}
	if n := claim("192.0.2.1:2"); n != 0 {
		t.Errorf("%d came that had to give way", n)
	}
	if n := claim("192.0.2.1:4"); n != 1 {
		t.Errorf("%d of one that fits", n)
	}
	r.Sweep(time.Now().Add(HoldFor))
	if n := claim("192.0.2.1:5"); n != 0 {
		t.Errorf("%d came after their time", n)
	}
	if st := r.Stats(); st.Held != 0 || st.Released != 3 || st.Expired != 4 {
		t.Errorf("%+v", st)
	}
}

func TestNothingIsHeldWhereAllClaimPrefixes(t *testing.T) {
	r := NewRouter(time.Minute, 4)
	join(t, r, member(1, "10.1.3.0/24"))
	c := NewCapture("", nil, r, 0, nil)
	b := segment(packet.SYN|packet.ACK, "192.0.2.1:1", 0)
	c.dispatch(b, len(b))
	if n := c.counts; n.Held != 0 || n.NoSession != 1 {
		t.Errorf("%+v", n)
	}
}

func TestDelayTableAgreesWithAList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	const size = 8
	d := delayTable{size: size}
	var model []packet.Reply
	for step := range uint32(20000) {
		now := int64(step) * int64(HoldFor/10)
		e := packet.Endpoint{Port: uint16(rnd.Uint32N(5))}
		switch rnd.IntN(4) {
		case 0, 1:
			p := packet.Reply{Dst: e, Seq: step}
			d.put(&p, now)
			model = append(model, p)
		case 2:
			got := d.remove(e, nil)
			var want []packet.Reply
			for i := range model {
				if model[i].Dst == e {
					want = append(want, model[i])
				}
			}
			// The oldest may have given way, or expired.
			if len(got) > len(want) || !slices.Equal(got, want[len(want)-len(got):]) {
				t.Fatalf("step %d: %v, want the end of %v", step, got, want)
			}
			model = slices.DeleteFunc(model, func(p packet.Reply) bool { return p.Dst == e })
		case 3:
			d.expire(now)
		}
		if held := int(d.held.Load()); held > size || held > len(d.entries) {
			t.Fatalf("%d held in %d", held, size)
		}
	}
	for port := range uint16(5) {
		d.remove(packet.Endpoint{Port: port}, nil)
	}
	if d.held.Load() != 0 || len(d.last) != 0 {
		t.Errorf("%d held, %d endpoints remain", d.held.Load(), len(d.last))
	}
}

// count is a sink that keeps nothing.
type count int

func (c *count) Deliver(batch []packet.Reply) { *c += count(len(batch)) }

func TestReplyPathDoesNotAllocate(t *testing.T) {
	r := NewRouter(time.Minute, 16)
	var delivered count
	l, err := r.Join(member(1, "10.1.3.0/24"), &delivered)
	if err != nil {
		t.Fatal(err)
	}
	r.AddFlows(l, []packet.Endpoint{endpoint("192.0.2.1:1")})
	c := NewCapture("", nil, r, 0, nil)
	var all frames
	for i := range 100 {
		all.add(segment(packet.ACK, fmt.Sprintf("10.1.3.%d:80", i), 1448), 1448)
		all.add(segment(packet.ACK, "192.0.2.1:1", 0), 0)
		all.add(segment(packet.ACK, "203.0.113.1:1", 0), 0)
	}
	source := new(frames)
	*source = all
	c.pass(source)
	if n := testing.AllocsPerRun(100, func() {
		*source = all
		for c.pass(source) > 0 {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if delivered == 0 {
		t.Error("nothing was delivered")
	}
}

func BenchmarkPass(b *testing.B) {
	r := NewRouter(time.Minute, 16)
	var delivered count
	if _, err := r.Join(member(1, "10.1.3.0/24"), &delivered); err != nil {
		b.Fatal(err)
	}
	c := NewCapture("", nil, r, 0, nil)
	var all frames
	for i := range 200 {
		all.add(segment(packet.ACK, fmt.Sprintf("10.1.3.%d:80", i), 1448), 1448)
	}
	source := new(frames)
	b.ReportAllocs()
	for b.Loop() {
		*source = all
		c.pass(source)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/reply")
}
