// Package queue passes values from one goroutine to one other without locks.
package queue

import "sync/atomic"

// SPSC is a bounded ring of values between a single producer and a single
// consumer. Values are copied in and out.
type SPSC[T any] struct {
	buf  []T
	mask uint64

	_    [64]byte // each side's fields are on a cache line of their own
	head atomic.Uint64
	seen uint64 // tail, as the consumer saw it last

	_    [64]byte
	tail atomic.Uint64
	free uint64 // head plus the length of buf, as the producer saw it last

	_ [64]byte
}

// New makes a queue of at least n places.
func New[T any](n int) *SPSC[T] {
	size := 1
	for size < n {
		size *= 2
	}
	return &SPSC[T]{buf: make([]T, size), mask: uint64(size - 1), free: uint64(size)}
}

// Push appends as many of vs as there is room for and returns their number.
// Only the producer calls it.
func (q *SPSC[T]) Push(vs ...T) int {
	tail := q.tail.Load()
	if q.free-tail < uint64(len(vs)) {
		q.free = q.head.Load() + uint64(len(q.buf))
	}
	n := min(uint64(len(vs)), q.free-tail)
	for i := range n {
		q.buf[(tail+i)&q.mask] = vs[i]
	}
	q.tail.Store(tail + n)
	return int(n)
}

// Peek returns the oldest value in its place, or nil. It is valid until Drop.
// Only the consumer calls it.
func (q *SPSC[T]) Peek() *T {
	head := q.head.Load()
	if head == q.seen {
		if q.seen = q.tail.Load(); head == q.seen {
			return nil
		}
	}
	return &q.buf[head&q.mask]
}

// Drop removes the value that Peek returned.
func (q *SPSC[T]) Drop() { q.head.Store(q.head.Load() + 1) }

// Batch returns the oldest values in their places, most of them at most, as far
// as they lie one behind the other. They are valid until DropBatch. Only the
// consumer calls it.
func (q *SPSC[T]) Batch(most int) []T {
	if q.Peek() == nil {
		return nil
	}
	head := q.head.Load()
	from := head & q.mask
	n := min(q.seen-head, uint64(len(q.buf))-from, uint64(most))
	return q.buf[from : from+n]
}

// DropBatch removes the first n values that Batch returned.
func (q *SPSC[T]) DropBatch(n int) { q.head.Store(q.head.Load() + uint64(n)) }

// Len is how many values wait. Any goroutine may call it.
func (q *SPSC[T]) Len() int {
	head := q.head.Load()
	return int(q.tail.Load() - head)
}
