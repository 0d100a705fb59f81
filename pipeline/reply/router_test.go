package reply

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// basket is a sink that keeps what it gets.
type basket struct {
	mu  sync.Mutex
	got []packet.Reply
}

func (b *basket) Deliver(batch []packet.Reply) {
	b.mu.Lock()
	b.got = append(b.got, batch...)
	b.mu.Unlock()
}

func prefixes(ps ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func endpoint(s string) packet.Endpoint { return packet.EndpointFrom(netip.MustParseAddrPort(s)) }

// member is the tcpcopy of that number with one outlet.
func member(n byte, claims ...string) Member {
	return Member{ID: [16]byte{n}, Name: fmt.Sprintf("S%d", n), Count: 1, Claims: prefixes(claims...)}
}

func join(t testing.TB, r *Router, m Member) *Outlet {
	t.Helper()
	l, err := r.Join(m, new(basket))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (r *Router) owns(t *testing.T, e string, want *Outlet) {
	t.Helper()
	to := endpoint(e)
	if l, _ := r.route(&to); l != want {
		t.Errorf("%s goes to %v, want %v", e, l, want)
	}
}

func TestPrefixesRouteToTheirOwner(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	a := join(t, r, member(1, "10.1.3.0/24", "2001:db8:3::/48"))
	b := join(t, r, member(2, "10.1.4.0/24", "10.1.5.7/32", "2001:db8:4::/64"))
	for e, want := range map[string]*Outlet{
		"10.1.2.255:1":             nil,
		"10.1.3.0:1":               a,
		"10.1.3.255:65535":         a,
		"10.1.4.0:1":               b,
		"10.1.5.6:1":               nil,
		"10.1.5.7:1":               b,
		"10.1.5.8:1":               nil,
		"0.0.0.0:1":                nil,
		"255.255.255.255:1":        nil,
		"[2001:db8:2:ffff::1]:1":   nil,
		"[2001:db8:3::]:1":         a,
		"[2001:db8:3:ffff::1]:1":   a,
		"[2001:db8:4::1]:1":        b,
		"[2001:db8:4:1::]:1":       nil,
		"[::]:1":                   nil,
		"[::10.1.3.1]:1":           nil,
		"[ffff:ffff:ffff:ffff::]:": nil,
	} {
		if strings.HasSuffix(e, ":") {
			e += "1"
		}
		r.owns(t, e, want)
	}
}

func TestSpansAgreeWithPrefixesOneByOne(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func() netip.Addr {
		// Few bits, so that prefixes nest and meet.
		v := rnd.Uint32N(1 << 10)
		if rnd.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, 0, byte(v >> 8), byte(v)})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 14: byte(v >> 8), 15: byte(v)})
	}
	for range 300 {
		o := new(owner)
		var ps []netip.Prefix
		var all []span
		for range rnd.IntN(30) {
			a := random()
			p := netip.PrefixFrom(a, a.BitLen()-rnd.IntN(10)).Masked()
			s, err := spanOf(p, o)
			if err != nil {
				t.Fatal(err)
			}
			ps, all = append(ps, p), append(all, s)
		}
		table := makeSpans(all)
		for range 100 {
			a := random()
			want := slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
			pa := packet.AddrFrom(a)
			if got := table.find(&pa) != nil; got != want {
				t.Fatalf("%v in %v: %v, want %v", a, ps, got, want)
			}
		}
	}
}

