package session

import "unsafe"

// memory is where a Core keeps what sessions hold beside themselves: pieces,
// payload and scoreboards. It is made of pages, and a page of slots of one size,
// so that what is taken of the process is known, and a page that has become
// empty serves another size. Nothing in it is a pointer: a ref says where
// something is, and the collector has nothing to look at.
type memory struct {
	limit    int64 // bytes of pages and overhead; 0: none
	overhead int64 // bytes that count although they are not here

	pages []*page
	info  []pageInfo
	room  [len(slotUnits)]uint32 // by class: the first page that has a free slot
	spare []uint32               // pages without a class
	void  []uint32               // page numbers without memory

	taken int // pages with memory
	used  int // of these, such with a slot in use
	empty int // and such without, that keep their class
	idle  int // how many of spare were not needed since the last trim
	trims int // calls of trim
}

// A ref is a place in memory: the number of the page, and the unit in it. There
// is no page 0, so 0 is none.
type ref uint32

const (
	unit      = 8 // bytes: what slots are aligned to
	pageBits  = 11
	pageUnits = 1 << pageBits
	pageSize  = pageUnits * unit
)

type page [pageUnits]uint64

type pageInfo struct {
	next, prev uint32 // pages of the class with a free slot
	free       uint16 // first free slot below top
	top        uint16 // slots from here on were never used
	used       uint16 // slots
	class      uint8
	listed     bool
}

// noSlot ends the list of free slots.
const noSlot = 0xffff

// slotUnits are the sizes of slots. Each is the largest of which as many go into
// a page, but for the small ones, which are what pieces and short payload need.
var slotUnits = [...]uint16{
	2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 16, 20, 26, 32, 40, 51, 64, 81, 102, 128, 157, 186, 227, 292, 409, 512, 682, 1024, 2048,
}

// classOf is the class of the smallest slot of so many units.
var classOf = func() (t [pageUnits + 1]uint8) {
	for class, n := len(slotUnits)-1, pageUnits; n >= 0; n-- {
		for class > 0 && int(slotUnits[class-1]) >= n {
			class--
		}
		t[n] = uint8(class)
	}
	return t
}()

func (m *memory) init() {
	m.pages, m.info = make([]*page, 1), make([]pageInfo, 1)
}

// at is the T at r.
func at[T any](m *memory, r ref) *T {
	return (*T)(unsafe.Pointer(&m.pages[r>>pageBits][r%pageUnits]))
}

// lastUnit is the last unit of the slot at r.
func (m *memory) lastUnit(r ref) ref { return r + ref(slotUnits[m.info[r>>pageBits].class]) - 1 }

// alloc returns a slot of at least size bytes, with whatever was in it.
func (m *memory) alloc(size int) ref {
	class := classOf[(size+unit-1)/unit]
	n := m.room[class]
	if n == 0 {
		n = m.addPage(class)
	}
	in, units := &m.info[n], slotUnits[class]
	u := in.free
	if u != noSlot {
		in.free = uint16(m.pages[n][u])
	} else {
		u = in.top
		in.top += units
	}
	if in.used == 0 {
		m.used++
		m.empty--
	}
	in.used++
	if in.free == noSlot && in.top > pageUnits-units {
		m.unlink(n)
	}
	return ref(n<<pageBits | uint32(u))
}

// free takes a slot back.
func (m *memory) free(r ref) {
	n, u := uint32(r>>pageBits), uint16(r%pageUnits)
	in := &m.info[n]
	m.pages[n][u] = uint64(in.free)
	in.free = u
	if !in.listed {
		m.link(n)
	}
	if in.used--; in.used > 0 {
		return
	}
	m.used--
	if m.room[in.class] == n && in.next == 0 {
		m.empty++ // it is what the next alloc of its class looks for
		return
	}
	m.unlink(n)
	m.spare = append(m.spare, n)
}

// addPage gives a class another page.
func (m *memory) addPage(class uint8) uint32 {
	n := m.emptyPage()
	m.info[n] = pageInfo{class: class, free: noSlot}
	m.link(n)
	m.empty++
	return n
}

// emptyPage finds a page: one to spare, or new memory, or at the limit one that
// another class keeps.
func (m *memory) emptyPage() uint32 {
	if k := len(m.spare); k > 0 {
		n := m.spare[k-1]
		m.spare = m.spare[:k-1]
		m.idle = min(m.idle, k-1)
		return n
	}
	if m.empty > 0 && m.growth() <= 0 {
		for _, n := range m.room {
			if n != 0 && m.info[n].used == 0 {
				m.unlink(n)
				m.empty--
				return n
			}
		}
	}
	m.taken++
	if k := len(m.void); k > 0 {
		n := m.void[k-1]
		m.void = m.void[:k-1]
		m.pages[n] = new(page)
		return n
	}
	m.pages = append(m.pages, new(page))
	m.info = append(m.info, pageInfo{})
	return uint32(len(m.pages) - 1)
}

// growth is how many pages of new memory the limit allows.
func (m *memory) growth() int {
	if m.limit == 0 {
		return 1 << 30
	}
	return int((m.limit-m.overhead)/pageSize) - m.taken
}

// available is how many pages can be had within the limit.
func (m *memory) available() int { return len(m.spare) + m.empty + max(m.growth(), 0) }

// missing is how many pages a slot of size bytes needs: 1 or 0.
func (m *memory) missing(size int) int {
	if m.room[classOf[(size+unit-1)/unit]] == 0 {
		return 1
	}
	return 0
}

// held is how many bytes are in pages that are in use.
func (m *memory) held() int64 { return int64(m.used) * pageSize }

// account sets how many bytes count beside the pages. Pages to spare make room
// for them.
func (m *memory) account(overhead int64) {
	m.overhead = overhead
	if over := -m.growth(); over > 0 && len(m.spare) > 0 {
		m.giveBack(min(over, len(m.spare)))
	}
}

// trimEvery is how many calls of trim there are between two that give memory
// back: some tenths of a second under load, so that what a burst needs once
// more soon is kept for it.
const trimEvery = 1 << 12

// trim gives back half of the pages that have not been needed for a while.
func (m *memory) trim() {
	if m.trims++; m.trims < trimEvery {
		return
	}
	m.trims = 0
	m.giveBack((m.idle + 1) / 2)
	m.idle = len(m.spare)
}

func (m *memory) giveBack(pages int) {
	for range pages {
		k := len(m.spare) - 1
		n := m.spare[k]
		m.spare = m.spare[:k]
		m.pages[n] = nil
		m.void = append(m.void, n)
		m.taken--
	}
	m.idle = min(m.idle, len(m.spare))
}

func (m *memory) link(n uint32) {
	in := &m.info[n]
	head := &m.room[in.class]
	in.next, in.prev, in.listed = *head, 0, true
	if in.next != 0 {
		m.info[in.next].prev = n
	}
	*head = n
}

func (m *memory) unlink(n uint32) {
	in := &m.info[n]
	if in.prev != 0 {
		m.info[in.prev].next = in.next
	} else {
		m.room[in.class] = in.next
	}
	if in.next != 0 {
		m.info[in.next].prev = in.prev
	}
	in.next, in.prev, in.listed = 0, 0, false
}
