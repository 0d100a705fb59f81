package thread

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// doer is a worker that only does what it is asked.
type doer struct {
	mu     sync.Mutex
	poller *ring.Poller
	asked  []func()
	ended  chan struct{}
	behind bool         // its thread sleeps instead of resting
	run    *ring.Poller // of the thread of the last pass
}

func newDoer() *doer { return &doer{ended: make(chan struct{})} }

func (d *doer) Pass() int {
	d.mu.Lock()
	asked := d.asked
	d.asked = nil
	d.run = d.poller
	d.mu.Unlock()
	for _, f := range asked {
		f()
	}
	return len(asked)
}

func (d *doer) MoveTo(p *ring.Poller, _ *ring.Tx, _ bool) {
	d.mu.Lock()
	d.poller = p
	d.mu.Unlock()
}

func (d *doer) Waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked) > 0
}

func (d *doer) Wake() {
	d.mu.Lock()
	p := d.poller
	d.mu.Unlock()
	p.Wake()
}

func (d *doer) Do(f func()) {
	ran := make(chan struct{})
	d.mu.Lock()
	d.asked = append(d.asked, func() { f(); close(ran) })
	d.mu.Unlock()
	d.Wake()
	select {
	case <-ran:
	case <-d.ended:
	}
}

func (d *doer) Sent(bool)              {}
func (d *doer) Behind() bool           { return d.behind }
func (d *doer) Losing() bool           { return false }
func (d *doer) Timeout() time.Duration { return -1 }
func (d *doer) Leave()                 {}
func (d *doer) Publish()               {}
func (d *doer) End()                   { close(d.ended) }

// newThreads makes threads of n workers, which do not run.
func newThreads(t *testing.T, n int, cpus ...int) (*Threads, []*doer) {
	t.Helper()
	testbed.InNamespace(t)
	c := &conf.Tcpcopy{CPUs: cpus, SendMode: conf.SendLink}
	doers := make([]*doer, n)
	workers := make([]Worker, n)
	for i := range doers {
		doers[i] = newDoer()
		workers[i] = doers[i]
	}
	ts, err := New(Config{Conf: c, Clock: clock.New(), PassSize: 256, OnChange: func(int) {}, Log: slog.New(slog.DiscardHandler)}, workers)
	testbed.Must(t, err)
	t.Cleanup(ts.Close)
	return ts, doers
}

// start runs the threads until the end of the test, or stop is called.
func start(t *testing.T, ts *Threads) (stop func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ts.Run()
	}()
	stop = sync.OnceFunc(func() {
		ts.Stop()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("a worker does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// overload has the first thread believe that it hardly sleeps, until it gives
// the workers of others away.
func overload(ts *Threads) {
	first := ts.threads[0]
	for ts.together.Load() {
		first.own.Do(func() { first.busy.Add(int64(session.Second)) })
	}
}

// calmDown has the first thread believe that all were idle for long.
func calmDown(ts *Threads) {
	first := ts.threads[0]
	first.own.Do(func() { first.load.began, first.load.worked = 0, ts.busy() })
}

// runBy reports whether each worker is run by the thread that of says.
func runBy(ts *Threads, doers []*doer, of func(i int) *Thread) bool {
	for i, d := range doers {
		by := false
		d.Do(func() { by = d.run == of(i).poller })
		if !by {
			return false
		}
	}
	return true
}

func TestOneThreadRunsAllWorkersWhileItHasTheTime(t *testing.T) {
	ts, doers := newThreads(t, 3)
	start(t, ts)
	all := func(int) *Thread { return ts.threads[0] }
	own := func(i int) *Thread { return ts.threads[i] }
	if !runBy(ts, doers, all) {
		t.Error("workers have threads of their own at the start")
	}
	overload(ts)
	testbed.Within(t, 10*time.Second, "each worker has its thread", func() bool { return runBy(ts, doers, own) })
	testbed.Within(t, 20*time.Second, "one thread runs all again", func() bool { return runBy(ts, doers, all) })
}

func TestWhatIsAskedOfAWorkerIsDoneWhoeverRunsIt(t *testing.T) {
	ts, doers := newThreads(t, 4)
	for _, d := range doers {
		d.behind = true // a rest ends by itself, a sleep only if the worker is woken
	}
	start(t, ts)
	ctx, stop := context.WithCancel(context.Background())
	var changing, asking sync.WaitGroup
	changing.Go(func() {
		for ctx.Err() == nil {
			overload(ts)
			for !ts.together.Load() && ctx.Err() == nil {
				calmDown(ts)
			}
		}
	})
	for _, d := range doers {
		asking.Go(func() {
			for range 2000 {
				done := false
				d.Do(func() { done = true })
				if !done {
					t.Error("not done")
					return
				}
			}
		})
	}
	asking.Wait()
	stop()
	changing.Wait()
}

func TestWorkersEndWhoeverRunsThem(t *testing.T) {
	for _, together := range []bool{true, false} {
		ts, doers := newThreads(t, 3)
		stop := start(t, ts)
		if !together {
			overload(ts)
		}
		stop()
		for _, d := range doers {
			<-d.ended
		}
	}
}

func TestHowManyThreadsRunIsTold(t *testing.T) {
	ts, _ := newThreads(t, 3)
	var mu sync.Mutex
	var told []int
	ts.onChange = func(n int) { mu.Lock(); told = append(told, n); mu.Unlock() }
	stop := start(t, ts)
	overload(ts)
	testbed.Within(t, 20*time.Second, "one thread runs all again", func() bool { calmDown(ts); return ts.together.Load() })
	stop()
	mu.Lock()
	defer mu.Unlock()
	if len(told) < 3 || told[0] != 1 || told[1] != 3 || told[2] != 1 {
		t.Errorf("told of %v threads", told)
	}
}

// lent is a capture that counts its passes.
type lent struct{ passes, attached int }

func (l *lent) Pass() int           { l.passes++; return 0 }
func (l *lent) Attach(*ring.Poller) { l.attached++ }
func (l *lent) Detach()             { l.attached-- }
func (l *lent) Busy() time.Duration { return 0 }

func TestTheFirstThreadDoesACapturesPassesWhileItHasTheTime(t *testing.T) {
	ts, _ := newThreads(t, 2)
	c := &lent{}
	lender := ts.Lender(c)
	start(t, ts)
	returned := make(chan bool)
	go func() { returned <- lender.Lend() }()
	passes := func() (n int) {
		ts.threads[0].own.Do(func() { n = c.passes })
		return n
	}
	testbed.Within(t, 10*time.Second, "the first thread does its passes", func() bool { return passes() > 0 })
	overload(ts)
	if taken := <-returned; !taken || c.attached != 0 {
		t.Errorf("taken %v, attached %d times when it was given back", taken, c.attached)
	}
	if !ts.together.Load() && lender.Lend() {
		t.Error("a thread without the time took it")
	}
}
