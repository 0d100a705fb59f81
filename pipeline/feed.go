package pipeline

import (
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/flow"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// feedLen is the queue between the replayer and a worker: what is due within
// ahead, at 40,000 packets a second.
const feedLen = 4096

// endOfRecording stands for a transfer in the parcel behind the last one.
const endOfRecording = -1

// feed is how the packets of recordings come to a worker, and what the
// replayer may know of it. All but the queue's other end and load belong to
// the worker.
type feed struct {
	queue   *queue.SPSC[parcel]
	clients session.Time // how far the recording is, by its clients' time
	wheel   flow.Wheel   // by that time
	busy    []bool       // sessions that keep the target busy, by index
	busyN   int64
	taken   int64 // parcels
	bytes   int64 // their payload
	planned bool  // the worker sleeps until the first in the queue is due at most
	load    load
}

// load is what the worker publishes after each pass. taken comes last: what is
// queued or taken is in one of the other numbers when it shows.
type load struct {
	busy, sessions, held, bytes, taken atomic.Int64
}

// recordingBegins is the clients' time at the beginning.
const recordingBegins = session.Second

func newFeed() *feed {
	f := &feed{queue: queue.New[parcel](feedLen), clients: recordingBegins}
	f.wheel.Start(int64(recordingBegins / session.Millisecond))
	return f
}

// tell publishes the load.
func (f *feed) tell(w *worker) {
	f.load.busy.Store(f.busyN)
	f.load.sessions.Store(int64(w.slab.Len()))
	f.load.held.Store(w.core.Held())
	f.load.bytes.Store(f.bytes)
	f.load.taken.Store(f.taken)
}

// follow notes what became of session i.
func (f *feed) follow(i uint32, s *session.Session, c *session.Core) {
	f.wheel.Arm(i, roundUp(s.ClientDeadline(c)))
	for int(i) >= len(f.busy) {
		f.busy = append(f.busy, false)
	}
	f.setBusy(i, s.Busy())
}

func (f *feed) setBusy(i uint32, busy bool) {
	if f.busy[i] != busy {
		f.busy[i] = busy
		if busy {
			f.busyN++
		} else {
			f.busyN--
		}
	}
}

// leave forgets session i.
func (f *feed) leave(i uint32) {
	f.wheel.Disarm(i)
	if int(i) < len(f.busy) {
		f.setBusy(i, false)
	}
}

// next is how long the worker may sleep for what the replayer sent; negative: it
// sent nothing.
func (f *feed) next(now session.Time) time.Duration {
	p := f.queue.Peek()
	f.planned = p != nil
	if !f.planned {
		return -1
	}
	return max(0, time.Duration(p.due-now)*time.Microsecond)
}

// waiting reports whether the replayer sent something of which next did not
// know.
func (f *feed) waiting() bool { return !f.planned && f.queue.Len() > 0 }

// takeFeed takes what the replayer sent and is due, a round at most, and runs
// the timers that the recording's time makes due.
func (w *worker) takeFeed() (n int) {
	f := w.feed
	for p := f.queue.Peek(); p != nil && p.due <= w.now && n < round; p = f.queue.Peek() {
		f.clients = max(f.clients, p.client)
		w.core.ClientTime(f.clients)
		if p.transfer == endOfRecording {
			w.finish()
		} else {
			if p.due > 0 {
				w.counter.Late.Observe(int64(w.now - p.due))
			}
			w.counter.TakenOver++
			f.bytes += int64(len(p.segment.Payload))
			w.segment(p.transfer, &p.segment)
			w.set.parcels.Put(p.buf)
		}
		*p = parcel{}
		f.queue.Drop()
		f.taken++
		n++
	}
	if n > 0 {
		f.wheel.Advance(int64(f.clients/session.Millisecond), w.fire)
	}
	return n
}

// refuseFeed drops what the replayer sent that is not due yet: tcpcopy ends.
func (w *worker) refuseFeed() {
	f := w.feed
	for p := f.queue.Peek(); p != nil; p = f.queue.Peek() {
		if p.transfer != endOfRecording {
			w.counter.TakenOver++
			w.counter.drop(ShuttingDown, &p.segment)
			f.bytes += int64(len(p.segment.Payload))
			w.set.parcels.Put(p.buf)
		}
		*p = parcel{}
		f.queue.Drop()
		f.taken++
	}
}
