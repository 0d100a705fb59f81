package queue

import (
	"runtime"
	"testing"
)

func TestValuesArriveInOrderAndWhole(t *testing.T) {
	const n = 200_000
	q := New[[2]uint64](64)
	go func() {
		batch := make([][2]uint64, 0, 7)
		for i := uint64(0); i < n; {
			batch = batch[:0]
			for k := uint64(0); k < 1+i%7 && i+k < n; k++ {
				batch = append(batch, [2]uint64{i + k, ^(i + k)})
			}
			for b := batch; len(b) > 0; {
				k := q.Push(b...)
				if b = b[k:]; len(b) > 0 {
					runtime.Gosched()
				}
			}
			i += uint64(len(batch))
		}
	}()
	for want := uint64(0); want < n; {
		v := q.Peek()
		if v == nil {
			runtime.Gosched()
			continue
		}
		if v[0] != want || v[1] != ^want {
			t.Fatalf("got %x, want %x", *v, want)
		}
		q.Drop()
		want++
	}
	if q.Peek() != nil || q.Len() != 0 {
		t.Fatal("a value too many")
	}
}

func TestPushTakesNoMoreThanFits(t *testing.T) {
	q := New[int](4)
	if n := q.Push(1, 2, 3, 4, 5, 6); n != 4 {
		t.Fatalf("pushed %d into a queue of 4", n)
	}
	if n := q.Push(7); n != 0 {
		t.Fatal("pushed into a full queue")
	}
	q.Peek()
	q.Drop()
	if n := q.Push(7, 8); n != 1 {
		t.Fatalf("pushed %d into one place", n)
	}
	for _, want := range []int{2, 3, 4, 7} {
		if v := q.Peek(); v == nil || *v != want {
			t.Fatalf("got %v, want %d", v, want)
		}
		q.Drop()
	}
}

func TestNothingIsAllocated(t *testing.T) {
	q := New[[100]byte](128)
	batch := make([][100]byte, 32)
	if n := testing.AllocsPerRun(100, func() {
		q.Push(batch...)
		for q.Peek() != nil {
			q.Drop()
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkPushPeekDrop(b *testing.B) {
	q := New[[100]byte](128)
	batch := make([][100]byte, 32)
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(batch) {
		q.Push(batch...)
		for q.Peek() != nil {
			q.Drop()
		}
	}
}
