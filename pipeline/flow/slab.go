package flow

import "unsafe"

// Slab keeps values of T in chunks that never move while they hold one. Index 0
// is none. A chunk that has become empty is given back, but for one that waits
// to be used again.
type Slab[T any] struct {
	chunks []*[chunk]T // nil: given back
	places []*places   // of each of them: apart, since a chunk of sessions fills whole pages
	room   uint32      // number of the first chunk with a free place, plus 1
	void   []uint32    // numbers of chunks that were given back
	taken  int         // chunks that take memory
	empty  uint32      // number of the empty chunk that is kept, plus 1
	n      int
}

// places are those of a chunk that are free: a stack.
type places struct {
	free       [chunk]uint16
	used       int
	next, prev uint32 // chunks with a free place, plus 1
}

// chunk is how many values are allocated together.
const chunk = 1 << 8

// Alloc returns the index of a zero value.
func (s *Slab[T]) Alloc() uint32 {
	if s.room == 0 {
		s.grow()
	}
	k := s.room - 1
	c := s.places[k]
	if s.empty == k+1 {
		s.empty = 0
	}
	i := c.free[c.used]
	c.used++
	if c.used == chunk {
		s.unlink(k)
	}
	s.n++
	return k*chunk + uint32(i) + 1
}

// grow makes a chunk.
func (s *Slab[T]) grow() {
	c := new(places)
	for i := range c.free {
		c.free[i] = uint16(i)
	}
	k := uint32(len(s.chunks))
	if n := len(s.void); n > 0 {
		k = s.void[n-1]
		s.void = s.void[:n-1]
		s.chunks[k], s.places[k] = new([chunk]T), c
	} else {
		s.chunks, s.places = append(s.chunks, new([chunk]T)), append(s.places, c)
	}
	s.taken++
	s.link(k)
}

// Free takes the value back and makes it zero.
func (s *Slab[T]) Free(i uint32) {
	k, place := (i-1)/chunk, (i-1)%chunk
	c := s.places[k]
	var zero T
	s.chunks[k][place] = zero
	if c.used == chunk {
		s.link(k)
	}
	c.used--
	c.free[c.used] = uint16(place)
	s.n--
	if c.used > 0 {
		return
	}
	if s.empty == 0 {
		s.empty = k + 1
		return
	}
	s.unlink(k)
	s.chunks[k], s.places[k] = nil, nil
	s.void = append(s.void, k)
	s.taken--
}

// At returns the value of an index that Alloc returned.
func (s *Slab[T]) At(i uint32) *T { return &s.chunks[(i-1)/chunk][(i-1)%chunk] }

// Len is how many values are in use.
func (s *Slab[T]) Len() int { return s.n }

// Bytes is the memory that the slab takes.
func (s *Slab[T]) Bytes() int64 {
	return int64(s.taken) * int64(unsafe.Sizeof([chunk]T{})+unsafe.Sizeof(places{}))
}

func (s *Slab[T]) link(k uint32) {
	c := s.places[k]
	c.next, c.prev = s.room, 0
	if c.next != 0 {
		s.places[c.next-1].prev = k + 1
	}
	s.room = k + 1
}

func (s *Slab[T]) unlink(k uint32) {
	c := s.places[k]
	if c.prev != 0 {
		s.places[c.prev-1].next = c.next
	} else {
		s.room = c.next
	}
	if c.next != 0 {
		s.places[c.next-1].prev = c.prev
	}
}