func TestClaimsThatOverlapAreRefusedByName(t *testing.T) {
	for _, tt := range []struct{ has, wants, why string }{
		{"10.1.3.0/24", "10.1.3.0/24", "10.1.3.0/24 overlaps 10.1.3.0/24, which S1 has claimed"},
		{"10.1.3.0/24", "10.1.3.7/32", "10.1.3.7/32 overlaps 10.1.3.0/24, which S1 has claimed"},
		{"10.1.3.7/32", "10.0.0.0/8", "10.0.0.0/8 overlaps 10.1.3.7/32, which S1 has claimed"},
		{"2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::/48 overlaps 2001:db8::/32, which S1 has claimed"},
		{"10.1.3.0/24", "10.1.4.0/24", ""},
		{"10.1.3.0/24", "2001:db8::/32", ""},
		{"10.1.3.0/24", "::/0", "::/0 holds the IPv4-mapped addresses"},
		{"10.1.3.0/24", "::ffff:0:0/95", "holds the IPv4-mapped addresses"},
		{"10.1.3.0/24", "0.0.0.0/0", "0.0.0.0/0 overlaps"},
		{"10.1.3.0/24", "8000::/1", ""},
	} {
		r := NewRouter(time.Minute, 0)
		a := join(t, r, member(1, tt.has))
		_, err := r.Join(member(2, tt.wants), new(basket))
		if tt.why == "" && err != nil || tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
			t.Errorf("%s beside %s: %v, want %q", tt.wants, tt.has, err, tt.why)
		}
		if got := r.Stats().Claims; err != nil && got != 1 {
			t.Errorf("%d claims after a refusal", got)
		}
		first, _ := netip.ParsePrefix(tt.has)
		r.owns(t, netip.AddrPortFrom(first.Addr(), 1).String(), a)
	}
}

func TestOwnerMayNestItsClaimsAndReplaceThem(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	old := join(t, r, member(1, "10.1.3.0/24", "10.1.0.0/16", "10.1.3.7/32"))
	r.owns(t, "10.1.3.7:1", old)
	r.owns(t, "10.1.255.255:1", old)
	now := join(t, r, member(1, "10.2.0.0/16"))
	r.owns(t, "10.1.3.7:1", nil)
	r.owns(t, "10.2.0.0:1", now)
	r.Leave(old) // it was replaced: nothing happens
	r.owns(t, "10.2.0.0:1", now)
}

func TestClaimsOutliveTheirOutletForTheGrace(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	l := join(t, r, member(1, "10.1.3.0/24"))
	e := endpoint("10.1.4.1:1")
	r.AddFlows(l, []packet.Endpoint{e})
	r.Leave(l)
	to := endpoint("10.1.3.1:1")
	for _, e := range []packet.Endpoint{to, e} {
		if _, out := r.route(&e); out != linkDown {
			t.Errorf("%v: outcome %d", e, out)
		}
	}
	r.Sweep(time.Now().Add(30 * time.Second))
	again := join(t, r, member(1, "10.1.3.0/24"))
	r.owns(t, "10.1.3.1:1", again)
	r.owns(t, "10.1.4.1:1", again)
	r.Leave(again)
	r.Sweep(time.Now().Add(2 * time.Minute))
	if st := r.Stats(); st.Claims != 0 || st.Flows != 0 {
		t.Errorf("after the grace %+v", st)
	}
	if _, out := r.route(&to); out != noSession {
		t.Errorf("outcome %d", out)
	}
	join(t, r, member(2, "10.1.3.0/24"))
}

func TestOwnerWithoutOutletsGivesWay(t *testing.T) {
	r := NewRouter(time.Hour, 0)
	gone := join(t, r, member(1, "10.1.3.0/24"))
	r.AddFlows(gone, []packet.Endpoint{endpoint("192.0.2.1:1")})
	r.Leave(gone)
	now := join(t, r, member(2, "10.1.0.0/16"))
	r.owns(t, "10.1.3.1:1", now)
	r.owns(t, "192.0.2.1:1", nil)
	r.Leave(gone)
	r.owns(t, "10.1.3.1:1", now)
}

