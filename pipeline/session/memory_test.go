package session

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// heapInUse is what is in use of the process' heap.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// fill gives a session segments of a size until the bound ends it, and returns
// how many bytes it took.
func fill(t *testing.T, c *Core, size, copies int) int {
	t.Helper()
	s := make([]Session, copies)
	payload := make([]byte, size)
	for i := range s {
		s[i] = Session{MTU: 1500, Target: targetEnd}
		c.Begin(&s[i], Second)
	}
	give := func(g packet.Segment) {
		c.Client(&s[0], &g, Second)
		for i := range s[1:] {
			c.Copy(&s[i+1], &g, Second)
		}
	}
	limit := c.Stats.Dropped[MemoryLimit]
	give(packet.Segment{Flags: packet.SYN, Seq: 1})
	n := 0
	for seq := uint32(2); c.Stats.Dropped[MemoryLimit] == limit; seq += uint32(size) {
		give(packet.Segment{Flags: packet.ACK | packet.PSH, Seq: seq, Ack: 9, Payload: payload, Len: size})
		n += size
	}
	for i := range s {
		c.Abort(&s[i], Shutdown, Second)
	}
	c.FreeSent()
	return n
}

// What was payload bytes alone let a process grow to eight times the bound. The
// sizes follow each other in one Core, so that what one leaves serves the next.
func TestTheBoundOfMemoryIsTheHeapsWhateverTheSizeOfSegments(t *testing.T) {
	const bound = 32 << 20
	before := heapInUse()
	c := New(Config{Memory: bound}, &counting{})
	for _, size := range []int{1, 16, 64, 1448, 65_000, 1} {
		held := fill(t, c, size, 1)
		grown := heapInUse() - before
		t.Logf("segments of %d bytes: %d kB of payload, heap grew by %d kB, %d %% of the bound", size, held>>10, grown>>10, grown*100/bound)
		if grown > bound+bound/10 || grown < bound-bound/10 {
			t.Errorf("segments of %d bytes: the heap grew by %d bytes, the bound is %d", size, grown, bound)
		}
		if size >= 1448 && held < bound*8/10 {
			t.Errorf("segments of %d bytes: %d bytes of payload in %d of memory", size, held, bound)
		}
		if c.Held() != 0 {
			t.Errorf("%d bytes are held for nobody", c.Held())
		}
	}
	runtime.KeepAlive(c)
}

func TestCopiesOfASessionAreWithinTheBound(t *testing.T) {
	const bound = 16 << 20
	before := heapInUse()
	c := New(Config{Memory: bound}, &counting{})
	held := fill(t, c, 1448, 8)
	if grown := heapInUse() - before; grown > bound+bound/10 || held < bound*7/10 {
		t.Errorf("%d bytes of payload for 8 copies, the heap grew by %d, the bound is %d", held, grown, bound)
	}
	runtime.KeepAlive(c)
}

func TestWhatTheOwnerUsesCountsAgainstTheBound(t *testing.T) {
	const bound = 4 << 20
	c := New(Config{Memory: bound}, &counting{})
	all := fill(t, c, 1448, 1)
	c.SetOverhead(bound / 2)
	if c.Used() != bound/2 || c.Held() != 0 {
		t.Errorf("%d used, %d held", c.Used(), c.Held())
	}
	if half := fill(t, c, 1448, 1); half < all*4/10 || half > all*6/10 {
		t.Errorf("%d bytes with half of the bound, %d with all", half, all)
	}
	if taken := int64(c.pieces.taken) * pageSize; taken > bound/2 {
		t.Errorf("%d bytes are kept in pages beside an overhead of %d", taken, bound/2)
	}
}

func TestMemoryThatABurstTookIsGivenBack(t *testing.T) {
	c := New(Config{Memory: 8 << 20}, &counting{})
	fill(t, c, 1448, 1)
	most := c.pieces.taken
	for range 20 * trimEvery {
		c.FreeSent()
	}
	if c.pieces.taken > most/10 {
		t.Errorf("%d of %d pages are kept", c.pieces.taken, most)
	}
}

func TestASteadyNeedIsNotGivenBack(t *testing.T) {
	r := newReplay(1448, 2000)
	for range 3 * trimEvery {
		r.turn()
	}
	if n := testing.AllocsPerRun(2*trimEvery, r.turn); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestSlotsDoNotOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var m memory
	m.init()
	type slot struct {
		r    ref
		size int
		mark byte
	}
	var slots []slot
	bytes := func(s slot) []byte {
		ps := pieces{memory: m}
		return ps.bytes(s.r, s.size)
	}
	for step := range 30_000 {
		if grow := step/5000%2 == 0; r.IntN(4) > 0 == grow || len(slots) == 0 {
			s := slot{size: 1 + r.IntN(1<<r.IntN(15)), mark: byte(r.Uint32())}
			s.r = m.alloc(s.size)
			for i := range bytes(s) {
				bytes(s)[i] = s.mark
			}
			slots = append(slots, s)
			continue
		}
		i := r.IntN(len(slots))
		s := slots[i]
		for k, b := range bytes(s) {
			if b != s.mark {
				t.Fatalf("step %d: byte %d of a slot of %d was overwritten", step, k, s.size)
			}
		}
		m.free(s.r)
		slots[i] = slots[len(slots)-1]
		slots = slots[:len(slots)-1]
	}
	for _, s := range slots {
		m.free(s.r)
	}
	if m.used != 0 || m.taken != len(m.spare)+m.empty {
		t.Errorf("%d pages are in use, %d taken, %d spare, %d empty", m.used, m.taken, len(m.spare), m.empty)
	}
}

func TestEverySizeHasASlotThatFits(t *testing.T) {
	for size := 1; size <= pageSize; size++ {
		units := int(slotUnits[classOf[(size+unit-1)/unit]])
		if units*unit < size {
			t.Fatalf("%d bytes get a slot of %d", size, units*unit)
		}
		if size > 64 && units*unit > size*3/2+unit && size < pageSize/2 {
			t.Errorf("%d bytes get a slot of %d", size, units*unit)
		}
	}
}

// A packet that GRO made is longer than a page.
func TestPayloadLongerThanAPageIsOneRunAfterTheOther(t *testing.T) {
	var ps pieces
	ps.init()
	b := make([]byte, 65_000)
	for i := range len(b) / 4 {
		binary.BigEndian.PutUint32(b[4*i:], uint32(i))
	}
	for _, n := range []int{1, 100, bufferMax, bufferMax + 1, len(b)} {
		ps.capture(b)
		r := ps.alloc(1, 1, pieceData, n)
		p := ps.at(r)
		var got []byte
		for off := uint32(0); off < p.len; {
			run := ps.run(p, off)
			got, off = append(got, run...), off+uint32(len(run))
		}
		if string(got) != string(b[len(b)-n:]) {
			t.Errorf("the last %d bytes came out as %d others", n, len(got))
		}
		ps.freePiece(r)
		ps.freeSent()
	}
	if ps.held() != 0 {
		t.Errorf("%d bytes are held", ps.held())
	}
}
