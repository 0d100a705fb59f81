package flow

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func TestTableFindsWhatAMapFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var table Table
	model := map[uint32]uint64{} // index -> hash
	for step := range 20_000 {
		if r.IntN(3) > 0 || len(model) == 0 {
			i := uint32(step + 1)
			h := uint64(r.IntN(5000)) // many collide
			table.Insert(h, i)
			model[i] = h
		} else {
			for i, h := range model {
				table.Delete(h, i)
				delete(model, i)
				break
			}
		}
		if step%1000 == 0 {
			for i, h := range model {
				if got := table.Find(h, func(k uint32) bool { return k == i }); got != i {
					t.Fatalf("step %d: index %d is not found", step, i)
				}
			}
		}
		if table.Len() != len(model) {
			t.Fatalf("length %d, want %d", table.Len(), len(model))
		}
	}
}

func TestWheelFiresEachTimerOnceNeverLate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var w Wheel
	now := int64(1_000_000)
	w.Start(now)
	due := map[uint32]int64{}
	for range 4_000 {
		switch r.IntN(4) {
		case 0, 1:
			i := uint32(1 + r.IntN(500))
			at := now + 1 + int64(r.IntN(40_000))
			if old, ok := due[i]; ok && old <= at {
				continue // lazily left where it is
			}
			due[i] = at
			w.Arm(i, at)
		case 2:
			i := uint32(1 + r.IntN(500))
			w.Disarm(i)
			delete(due, i)
		case 3:
			now += int64(r.IntN(3000))
			w.Advance(now, func(i uint32) {
				at, ok := due[i]
				if !ok {
					t.Fatalf("timer %d fired and was not armed", i)
				}
				if at > now {
					w.Arm(i, at) // beyond the horizon
					return
				}
				delete(due, i)
			})
			for i, at := range due {
				if at <= now {
					t.Fatalf("timer %d, due at %d, did not fire by %d", i, at, now)
				}
			}
		}
		first := int64(-1)
		for _, at := range due {
			if first < 0 || at < first {
				first = at
			}
		}
		if n := w.Next(); (n < 0) != (first < 0) || n > first {
			t.Fatalf("next timer at %d, want %d or before", n, first)
		}
	}
}

func TestWheelArmedFarAheadWhileFiringEnds(t *testing.T) {
	var w Wheel
	w.Start(1)
	w.Arm(1, 5)
	fired := 0
	w.Advance(10, func(i uint32) { fired++; w.Arm(i, 1<<40) })
	if fired != 1 {
		t.Fatalf("fired %d times", fired)
	}
}

func TestSlabIndexesStayValid(t *testing.T) {
	var s Slab[uint64]
	for i := uint64(1); i <= 5000; i++ {
		k := s.Alloc()
		if uint64(k) != i {
			t.Fatalf("index %d, want %d", k, i)
		}
		*s.At(k) = i
	}
	s.Free(17)
	if k := s.Alloc(); k != 17 || *s.At(k) != 0 {
		t.Fatalf("got %d with %d, want 17 with 0", k, *s.At(k))
	}
	if *s.At(4999) != 4999 || s.Len() != 5000 {
		t.Fatal("a value moved")
	}
}

func TestSlabGivesBackWhatIsEmpty(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s Slab[[5]uint64]
	one := int64(0)
	live := map[uint32]uint64{}
	for step := range 60_000 {
		if grow := step/10_000%2 == 0; r.IntN(4) > 0 == grow || len(live) == 0 {
			i := s.Alloc()
			if _, ok := live[i]; ok || i == 0 || *s.At(i) != [5]uint64{} {
				t.Fatalf("step %d: index %d is in use, or not zero: %v", step, i, *s.At(i))
			}
			live[i] = r.Uint64()
			s.At(i)[4] = live[i]
		} else {
			for i := range live {
				s.Free(i)
				delete(live, i)
				break
			}
		}
		if step == 0 {
			one = s.Bytes()
		}
		if s.Len() != len(live) || s.Bytes() < one*int64(len(live)/chunk) {
			t.Fatalf("step %d: %d values in %d bytes, want %d", step, s.Len(), s.Bytes(), len(live))
		}
	}
	for i, v := range live {
		if s.At(i)[4] != v {
			t.Fatalf("value %d moved", i)
		}
		s.Free(i)
	}
	if s.Bytes() != one {
		t.Errorf("%d bytes are kept for nothing, want %d", s.Bytes(), one)
	}
}

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

func TestEndpointsOfAllWorkersAreDistinctAndInTheirShard(t *testing.T) {
	var pool []packet.Addr
	for i := range 254 {
		pool = append(pool, packet.Addr4([]byte{10, 1, 3, byte(i + 1)}))
	}
	const shards = 3
	used := map[packet.Endpoint]bool{}
	for shard := range shards {
		e := NewEndpoints(shard, shards, pool, nil, 99)
		for i := range 2000 {
			client := packet.Endpoint{Addr: packet.Addr4([]byte{192, 0, 2, byte(i % 50)}), Port: uint16(20000 + i)}
			got, ok := e.Choose(client, 0, addr("10.1.2.100"), i%5 == 0, func(p packet.Endpoint) bool { return used[p] })
			if !ok || used[got] {
				t.Fatalf("client %v got %v, %v", client, got, ok)
			}
			if packet.Shard(got.Port, shards) != shard {
				t.Fatalf("%v is not of shard %d", got, shard)
			}
			used[got] = true
		}
	}
}

