// Package flow has the tables of a worker: its sessions, found by the online
// client's endpoints and by the endpoint that the target sees, their timers,
// and the endpoints that are free. Indexes stand for pointers throughout, so
// a million sessions cost the collector nothing.
package flow

import "unsafe"

// Table is a hash table of indexes: open addressing with linear probing, at
// most half full. It stores the hash beside the index, so growing touches
// nothing else. Index 0 is none.
type Table struct {
	slots []slot
	mask  uint64
	n     int
}

type slot struct {
	hash  uint32
	index uint32
}

const minTable = 1024

// Len is how many entries the table has.
func (t *Table) Len() int { return t.n }

// Bytes is the memory that the table takes.
func (t *Table) Bytes() int64 { return int64(len(t.slots)) * int64(unsafe.Sizeof(slot{})) }

// Find returns the first entry with this hash that eq confirms, or 0.
func (t *Table) Find(hash uint64, eq func(index uint32) bool) uint32 {
	if t.n == 0 {
		return 0
	}
	h := uint32(hash)
	for i := uint64(h) & t.mask; t.slots[i].index != 0; i = (i + 1) & t.mask {
		if s := t.slots[i]; s.hash == h && eq(s.index) {
			return s.index
		}
	}
	return 0
}

// Insert adds an entry. Its key must not be in the table.
func (t *Table) Insert(hash uint64, index uint32) {
	if 2*(t.n+1) > len(t.slots) {
		t.grow()
	}
	t.n++
	t.put(slot{uint32(hash), index})
}

func (t *Table) put(s slot) {
	i := uint64(s.hash) & t.mask
	for t.slots[i].index != 0 {
		i = (i + 1) & t.mask
	}
	t.slots[i] = s
}

func (t *Table) grow() {
	old := t.slots
	t.slots = make([]slot, max(2*len(old), minTable))
	t.mask = uint64(len(t.slots) - 1)
	for _, s := range old {
		if s.index != 0 {
			t.put(s)
		}
	}
}

// Delete removes the entry of index, which was inserted with this hash.
func (t *Table) Delete(hash uint64, index uint32) {
	if t.n == 0 {
		return
	}
	i := uint64(uint32(hash)) & t.mask
	for t.slots[i].index != index {
		if t.slots[i].index == 0 {
			return
		}
		i = (i + 1) & t.mask
	}
	t.n--
	// Move up what probing would not find behind a gap (Knuth 6.4, R).
	for j := i; ; {
		j = (j + 1) & t.mask
		s := t.slots[j]
		if s.index == 0 {
			break
		}
		if home := uint64(s.hash) & t.mask; (j-home)&t.mask >= (j-i)&t.mask {
			t.slots[i] = s
			i = j
		}
	}
	t.slots[i] = slot{}
}
