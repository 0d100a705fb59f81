package flow

import "unsafe"

// Slab keeps values of T in chunks that never move while they hold one. Index 0
// is none. A chunk that has become empty is given back, but for one that waits
// to be used again.
type Slab[T any] struct {
	chunks []*slabChunk[T]
	room   uint32   // number of the first chunk with a free place, plus 1
	void   []uint32 // numbers of chunks that were given back
	taken  int      // chunks that take memory
	empty  uint32   // number of the empty chunk that is kept, plus 1
	n      int
}

type slabChunk[T any] struct {
	values     [chunk]T
	free       [chunk]uint16 // places that are free: a stack
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
	c := s.chunks[k]
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
	c := new(slabChunk[T])
	for i := range c.free {
		c.free[i] = uint16(i)
	}
	k := uint32(len(s.chunks))
	if n := len(s.void); n > 0 {
		k = s.void[n-1]
		s.void = s.void[:n-1]
		s.chunks[k] = c
	} else {
		s.chunks = append(s.chunks, c)
	}
	s.taken++
	s.link(k)
}

// Free takes the value back and makes it zero.
func (s *Slab[T]) Free(i uint32) {
	k, place := (i-1)/chunk, (i-1)%chunk
	c := s.chunks[k]
	var zero T
	c.values[place] = zero
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
	s.chunks[k] = nil
	s.void = append(s.void, k)
	s.taken--
}

// At returns the value of an index that Alloc returned.
func (s *Slab[T]) At(i uint32) *T { return &s.chunks[(i-1)/chunk].values[(i-1)%chunk] }

// Len is how many values are in use.
func (s *Slab[T]) Len() int { return s.n }

// Bytes is the memory that the slab takes.
func (s *Slab[T]) Bytes() int64 { return int64(s.taken) * int64(unsafe.Sizeof(slabChunk[T]{})) }

func (s *Slab[T]) link(k uint32) {
	c := s.chunks[k]
	c.next, c.prev = s.room, 0
	if c.next != 0 {
		s.chunks[c.next-1].prev = k + 1
	}
	s.room = k + 1
}

func (s *Slab[T]) unlink(k uint32) {
	c := s.chunks[k]
	if c.prev != 0 {
		s.chunks[c.prev-1].next = c.next
	} else {
		s.room = c.next
	}
	if c.next != 0 {
		s.chunks[c.next-1].prev = c.prev
	}
}
