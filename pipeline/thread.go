package pipeline

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// A thread runs workers. Each worker has one of its own, but waking up costs as
// much as thirty packets, whoever they are for: while the first thread has time
// for all workers it runs them all, and reads the replies where no intercept
// brings them; the others wait.
type thread struct {
	own     *worker
	first   *thread
	all     []*thread
	cpu     int // that it is bound to, or anyCPU
	poller  *ring.Poller
	tx      *ring.Tx
	workers []*worker     // that it runs now
	replies []*replies    // that it reads now
	back    chan struct{} // its own worker is its own again
	done    <-chan struct{}
	now     session.Time  // the end of the last round
	busy    atomic.Int64  // time spent in rounds, us
	rest    time.Duration // the longest

	// Of the first thread, which decides:
	together atomic.Bool  // it is to run all workers, and to read replies
	guests   []*replies   // that there are
	full     int          // windows in a row in which it hardly slept
	window   session.Time // when the last one began
	worked   int64        // busy then
	procs    int          // GOMAXPROCS while it does not; 0: always the same
}

const (
	// window is how long the first thread's load is measured, and full how much
	// of it, in percent, is too much for one thread, twice in a row.
	window = 5 * session.Millisecond
	full   = 75
	// calmWindow is how long all threads' load is measured, and spare how much of
	// it, in percent, one thread can do.
	calmWindow = 2 * session.Second
	spare      = 30
	// replayRest is the longest rest of a replay, in whose packets nobody's
	// answers are waited for. The C tool's replays have a clock of 10 ms.
	replayRest = 5 * time.Millisecond
)

// assemble gives each worker a thread. The first one runs them all.
func (p *Pipeline) assemble() error {
	mode := ring.Link
	if p.cfg.SendMode == conf.SendRaw {
		mode = ring.Raw
	}
	all := make([]*thread, len(p.workers))
	for i, w := range p.workers {
		t := &thread{own: w, cpu: anyCPU, all: all, back: make(chan struct{}, 1), rest: ring.MaxRest}
		all[i], w.own = t, t
		if n := len(p.cfg.CPUs); n > 0 {
			t.cpu = p.cfg.CPUs[i%n]
		}
		var err error
		if t.tx, err = ring.NewTx(mode); err != nil {
			return err
		}
		if t.poller, err = ring.NewPoller(w.rings...); err != nil {
			return err
		}
	}
	for _, t := range all {
		t.first = all[0]
		t.own.enter(t.first)
		if t != t.first {
			t.first.poller.Add(t.own.rings...)
		}
	}
	all[0].together.Store(true)
	return nil
}

func (t *thread) close() {
	if t.poller != nil {
		_ = t.poller.Close()
	}
	if t.tx != nil {
		_ = t.tx.Close()
	}
}

// run works until done is closed.
func (t *thread) run(done <-chan struct{}) {
	defer close(t.own.ended)
	t.done = done
	if t.cpu != anyCPU {
		runtime.LockOSThread() // never unlocked: a bound thread ends with its worker
		if err := bind(t.cpu); err != nil {
			t.own.log.Error("worker is not bound to its CPU", "worker", t.own.index, "err", err)
		}
	}
	if t != t.first {
		<-t.back
	}
	for !t.ending() {
		n, late := t.round()
		if t.share() {
			<-t.back
			continue
		}
		switch {
		case n == 0:
			t.sleep()
		case n >= round:
		case !late:
			t.poller.Rest(n, t.rest)
		case n >= crowd:
			t.poller.Rest(n, ring.MinRest)
		default:
			t.sleep()
		}
	}
	if t == t.first {
		t.spread()
	}
	t.own.publish()
}

// economize is for a replay in its own time, which may be some milliseconds
// late: its threads rest for longer. If share, all goroutines share one P while
// the first thread runs all workers: as long as there are idle ones, the runtime
// wakes threads for them whenever it interrupts a worker, and those find nothing
// to do. procs is GOMAXPROCS for the rest of the time. Who waits in the kernel
// for long must not share: the runtime takes up to 10 ms to take a P away. A
// goroutine that is bound to a CPU gives its P away at the cost of waking up.
func (t *thread) economize(share bool, procs int) {
	for _, o := range t.all {
		o.rest = replayRest
	}
	if share && t.cpu == anyCPU {
		t.procs = procs
		runtime.GOMAXPROCS(1)
	}
}

