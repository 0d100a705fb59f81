package pipeline

import (
	"sync"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// overload has the first thread believe that it hardly sleeps, until it gives
// the workers of others away.
func overload(first *thread) {
	for first.together.Load() {
		first.own.do(func() { first.busy.Add(int64(session.Second)) })
	}
}

// calmDown has the first thread believe that all were idle for long.
func calmDown(first *thread) {
	first.own.do(func() { first.window, first.worked = 0, first.sum() })
}

// runBy reports whether each worker is run by the thread that of says.
func runBy(p *Pipeline, of func(*worker) *thread) bool {
	for _, w := range p.workers {
		if w.thread.Load() != of(w) {
			return false
		}
	}
	return true
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

func TestOneThreadRunsAllWorkersWhileItHasTheTime(t *testing.T) {
	p := newPipeline(t, 3, nil)
	run(t, p)
	first := p.workers[0].own
	all := func(*worker) *thread { return first }
	own := func(w *worker) *thread { return w.own }
	p.Beat()
	if !runBy(p, all) {
		t.Error("workers have threads of their own at the start")
	}
	overload(first)
	within(t, 10*time.Second, "each worker has its thread", func() bool { return runBy(p, own) })
	p.Beat()
	within(t, 20*time.Second, "one thread runs all again", func() bool {
		p.Beat() // the first thread looks when it is awake
		return runBy(p, all)
	})
}

func TestWhatIsAskedOfAWorkerIsDoneWhoeverRunsIt(t *testing.T) {
	p := newPipeline(t, 4, nil)
	run(t, p)
	first := p.workers[0].own
	stop := make(chan struct{})
	var changing, asking sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			overload(first)
			calmDown(first)
			time.Sleep(time.Millisecond)
		}
	})
	for _, w := range p.workers {
		asking.Go(func() {
			for range 2000 {
				done := false
				w.do(func() { done = true })
				if !done {
					t.Error("not done")
					return
				}
			}
		})
	}
	asking.Wait()
	close(stop)
	changing.Wait()
}

func TestWorkersEndWhoeverRunsThem(t *testing.T) {
	for _, together := range []bool{true, false} {
		p := newPipeline(t, 3, nil)
		done := make(chan struct{})
		for _, w := range p.workers {
			go w.own.run(done)
		}
		if !together {
			overload(p.workers[0].own)
		}
		close(done)
		for _, w := range p.workers {
			w.wake()
			select {
			case <-w.ended:
			case <-time.After(10 * time.Second):
				t.Fatal("a worker does not end")
			}
		}
	}
}
