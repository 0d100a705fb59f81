package thread

import (
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// A Thread runs workers, and does captures' passes.
type Thread struct {
	all         *Threads
	own         Worker
	index       int
	cpu         int // that it is bound to, or anyCPU
	clock       clock.Clock
	log         *slog.Logger
	poller      *ring.Poller
	tx          *ring.Tx
	workers     []Worker      // that it runs now
	captures    []*borrowed   // whose passes it does now
	returned    chan struct{} // its own worker has come back to it
	now         session.Time  // the end of the last round
	busy        atomic.Int64  // time spent in rounds, us
	longestRest time.Duration

	load load // the first thread's
}

// first is the thread that decides who runs what.
func (t *Thread) first() *Thread { return t.all.threads[0] }

func (t *Thread) close() {
	if t.poller != nil {
		_ = t.poller.Close()
	}
	if t.tx != nil {
		_ = t.tx.Close()
	}
}

// run works until the work is over.
func (t *Thread) run() {
	defer t.own.End()
	if t.cpu != anyCPU {
		runtime.LockOSThread() // never unlocked: a bound thread ends with its worker
		if err := bind(t.cpu); err != nil {
			t.log.Error("worker is not bound to its CPU", "worker", t.index, "error", err)
		}
	}
	if t != t.first() {
		<-t.returned
	}
	for !t.all.ending() {
		n, behind := t.round()
		if t.share() {
			<-t.returned
			continue
		}
		switch {
		case n == 0:
			t.sleep()
		case n >= t.all.passSize: // more is waiting
		case !behind:
			t.poller.Rest(n, t.longestRest)
		case n >= batchWorthwhile:
			t.poller.Rest(n, ring.MinRest)
		default:
			t.sleep()
		}
	}
	if t == t.first() {
		t.spread()
	}
	t.own.Publish()
}

// round does the captures' passes, then the workers', and transmits. It returns
// how many packets and replies there were, and whether a worker is behind.
func (t *Thread) round() (n int, behind bool) {
	began := t.clock.Now()
	if t.all.yield && t.all.together.Load() {
		runtime.Gosched()
	}
	for _, c := range t.captures {
		n += c.Pass()
	}
	for _, w := range t.workers {
		n += w.Pass()
		behind = behind || w.Behind()
	}
	t.tx.Flush()
	for _, w := range t.workers {
		w.Sent(n == 0)
	}
	t.now = t.clock.Now()
	t.busy.Add(int64(t.now - began))
	return n, behind
}

// sleep waits for rings, links, queues or the next timer of what it runs.
func (t *Thread) sleep() {
	timeout := time.Duration(-1)
	for _, w := range t.workers {
		if d := w.Timeout(); d >= 0 && (timeout < 0 || d < timeout) {
			timeout = d
		}
	}
	if timeout == 0 {
		return
	}
	if len(t.captures) > 0 && (timeout < 0 || timeout > capturePause) {
		timeout = capturePause
	}
	// That an interface was deleted is told by its capture.
	if err := t.poller.Wait(timeout, t.waiting); err != nil && !errors.Is(err, ring.ErrGone) {
		t.log.Error("waiting for packets", "error", err)
	}
}

// waiting reports whether the thread must not sleep: a queue of a worker that it
// runs holds something, or the work is over.
func (t *Thread) waiting() bool {
	return t.all.ending() || slices.ContainsFunc(t.workers, Worker.Waiting)
}

// add has the thread run w from now on.
func (t *Thread) add(w Worker) {
	w.MoveTo(t.poller, t.tx, w == t.own)
	t.workers = append(t.workers, w)
}
