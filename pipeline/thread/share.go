package thread

import (
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// load is what the first thread measures of itself, or of all threads.
type load struct {
	full   int          // windows in a row in which it hardly slept
	began  session.Time // when the present window began
	worked int64        // until then, in us
}

// share gives the workers to their own threads, or has the first one run them all,
// depending on the load. It reports whether this thread has no worker any more.
func (t *Thread) share() (gone bool) {
	now, l := t.now, &t.load
	switch {
	case len(t.all.threads)+len(t.all.captures) == 1: // there is nothing to share
	case t != t.first():
		return t.all.together.Load() && t.join()
	case t.all.together.Load():
		if now-l.began < loadWindow && !t.losing() {
			return false
		}
		busy := t.busy.Load()
		if (busy-l.worked)*100 >= fullLoad*int64(now-l.began) {
			l.full++
		} else {
			l.full = 0
		}
		l.began, l.worked = now, busy
		if l.full >= fullWindows || t.losing() {
			t.spread()
		}
	case now-l.began >= calmWindow:
		busy := t.all.busy()
		if (busy-l.worked)*100 < spareLoad*int64(now-l.began) && !t.losing() {
			t.gather()
			busy = t.busy.Load()
		}
		l.began, l.worked = now, busy
	}
	return false
}

// losing reports whether a worker of the thread lost packets lately.
func (t *Thread) losing() bool { return slices.ContainsFunc(t.workers, Worker.Losing) }

// busy is how long all threads, and the captures' own goroutines, have worked, in
// us.
func (ts *Threads) busy() (sum int64) {
	for _, t := range ts.threads {
		sum += t.busy.Load()
	}
	for _, c := range ts.captures {
		sum += c.Busy().Microseconds()
	}
	return sum
}

// gather has the other threads hand their workers to the first one.
func (t *Thread) gather() {
	t.all.together.Store(true)
	t.all.changed()
	for _, o := range t.all.threads[1:] {
		o.poller.Wake()
	}
}

// spread gives the workers of others back to them, and the captures to their
// goroutines.
func (t *Thread) spread() {
	t.all.together.Store(false)
	t.all.changed()
	t.load = load{began: t.clock.Now(), worked: t.all.busy()}
	for len(t.captures) > 0 {
		t.giveBack(t.captures[0])
	}
	for _, o := range t.all.threads[1:] {
		if i := slices.Index(t.workers, o.own); i >= 0 {
			t.workers = slices.Delete(t.workers, i, i+1)
			o.own.Leave()
			o.add(o.own)
			o.returned <- struct{}{}
		}
	}
}

// join hands the thread's worker to the first thread, if that still runs all. What
// reaches a queue of the worker meanwhile is not slept over: whoever puts it there
// wakes the old thread, which is awake, and has put it there before the new thread
// looks at the queue for the first time.
func (t *Thread) join() (joined bool) {
	w := t.own
	w.Leave()
	t.workers = t.workers[:0]
	t.first().own.Do(func() {
		if t.all.together.Load() {
			t.first().add(w)
			joined = true
		}
	})
	if !joined {
		t.add(w)
	}
	return joined
}
