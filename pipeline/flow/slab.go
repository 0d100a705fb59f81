package flow

// Slab keeps values of T in chunks that never move. Index 0 is none.
type Slab[T any] struct {
	chunks []*[chunk]T
	free   []uint32
	top    uint32
}

const chunk = 1 << 10

// Alloc returns the index of a zero value.
func (s *Slab[T]) Alloc() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	s.top++
	if int(s.top/chunk) >= len(s.chunks) {
		s.chunks = append(s.chunks, new([chunk]T))
	}
	return s.top
}

// Free takes the value back and makes it zero.
func (s *Slab[T]) Free(i uint32) {
	var zero T
	*s.At(i) = zero
	s.free = append(s.free, i)
}

// At returns the value of an index that Alloc returned.
func (s *Slab[T]) At(i uint32) *T { return &s.chunks[i/chunk][i%chunk] }

// Len is how many values are in use.
func (s *Slab[T]) Len() int { return int(s.top) - len(s.free) }
