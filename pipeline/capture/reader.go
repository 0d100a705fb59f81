package capture

import (
	"sync/atomic"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Reader is the end of one ring after another. It belongs to one goroutine at a
// time, the one that waits by the poller to which the reader is attached.
type Reader struct {
	ring  *ring.Ring // while holds is false, it is closed and has no frames
	holds bool
	paced bool // its blocks end a rest
	state atomic.Uint32
	next  *ring.Ring // to be taken up

	poller atomic.Pointer[ring.Poller]
}

// States of a reader. Capture.Run moves it on from reading and from left, the
// reader itself from leaving and from arriving.
const (
	reading  uint32 = iota
	leaving         // the ring is to be closed
	left            // the reader has closed it
	arriving        // there is another ring
)

// Next puts the next frame into f, as ring.Ring.Next does.
func (r *Reader) Next(f *ring.Frame) bool { return r.ring.Next(f) }

// Losing reports, once for each loss, whether the kernel dropped packets. It
// makes a system call only then.
func (r *Reader) Losing() bool {
	if !r.ring.Losing() {
		return false
	}
	_, _ = r.ring.Stats() // so that the next loss shows
	return true
}

// Refresh follows the interface: it closes the ring of one that was deleted,
// once all its frames were read, and takes up the ring that was opened after
// that. It is to be called once a pass; no frame of the pass before may be
// looked at after it.
func (r *Reader) Refresh() {
	if r.state.Load() != reading {
		r.change()
	}
}

func (r *Reader) change() {
	switch r.state.Load() {
	case leaving:
		if r.ring.Ready() {
			return
		}
		r.unlist()
		_ = r.ring.Close() // nothing is written through a ring
		r.holds = false
		r.state.Store(left)
	case arriving:
		r.ring, r.next, r.holds = r.next, nil, true
		r.list()
		r.state.Store(reading)
	}
}

// Attach lets p.Wait end for the reader's frames.
func (r *Reader) Attach(p *ring.Poller) { r.attach(p, false) }

// AttachPaced lets p.Wait end for the reader's frames and p.Rest for its blocks.
// It is for the reader that p mainly waits for.
func (r *Reader) AttachPaced(p *ring.Poller) { r.attach(p, true) }

func (r *Reader) attach(p *ring.Poller, paced bool) {
	r.paced = paced
	r.poller.Store(p)
	r.list()
}

// Detach ends what Attach or AttachPaced began.
func (r *Reader) Detach() {
	r.unlist()
	r.poller.Store(nil)
}

// list enters the ring, if there is one, into the poller, if there is one.
func (r *Reader) list() {
	p := r.poller.Load()
	switch {
	case p == nil || !r.holds:
	case r.paced:
		p.AddPaced(r.ring)
	default:
		p.Add(r.ring)
	}
}

func (r *Reader) unlist() {
	if p := r.poller.Load(); p != nil {
		p.Remove(r.ring)
	}
}

func (r *Reader) wake() {
	if p := r.poller.Load(); p != nil {
		p.Wake()
	}
}