// ending reports whether the work is over.
func (t *thread) ending() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// round takes replies, has each worker do a pass, and transmits. It returns how
// much there was to do, and whether a copy is behind.
func (t *thread) round() (n int, late bool) {
	began := t.own.clock()
	if t.procs > 0 && t.together.Load() {
		runtime.Gosched()
	}
	for i := range t.replies {
		n += t.replies[i].Pass()
	}
	for _, w := range t.workers {
		n += w.pass()
		late = late || w.late
	}
	t.tx.Flush()
	for _, w := range t.workers {
		w.sent()
		if n == 0 || w.now-w.publishedAt >= publishEvery {
			w.publish()
		}
	}
	t.now = t.own.clock()
	t.busy.Add(int64(t.now - began))
	return n, late
}

// sleep waits for rings, links, queues or the next timer of what it runs.
func (t *thread) sleep() {
	timeout := time.Duration(-1)
	for _, w := range t.workers {
		if d := w.next(); d >= 0 && (timeout < 0 || d < timeout) {
			timeout = d
		}
	}
	if timeout == 0 {
		return
	}
	if len(t.replies) > 0 && (timeout < 0 || timeout > reply.Pause) {
		timeout = reply.Pause
	}
	if err := t.poller.Wait(timeout, t.waiting); err != nil {
		t.own.log.Error("capture ring lost", "err", err)
	}
}

// host has the first thread read replies, if it still runs all. It gives them
// back by their channel.
func (t *thread) host(c *replies) (hosted bool) {
	t.own.do(func() {
		if t.together.Load() {
			c.packets.Reader(0).Attach(t.poller)
			t.replies = append(t.replies, c)
			hosted = true
		}
	})
	return hosted
}

// release gives replies back.
func (t *thread) release(c *replies) {
	c.packets.Reader(0).Detach()
	t.replies = slices.DeleteFunc(t.replies, func(o *replies) bool { return o == c })
	c.back <- struct{}{}
}

// waiting reports whether there is something that it is not to sleep over: a
// queue of what it runs holds something, or the work is over.
func (t *thread) waiting() bool {
	return t.ending() || slices.ContainsFunc(t.workers, (*worker).waiting)
}

// share gives the workers to their own threads, or has the first one run them
// all, as the load wants it. It reports whether this thread's is gone.
func (t *thread) share() (gone bool) {
	now := t.now
	switch {
	case len(t.all)+len(t.guests) == 1:
	case t != t.first:
		return t.first.together.Load() && t.join()
	case t.together.Load():
		if now-t.window < window && !t.losing() {
			return false
		}
		busy := t.busy.Load()
		if (busy-t.worked)*100 >= full*int64(now-t.window) {
			t.full++
		} else {
			t.full = 0
		}
		t.window, t.worked = now, busy
		if t.full >= 2 || t.losing() {
			t.spread()
		}
	case now-t.window >= calmWindow:
		busy := t.sum()
		if (busy-t.worked)*100 < spare*int64(now-t.window) && !t.losing() {
			t.together.Store(true)
			if t.procs > 0 {
				runtime.GOMAXPROCS(1)
			}
			for _, o := range t.all[1:] {
				o.poller.Wake()
			}
			busy = t.busy.Load()
		}
		t.window, t.worked = now, busy
	}
	return false
}

// losing reports whether a ring lost packets of late.
func (t *thread) losing() bool {
	return slices.ContainsFunc(t.workers, func(w *worker) bool { return w.admission.losing(w.now) })
}

// sum is what all threads worked, and who reads replies.
func (t *thread) sum() (busy int64) {
	for _, o := range t.all {
		busy += o.busy.Load()
	}
	for _, c := range t.guests {
		busy += c.Busy().Microseconds()
	}
	return busy
}

// spread gives the workers of others back to them, and the replies.
func (t *thread) spread() {
	t.together.Store(false)
	if t.procs > 0 {
		runtime.GOMAXPROCS(t.procs)
	}
	t.window, t.worked, t.full = t.own.clock(), t.sum(), 0
	for len(t.replies) > 0 {
		t.release(t.replies[0])
	}
	for _, w := range t.workers {
		if w == t.own {
			continue
		}
		w.leave(t)
		t.poller.Remove(w.rings...)
		w.enter(w.own)
		w.own.back <- struct{}{}
	}
	t.workers = append(t.workers[:0], t.own)
}

// join hands its worker to the first thread, if that still runs. Nobody sleeps
// over what reaches a queue of the worker meanwhile: who puts it there and then
// wakes the old thread, which is awake, did so before the new one looks at the
// queue.
func (t *thread) join() (joined bool) {
	w := t.own
	w.leave(t)
	t.workers = t.workers[:0]
	t.first.own.do(func() {
		if !t.first.together.Load() {
			return
		}
		t.first.poller.Add(w.rings...)
		w.enter(t.first)
		joined = true
	})
	if !joined {
		w.enter(t)
	}
	return joined
}
