package ring

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shards opens n rings with a spare on vb.
func (p pair) shards(n int, memory int64) []*Ring {
	p.b.t.Helper()
	var rings []*Ring
	p.b.in(func() {
		var err error
		rings, err = OpenShards(Config{Interface: "vb", Filter: onlyTCP, BlockSize: 128 << 10, RetireTimeout: 2 * time.Millisecond}, n, memory)
		must(p.b.t, err)
	})
	p.b.t.Cleanup(func() {
		for _, r := range rings {
			must(p.b.t, r.Close())
		}
	})
	return rings
}

// numbered sends packet number i, with a payload of some bytes.
func (w wire) numbered(i, size int) {
	payload := make([]byte, size)
	binary.BigEndian.PutUint32(payload, uint32(i))
	w.send(tcp(port(a4, uint16(1000+i%100)), port(b4, 80), payload))
}

// numbers reads what the rings hold until nothing came for some time. It fails
// unless each ring has its own packets, whole and in their order. sizes are of
// the payloads.
func numbers(t *testing.T, rings []*Ring, sizes func(i int) int, read *atomic.Int64) (got int) {
	t.Helper()
	last := make([]int, len(rings))
	for quiet := time.Now(); time.Since(quiet) < 4*maxSpareRetire; time.Sleep(time.Millisecond) {
		for k, r := range rings {
			for f := (Frame{}); r.Next(&f); got++ {
				quiet = time.Now()
				i := int(binary.BigEndian.Uint32(f.Data[40:]))
				if i < last[k] || owner(f.Data, len(rings)) != k {
					t.Fatalf("ring %d: packet %d behind %d", k, i, last[k])
				}
				if len(f.Data) != f.Wire || len(f.Data) != 40+sizes(i) {
					t.Fatalf("packet %d: %d of %d bytes", i, len(f.Data), f.Wire)
				}
				last[k] = i
				read.Add(1)
			}
		}
	}
	return got
}

func drops(t *testing.T, rings []*Ring) (s Stats) {
	t.Helper()
	for _, r := range rings {
		one, err := r.Stats()
		must(t, err)
		s.Packets += one.Packets
		s.Drops += one.Drops
		s.Spared += one.Spared
	}
	return s
}