func TestAClientKeepsItsPortAndItsPlaceInThePool(t *testing.T) {
	pool := []packet.Addr{addr("10.1.3.1"), addr("10.1.3.2"), addr("10.1.3.3")}
	e := NewEndpoints(0, 1, pool, nil, 7)
	none := func(packet.Endpoint) bool { return false }
	a, _ := e.Choose(packet.Endpoint{Addr: addr("192.0.2.1"), Port: 5000}, 0, addr("10.1.2.100"), false, none)
	b, _ := e.Choose(packet.Endpoint{Addr: addr("192.0.2.1"), Port: 5001}, 0, addr("10.1.2.100"), false, none)
	if a.Addr != b.Addr || a.Port != 5000 || b.Port != 5001 {
		t.Fatalf("got %v and %v", a, b)
	}
	c, _ := NewEndpoints(0, 1, nil, nil, 7).Choose(packet.Endpoint{Addr: addr("fd00::1"), Port: 5000}, 0, addr("fd00::2"), false, none)
	if c != (packet.Endpoint{Addr: addr("fd00::1"), Port: 5000}) {
		t.Fatalf("without a pool the client became %v", c)
	}
}

func TestAnExhaustedPoolSaysSo(t *testing.T) {
	e := NewEndpoints(0, 1, []packet.Addr{addr("10.1.3.1")}, nil, 7)
	used := map[packet.Endpoint]bool{}
	n := 0
	for {
		p, ok := e.Choose(packet.Endpoint{Addr: addr("192.0.2.1"), Port: 80}, 0, addr("10.1.2.100"), true, func(p packet.Endpoint) bool { return used[p] })
		if !ok {
			break
		}
		used[p] = true
		n++
	}
	if n != 1<<16-minPort {
		t.Fatalf("%d endpoints at one address, want %d", n, 1<<16-minPort)
	}
}

func TestRestRemembersForItsPeriodAndIsBounded(t *testing.T) {
	r := NewRest(1000, 7)
	end := func(i int) packet.Endpoint {
		return packet.Endpoint{Addr: packet.Addr4([]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: uint16(i)}
	}
	for i := range 5000 {
		now := int64(i)
		r.Expire(now)
		r.Add(end(i), now)
		for _, k := range []int{0, i - 1000, i - 999, i - 500, i, i + 1} {
			if k < 0 {
				continue
			}
			want := k <= i && int64(k)+1000 > now
			if got := r.Has(end(k)); got != want {
				t.Fatalf("at %d, endpoint of %d: remembered %v, want %v", i, k, got, want)
			}
		}
	}
	r.Add(end(4999), 4999) // twice is as good as once
	r.Expire(5999)
	if r.Has(end(4999)) || r.table.Len() != 0 {
		t.Fatal("something is remembered for ever")
	}
	for i := range maxRest + 10 {
		r.Add(end(i), 6000)
	}
	if r.Has(end(9)) || !r.Has(end(10)) || r.table.Len() != maxRest {
		t.Fatalf("%d endpoints are remembered, at most %d may be", r.table.Len(), maxRest)
	}
}

func TestCopiesOfAClientSpreadOverThePool(t *testing.T) {
	var pool []packet.Addr
	for i := range 254 {
		pool = append(pool, packet.Addr4([]byte{10, 1, 3, byte(i + 1)}))
	}
	e := NewEndpoints(0, 1, pool, nil, 7)
	used := map[packet.Endpoint]bool{}
	addrs := map[packet.Addr]bool{}
	for copy := range uint16(1023) {
		got, ok := e.Choose(packet.Endpoint{Addr: addr("192.0.2.1"), Port: 5000}, copy, addr("10.1.2.100"), false, func(p packet.Endpoint) bool { return used[p] })
		if !ok || used[got] {
			t.Fatalf("copy %d got %v, %v", copy, got, ok)
		}
		used[got], addrs[got.Addr] = true, true
	}
	if len(addrs) < 200 {
		t.Errorf("1023 copies are on %d of 254 addresses", len(addrs))
	}
}

// Among a million sessions, each looked for once before any is again.
func BenchmarkFind(b *testing.B) {
	const n = 1 << 20
	ends := make([]packet.Endpoint, n+1)
	var table Table
	for i := uint32(1); i <= n; i++ {
		ends[i] = packet.Endpoint{Addr: packet.Addr4([]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: uint16(i)}
		table.Insert(ends[i].Hash(1), i)
	}
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i = (i + 7919) % n {
		e := ends[i+1]
		if table.Find(e.Hash(1), func(k uint32) bool { return ends[k] == e }) != i+1 {
			b.Fatal("not found")
		}
	}
}
