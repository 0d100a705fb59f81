package flow

import (
	"math/bits"
	"unsafe"
)

// Wheel is a timing wheel of one-millisecond slots (Varghese and Lauck, 1987,
// scheme 6) over indexes. A timer beyond its horizon fires there, early; whoever
// it belongs to arms it again. So does one that was armed for later in the
// meantime: only moving a timer to an earlier time touches the lists.
type Wheel struct {
	tick  int64 // the slot that is due next, ms
	heads [wheelSlots]uint32
	used  [wheelSlots / 64]uint64
	links []*[chunk]link // by index; chunks never move
	armed int
}

type link struct {
	next, prev uint32
	at         int64 // tick; 0: not armed
}

const wheelSlots = 1 << 14

// Start sets the time, in milliseconds, before anything is armed.
func (w *Wheel) Start(ms int64) { w.tick = ms }

// Arm makes index fire at ms or earlier.
func (w *Wheel) Arm(index uint32, ms int64) {
	for int(index/chunk) >= len(w.links) {
		w.links = append(w.links, new([chunk]link))
	}
	ms = min(max(ms, w.tick), w.tick+wheelSlots-2) // never into the slot that Advance is emptying
	l := w.link(index)
	if l.at != 0 {
		if l.at <= ms {
			return
		}
		w.unlink(index)
	}
	i := ms & (wheelSlots - 1)
	l.at, l.prev, l.next = ms, 0, w.heads[i]
	if l.next != 0 {
		w.link(l.next).prev = index
	}
	w.heads[i] = index
	w.used[i/64] |= 1 << (i % 64)
	w.armed++
}

func (w *Wheel) link(index uint32) *link { return &w.links[index/chunk][index%chunk] }

// Bytes is the memory that the wheel takes for its timers.
func (w *Wheel) Bytes() int64 { return int64(len(w.links)) * int64(unsafe.Sizeof([chunk]link{})) }

// Disarm takes index out.
func (w *Wheel) Disarm(index uint32) {
	if int(index/chunk) < len(w.links) && w.link(index).at != 0 {
		w.unlink(index)
	}
}

func (w *Wheel) unlink(index uint32) {
	l := w.link(index)
	i := l.at & (wheelSlots - 1)
	if l.prev != 0 {
		w.link(l.prev).next = l.next
	} else if w.heads[i] = l.next; l.next == 0 {
		w.used[i/64] &^= 1 << (i % 64)
	}
	if l.next != 0 {
		w.link(l.next).prev = l.prev
	}
	*l = link{}
	w.armed--
}

// Advance moves the time to ms and calls fire for each timer that is due. fire
// may arm and disarm.
func (w *Wheel) Advance(ms int64, fire func(index uint32)) {
	for w.tick <= ms {
		next := w.next()
		if next < 0 || next > ms {
			w.tick = ms + 1
			return
		}
		w.tick = next + 1
		i := next & (wheelSlots - 1)
		for w.heads[i] != 0 {
			index := w.heads[i]
			w.unlink(index)
			fire(index)
		}
	}
}

// Next is the time of the first timer, or -1.
func (w *Wheel) Next() int64 { return w.next() }

func (w *Wheel) next() int64 {
	if w.armed == 0 {
		return -1
	}
	start := w.tick & (wheelSlots - 1)
	for k := int64(0); k <= wheelSlots/64; k++ {
		word := (start/64 + k) % (wheelSlots / 64)
		b := w.used[word]
		if k == 0 {
			b &= ^uint64(0) << (start % 64)
		}
		if k == wheelSlots/64 {
			b &= 1<<(start%64) - 1
		}
		if b != 0 {
			slot := word*64 + int64(bits.TrailingZeros64(b))
			return w.tick + (slot-start)&(wheelSlots-1)
		}
	}
	return -1
}
