package pcapfile

import (
	"container/heap"
	"io"
	"os"
	"sync/atomic"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Set reads several recordings as one, merged by time. A file is open while
// its packets have their turn only, so that thousands of files that tcpdump
// rotated cost no more than one. Next, Rewind and Close belong to one
// goroutine.
type Set struct {
	paths []string
	heads heads
	last  *head // whose packet Next returned

	size atomic.Int64              // bytes of all files
	done atomic.Int64              // of those that are read, of this round
	open atomic.Pointer[[]*Reader] // for Position
}

// head is a recording with its first packet that was not returned yet.
type head struct {
	index  int // among the paths
	size   int64
	frame  ring.Frame
	reader *Reader // nil: the file is closed, and frame has its time only
}

// OpenSet opens the recordings at paths, one or more. Its errors are of type
// *Error.
func OpenSet(paths []string) (*Set, error) {
	s := &Set{paths: paths}
	if err := s.Rewind(); err != nil {
		return nil, err
	}
	return s, nil
}

// Rewind begins again with the first packet. Standard input cannot be read
// again.
func (s *Set) Rewind() error {
	s.Close()
	s.size.Store(0)
	s.done.Store(0)
	for i, path := range s.paths {
		h := &head{index: i}
		info, err := os.Stat(path)
		regular := err == nil && info.Mode().IsRegular()
		if regular {
			h.size = info.Size()
			s.size.Add(h.size)
		}
		if h.reader, err = Open(path); err != nil {
			s.Close()
			return err
		}
		err = h.reader.Next(&h.frame)
		switch {
		case err == nil && (!regular || len(s.paths) == 1):
		case regular: // its turn comes; Next then tells if something is wrong
			h.reader.Close()
			h.reader = nil
			if err != nil {
				h.frame.Time = 0
			}
		case err == io.EOF:
			s.finish(h)
			continue
		default:
			s.Close()
			return err
		}
		s.heads = append(s.heads, h)
	}
	heap.Init(&s.heads)
	s.publish()
	return nil
}

// Next puts the next packet of all recordings into f, whose Data is valid
// until the following call. The error is io.EOF at the end. An *Error tells of
// one recording that is broken; the following calls go on with the others.
func (s *Set) Next(f *ring.Frame) error {
	if h := s.last; h != nil {
		s.last = nil
		if err := s.advance(h); err != nil {
			return err
		}
	}
	for len(s.heads) > 0 {
		h := s.heads[0]
		if h.reader == nil {
			if err := s.reopen(h); err != nil {
				return err
			}
			continue
		}
		*f, s.last = h.frame, h
		return nil
	}
	return io.EOF
}

// Tag is Reader.Tag of the last packet.
func (s *Set) Tag() (tci uint16, ok bool) {
	if s.last == nil {
		return 0, false
	}
	return s.last.reader.Tag()
}

// reopen opens the file of h, which is the first.
func (s *Set) reopen(h *head) (err error) {
	if h.reader, err = Open(s.paths[h.index]); err != nil {
		heap.Remove(&s.heads, 0)
		return err
	}
	s.publish()
	return s.advance(h)
}

// advance reads the next packet of h, which is the first.
func (s *Set) advance(h *head) error {
	err := h.reader.Next(&h.frame)
	if err == nil {
		heap.Fix(&s.heads, 0)
		return nil
	}
	heap.Remove(&s.heads, 0)
	s.finish(h)
	s.publish()
	if err == io.EOF {
		err = nil
	}
	return err
}

func (s *Set) finish(h *head) {
	s.done.Add(max(h.size, h.reader.Read()))
	h.reader.Close()
}

// publish tells Position which files are open.
func (s *Set) publish() {
	var open []*Reader
	for _, h := range s.heads {
		if h.reader != nil {
			open = append(open, h.reader)
		}
	}
	s.open.Store(&open)
}

// Position is how many bytes were read since the beginning or Rewind, and how
// many there are; size is 0 where that is not known, as of standard input. Any
// goroutine may call it.
func (s *Set) Position() (read, size int64) {
	read = s.done.Load()
	if open := s.open.Load(); open != nil {
		for _, r := range *open {
			read += r.Read()
		}
	}
	return read, s.size.Load()
}

// Close closes all files.
func (s *Set) Close() {
	for _, h := range s.heads {
		if h.reader != nil {
			h.reader.Close()
			h.reader = nil
		}
	}
	s.heads, s.last = nil, nil
}

// heads is a heap by time.
type heads []*head

func (h heads) Len() int { return len(h) }
func (h heads) Less(i, j int) bool {
	if h[i].frame.Time != h[j].frame.Time {
		return h[i].frame.Time < h[j].frame.Time
	}
	return h[i].index < h[j].index
}
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(*head)) }
func (h *heads) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
