package worker

import (
	"sync/atomic"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// control is how other goroutines have the worker do something.
type control struct {
	poller  *atomic.Pointer[ring.Poller] // of the thread that runs the worker
	asked   chan func()
	pending *atomic.Int32 // functions in asked, or about to be
	ended   chan struct{}
}

func newControl() control {
	return control{new(atomic.Pointer[ring.Poller]), make(chan func(), 16), new(atomic.Int32), make(chan struct{})}
}

// Wake has the worker look at its queues. Any goroutine may call it.
func (w *Worker) Wake() { w.control.poller.Load().Wake() }

// End says that the worker does no more passes, so that nobody waits for it.
func (w *Worker) End() { close(w.control.ended) }

// Ended is closed after the worker's last pass.
func (w *Worker) Ended() <-chan struct{} { return w.control.ended }

// Do runs f in the worker, and returns when it has, or the worker has ended. Any
// other goroutine may call it.
func (w *Worker) Do(f func()) {
	c := &w.control
	ran := make(chan struct{})
	c.pending.Add(1)
	select {
	case c.asked <- func() { f(); close(ran) }:
	case <-c.ended:
		return
	}
	w.Wake()
	select {
	case <-ran:
	case <-c.ended:
	}
}

func (c *control) waiting() bool { return c.pending.Load() > 0 }

// run does what was asked, and returns 1 if anything was.
func (c *control) run() int {
	if !c.waiting() {
		return 0
	}
	for {
		select {
		case f := <-c.asked:
			c.pending.Add(-1)
			f()
		default:
			return 1
		}
	}
}