func TestRepliesOfAConnectionKeepToOneOutletWhileItIsThere(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	m := member(1, "10.1.3.0/24")
	m.Count = 3
	var outlets []*Outlet
	for m.Index = range 3 {
		outlets = append(outlets, join(t, r, m))
	}
	for port := range 1000 {
		e := endpoint(fmt.Sprintf("10.1.3.1:%d", port))
		if l, _ := r.route(&e); l != outlets[packet.Shard(e.Port, 3)] {
			t.Fatal("another outlet than Shard's")
		}
	}
	r.Leave(outlets[0])
	for port := range 1000 {
		e := endpoint(fmt.Sprintf("10.1.3.1:%d", port))
		l, _ := r.route(&e)
		if at := packet.Shard(e.Port, 3); l == nil || at != 0 && l != outlets[at] {
			t.Fatal("an outlet that left moves others")
		}
	}
	m.Count, m.Index = 2, 0
	if _, err := r.Join(m, new(basket)); err == nil || !strings.Contains(err.Error(), "has 3 connections here, not 2") {
		t.Error(err)
	}
	r.Leave(outlets[1])
	r.Leave(outlets[2])
	join(t, r, m)
}

func TestFlowsOfOthersAreRefused(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	prefix := join(t, r, member(1, "10.1.3.0/24"))
	a := join(t, r, member(2))
	b := join(t, r, member(3))
	mine, theirs := endpoint("192.0.2.1:1"), endpoint("10.1.3.1:1")
	if n := r.AddFlows(a, []packet.Endpoint{mine, theirs}); n != 1 {
		t.Errorf("%d refused, want the one in another's prefix", n)
	}
	if n := r.AddFlows(b, []packet.Endpoint{mine}); n != 1 {
		t.Errorf("%d refused, want the one that is claimed", n)
	}
	r.DelFlows(b, []packet.Endpoint{mine})
	r.owns(t, "192.0.2.1:1", a)
	r.owns(t, "10.1.3.1:1", prefix)
	r.AddFlows(prefix, []packet.Endpoint{theirs})
	if n := r.Stats().Flows; n != 1 {
		t.Errorf("%d flows: one in the own prefix needs no entry", n)
	}
	r.Leave(a)
	if n := r.AddFlows(b, []packet.Endpoint{mine}); n != 0 {
		t.Error("the flow of a tcpcopy that left is refused")
	}
	r.owns(t, "192.0.2.1:1", b)
}

func TestListReplacesWhatAnEarlierConnectionOfTheOutletClaimed(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	m := member(1)
	m.Count = 2
	l := join(t, r, m)
	m.Index = 1
	other := join(t, r, m)
	r.AddFlows(l, []packet.Endpoint{endpoint("192.0.2.1:1"), endpoint("192.0.2.1:2")})
	r.AddFlows(other, []packet.Endpoint{endpoint("192.0.2.1:3")})
	r.Leave(l)
	m.Index = 0
	l = join(t, r, m)
	r.owns(t, "192.0.2.1:1", r.outletFor("192.0.2.1:1"))
	r.BeginList(l)
	r.AddFlows(l, []packet.Endpoint{endpoint("192.0.2.1:2"), endpoint("192.0.2.1:4")})
	r.EndList(l)
	for port, want := range map[int]bool{1: false, 2: true, 3: true, 4: true} {
		e := endpoint(fmt.Sprintf("192.0.2.1:%d", port))
		if l, _ := r.route(&e); (l != nil) != want {
			t.Errorf("port %d: %v", port, l)
		}
	}
}

func (r *Router) outletFor(e string) *Outlet {
	to := endpoint(e)
	l, _ := r.route(&to)
	return l
}

func TestFlowTableAgreesWithAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var f flows
	f.init()
	model := make(map[packet.Endpoint]flowFact)
	var keys []packet.Endpoint
	for range 5000 {
		e := packet.Endpoint{Port: uint16(rnd.Uint32N(4))}
		binary.BigEndian.PutUint32(e.Addr[12:], rnd.Uint32N(2000))
		keys = append(keys, e)
	}
	for step := range 60000 {
		e := keys[rnd.IntN(len(keys))]
		switch s := f.slot(&e); {
		case rnd.IntN(5) < 2 && s != nil:
			s.drop()
			f.live.Add(-1)
			delete(model, e)
		case rnd.IntN(2) == 0:
			fact := flowFact{owner: uint16(rnd.Uint32N(3)), outlet: uint8(rnd.Uint32N(2)), sync: rnd.Uint32N(9)}
			f.set(&e, fact)
			model[e] = fact
		default:
			want, there := model[e]
			got, ok := f.find(&e)
			if ok != there || ok && got != want.owner {
				t.Fatalf("step %d: %d, %v, want %v", step, got, ok, want)
			}
			if there && s.fact() != want {
				t.Fatalf("step %d: %+v, want %+v", step, s.fact(), want)
			}
		}
		if int(f.live.Load()) != len(model) {
			t.Fatalf("step %d: %d live, want %d", step, f.live.Load(), len(model))
		}
	}
	seen := make(map[packet.Endpoint]flowFact)
	f.each(func(s *flowSlot, e packet.Endpoint) { seen[e] = s.fact() })
	if len(seen) != len(model) {
		t.Errorf("each finds %d of %d", len(seen), len(model))
	}
	f.remove(func(fact flowFact) bool { return fact.owner == 1 })
	for e, fact := range model {
		if _, ok := f.find(&e); ok == (fact.owner == 1) {
			t.Fatalf("%v of owner %d: %v", e, fact.owner, ok)
		}
	}
	if n := len(f.table.Load().slots); n > 32<<10 {
		t.Errorf("%d slots for at most 5000 flows", n)
	}
}

// Flows that stay must be found at any moment, whatever happens to others.
func TestReadersNeverMissAFlowWhileOthersComeAndGo(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	a, b := join(t, r, member(1)), join(t, r, member(2))
	var stay, come []packet.Endpoint
	for i := range 500 {
		stay = append(stay, endpoint(fmt.Sprintf("192.0.2.%d:%d", i%250, i)))
	}
	for i := range 6000 {
		come = append(come, endpoint(fmt.Sprintf("198.51.100.%d:%d", i%250, i)))
	}
	r.AddFlows(a, stay)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if l, _ := r.route(&stay[i%len(stay)]); l != a {
					t.Errorf("%v was missed", stay[i%len(stay)])
					return
				}
				if l, _ := r.route(&come[i%len(come)]); l == a {
					t.Errorf("%v goes to a stranger", come[i%len(come)])
					return
				}
			}
		})
	}
	for i := range 5 {
		for part := range slices.Chunk(come, 1000) {
			r.AddFlows(b, part)
		}
		r.BeginList(a)
		r.AddFlows(a, stay)
		r.EndList(a)
		for part := range slices.Chunk(come, 700+i) {
			r.DelFlows(b, part)
		}
	}
	close(done)
	wg.Wait()
}

func BenchmarkRoutePrefix(b *testing.B) {
	r := NewRouter(time.Minute, 0)
	for i := range byte(3) {
		join(b, r, member(i, fmt.Sprintf("10.1.%d.0/24", i+3)))
	}
	e := endpoint("10.1.4.7:40000")
	b.ReportAllocs()
	for b.Loop() {
		r.route(&e)
	}
}

func BenchmarkRouteFlow(b *testing.B) {
	r := NewRouter(time.Minute, 0)
	l := join(b, r, member(1))
	es := make([]packet.Endpoint, 100000)
	for i := range es {
		es[i] = packet.Endpoint{Addr: packet.Addr{12: 10, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}, Port: uint16(i)}
	}
	r.AddFlows(l, es)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r.route(&es[i*7919%len(es)])
		i++
	}
}

func TestClaimsOfPrefixesAndOfEndpointsAreNamed(t *testing.T) {
	r := NewRouter(time.Minute, 0)
	join(t, r, member(1, "10.1.3.0/24", "2001:db8:3::/48"))
	flows := join(t, r, member(2))
	named := func() (out []string) {
		for p, owner := range r.Claims {
			out = append(out, fmt.Sprintf("%s %v", owner, p.IsValid()))
		}
		return out
	}
	if got := named(); !slices.Equal(got, []string{"S1 true", "S1 true"}) {
		t.Errorf("claimed are %q", got)
	}
	r.AddFlows(flows, []packet.Endpoint{endpoint("192.0.2.1:1")})
	if got := named(); len(got) != 3 || !strings.HasSuffix(got[2], "false") {
		t.Errorf("claimed are %q", got)
	}
}