func TestRingsThatAreNotReadForTwoSecondsHoldWhatComes(t *testing.T) {
	p := newPair(t)
	w := p.a.wire("va")
	rings := p.shards(2, 32<<20)
	const rate, n = 10000, 20000
	began := time.Now()
	for i := range n {
		w.numbered(i, 150)
		if ahead := time.Duration(i)*time.Second/rate - time.Since(began); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	got := numbers(t, rings, func(int) int { return 150 }, new(atomic.Int64))
	if s := drops(t, rings); got != n || s.Packets != n || s.Drops != 0 || s.Spared == 0 {
		t.Errorf("%d of %d packets, %+v", got, n, s)
	}
	// It goes on as before, without the spare.
	before := drops(t, rings).Spared
	for i := range 100 {
		w.numbered(n+i, 150)
	}
	if got := numbers(t, rings, func(int) int { return 150 }, new(atomic.Int64)); got != 100 || drops(t, rings).Spared != before {
		t.Errorf("%d of 100 packets behind a stall, %+v", got, drops(t, rings))
	}
}

// As much is on its way as rings and spare hold; more would roll over to rings
// of others.
func TestPacketsOfAllSizesStayInOrderAcrossTheSpare(t *testing.T) {
	p := newPair(t)
	for _, h := range []host{p.a, p.b} {
		name := "va"
		if h == p.b {
			name = "vb"
		}
		must(t, h.nl.LinkSetMTU(h.link(name), 65535))
	}
	w := p.a.wire("va")
	sizes := func(i int) int {
		if i%3 == 0 {
			return 60000
		}
		return 10 + i%1400
	}
	rings := p.shards(3, 6<<20)
	const n, most = 6000, 130
	var read, sent atomic.Int64
	go func() {
		for i := range n {
			for i-int(read.Load()) > most {
				time.Sleep(100 * time.Microsecond)
			}
			w.numbered(i, sizes(i))
			sent.Add(1)
		}
	}()
	eventually(t, func() bool { return sent.Load() >= most }) // more than the rings' own blocks hold
	got := numbers(t, rings, sizes, &read)
	if s := drops(t, rings); got+int(s.Drops) != n || s.Spared == 0 {
		t.Errorf("%d of %d packets, %+v", got, n, s)
	}
}

func TestSpareServesWhicheverRingIsInNeed(t *testing.T) {
	p := newPair(t)
	w := p.a.wire("va")
	rings := p.shards(4, 16<<20)
	b := tcp(port(a4, 1000), port(b4, 80), make([]byte, 1400))
	k := owner(b, len(rings))
	const n = 4000 // 6 MB: more than the ring's own 2, and less than the spare takes
	for range n {
		w.send(b)
	}
	got := 0
	eventually(t, func() bool {
		for f := (Frame{}); rings[k].Next(&f); got++ {
		}
		return got >= n-1 // the one that did not fit into the ring's last block
	})
	if s := drops(t, rings); s.Packets != n || s.Drops > 1 || s.Spared < n/2 {
		t.Errorf("%d of %d packets, %+v", got, n, s)
	}
}

func TestWaitDoesNotSpinWhileTheSpareIsFilled(t *testing.T) {
	p := newPair(t)
	w := p.a.wire("va")
	r := p.shards(1, 2<<20)[0]
	poller := newPoller(t, r)
	const n = 2400 // 1.5 MB, of which the ring's own 1 holds a part
	for i := range n {
		w.numbered(i, 500)
	}
	waits := 0
	for got, lost := 0, 0; got+lost < n; waits++ {
		for f := (Frame{}); r.Next(&f); got++ {
		}
		lost = int(drops(t, []*Ring{r}).Drops)
		must(t, poller.Wait(maxSpareRetire, nil))
	}
	if s := drops(t, []*Ring{r}); s.Spared == 0 || waits > 10*int(maxSpareRetire/MinRest) {
		t.Errorf("%d waits, %+v", waits, s)
	}
}

func TestFilterHoldsForTheSpare(t *testing.T) {
	p := newPair(t)
	w := p.a.wire("va")
	rings := p.shards(2, 4<<20)
	for _, r := range rings {
		must(t, r.SetFilter(nothing))
	}
	for i := range 5000 {
		w.numbered(i, 1000)
	}
	if got := numbers(t, rings, func(int) int { return 1000 }, new(atomic.Int64)); got != 0 {
		t.Errorf("%d packets that no filter lets in", got)
	}
}

func TestClosedRingWithASpareHasNoFrames(t *testing.T) {
	p := newPair(t)
	rings := p.shards(2, 4<<20)
	w := p.a.wire("va")
	must(t, rings[0].Close())
	w.numbered(1, 100)
	for _, r := range rings {
		must(t, r.Close())
		if f := (Frame{}); r.Next(&f) || r.Ready() {
			t.Error("it has")
		}
		if _, err := r.Stats(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

func TestShardsNameWhatIsWrong(t *testing.T) {
	needRoot(t)
	for _, n := range []int{0, maxGroup} {
		if _, err := OpenShards(Config{Interface: "lo"}, n, 1<<20); err == nil {
			t.Errorf("%d rings with a spare are accepted", n)
		}
	}
	if _, err := OpenShards(Config{Interface: "nosuch0"}, 1, 1<<20); err == nil {
		t.Error("an interface that does not exist is accepted")
	}
}

func TestShardIsShardProgram(t *testing.T) {
	for n := 1; n <= 5; n++ {
		vm := machine(t, ShardProgram(n))
		for i := range 2000 {
			b := tcp(port(a4, uint16(i*31)), port(b4, 80), nil)
			switch i % 5 {
			case 1:
				b = tcp(port(a6, uint16(i*31)), port(b6, 80), nil)
			case 2:
				b = options(b)
			case 3:
				b[(i/5)%len(b)] ^= byte(i / 7)
			case 4:
				b = b[:(i/5)%len(b)]
			}
			want := 0
			if len(b) > 0 {
				v, err := vm.Run(b)
				must(t, err)
				want = v
			}
			if got := shard(b, n); got != want {
				t.Fatalf("%x: shard %d of %d, the program says %d", b, got, n, want)
			}
		}
	}
}

// FuzzSpare gives two readers a spare that no kernel wrote. They must end, see
// each frame once at most, and give the blocks back.
func FuzzSpare(f *testing.F) {
	f.Add([]byte{})
	block := make([]byte, 300)
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(block[at:], v) }
	put(8, unix.TP_STATUS_USER)
	put(12, 2)
	put(16, 48)
	put(48, 100)
	put(48+12, 60)
	put(48+24, 82|96<<16)
	f.Add(block)
	f.Fuzz(func(t *testing.T, b []byte) {
		const size, slots = 4096, 2
		memory := func() *Ring {
			r := &Ring{version: V3}
			r.walk = newWalk(V3, make([]byte, size*slots), size, 256)
			return r
		}
		s, rings := memory(), []*Ring{memory(), memory()}
		copy(s.walk.mem, b)
		lend(s, rings)
		first := framesOf(s.walk.mem[:size]).left
		ready := s.walk.ready(0)
		frames := 0
		for range 3 {
			for _, r := range rings {
				for fr := (Frame{}); r.Next(&fr); frames++ {
					if frames > size*slots {
						t.Fatal("no end")
					}
				}
			}
		}
		if ready && first > 0 && s.walk.ready(0) {
			t.Fatal("the block was not given back")
		}
	})
}
