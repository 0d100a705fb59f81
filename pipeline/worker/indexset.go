package worker

import "math/bits"

// indexSet is a set of session indexes, a bit each.
type indexSet []uint64

func (s indexSet) has(i uint32) bool { return int(i/64) < len(s) && s[i/64]&(1<<(i%64)) != 0 }

func (s *indexSet) add(i uint32) {
	for int(i/64) >= len(*s) {
		*s = append(*s, 0)
	}
	(*s)[i/64] |= 1 << (i % 64)
}

// remove takes i out, which is in it.
func (s indexSet) remove(i uint32) { s[i/64] &^= 1 << (i % 64) }

// each calls f for every index.
func (s indexSet) each(f func(i uint32)) {
	for k, word := range s {
		for ; word != 0; word &= word - 1 {
			f(uint32(k*64 + bits.TrailingZeros64(word)))
		}
	}
}
