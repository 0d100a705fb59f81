package ring

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newPoller(t testing.TB, rings ...*Ring) *Poller {
	t.Helper()
	p, err := NewPoller(rings...)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestWaitEndsWithTheTimeout(t *testing.T) {
	p := newPoller(t)
	must(t, p.Wait(0, nil))
	for _, d := range []time.Duration{100 * time.Microsecond, 3 * time.Millisecond} {
		// The runtime's signals may end a wait sooner; one of them is whole.
		eventually(t, func() bool {
			start := time.Now()
			must(t, p.Wait(d, nil))
			return time.Since(start) >= d
		})
	}
}

func TestWaitDoesNotSleepWhenSomethingIsReady(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	poller := newPoller(t, r)
	must(t, poller.Wait(-1, func() bool { return true }))
	p.a.wire("va").send(tcp(port(a4, 1), port(b4, 2), nil))
	eventually(t, r.Ready)
	must(t, poller.Wait(-1, func() bool { return false }))
}

func TestFrameEndsTheWait(t *testing.T) {
	for name, c := range versions {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c.Filter = onlyTCP
			quiet := p.a.open(Config{Interface: "va", Version: V2, Filter: nothing})
			r := p.b.open(c)
			poller := newPoller(t, quiet, r)
			w := p.a.wire("va")
			for range 5 {
				go func() {
					time.Sleep(2 * time.Millisecond)
					_, _ = unix.Write(w.fd, ethernet(tcp(port(a4, 1), port(b4, 2), nil)))
				}()
				for f := (Frame{}); !r.Next(&f); {
					must(t, poller.Wait(-1, nil))
				}
			}
		})
	}
}

func TestNoWakeIsLost(t *testing.T) {
	const producers, each = 4, 5000
	p := newPoller(t)
	var queued atomic.Int64 // stands for a queue
	ready := func() bool { return queued.Load() > 0 }
	for range producers {
		go func() {
			for i := range each {
				queued.Add(1)
				p.Wake()
				if i%64 == 0 {
					time.Sleep(50 * time.Microsecond) // let the worker sleep
				}
			}
		}()
	}
	// Without a timeout, a lost wake-up at the end hangs.
	for taken := int64(0); taken < producers*each; {
		if n := queued.Swap(0); n > 0 {
			taken += n
			continue
		}
		must(t, p.Wait(-1, ready))
	}
}

func TestWakeOfAWorkerThatIsAwakeDoesNotDisturbTheNextWait(t *testing.T) {
	p := newPoller(t)
	for range 3 {
		p.Wake()
	}
	eventually(t, func() bool {
		start := time.Now()
		must(t, p.Wait(2*time.Millisecond, nil))
		return time.Since(start) >= 2*time.Millisecond
	})
}

func TestWhatIsWatchedEndsTheWaitUntilItIsForgotten(t *testing.T) {
	p := newPoller(t)
	var ends [2]int
	must(t, unix.Pipe(ends[:]))
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	p.Watch(ends[0])
	go func() {
		time.Sleep(time.Millisecond)
		_, _ = unix.Write(ends[1], []byte{0})
	}()
	var fds = []unix.PollFd{{Fd: int32(ends[0]), Events: unix.POLLIN}}
	for ready := 0; ready == 0; {
		must(t, p.Wait(-1, nil))
		ready, _ = unix.Poll(fds, 0)
	}
	p.Forget(ends[0])
	eventually(t, func() bool {
		start := time.Now()
		must(t, p.Wait(2*time.Millisecond, nil))
		return time.Since(start) >= 2*time.Millisecond
	})
	if len(p.fds) != 1 {
		t.Errorf("%d descriptors, want the eventfd", len(p.fds))
	}
}

func TestARestEndsWithABlockOnly(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	poller := newPoller(t, r)
	w := p.a.wire("va")
	w.send(tcp(port(a4, 1), port(b4, 2), nil))
	eventually(t, r.Ready)
	if nap := poller.Rest(1, MaxRest); nap != MaxRest {
		t.Errorf("a rest of %v after a pause, want %v", nap, MaxRest)
	}
	for f := (Frame{}); r.Next(&f); {
	}
	var ends [2]int
	must(t, unix.Pipe(ends[:]))
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	poller.Watch(ends[0])
	_, err := unix.Write(ends[1], []byte{0})
	must(t, err)
	eventually(t, func() bool {
		poller.rested = time.Time{}
		start := time.Now()
		return poller.Rest(1, MaxRest) == MaxRest && time.Since(start) >= MaxRest
	})
	poller.rested = time.Now()
	if nap := poller.Rest(1<<20, MaxRest); nap != 0 {
		t.Errorf("a rest of %v under load", nap)
	}
}

func TestRingsMayBeAddedAndRemovedThatEndARest(t *testing.T) {
	p := newPair(t)
	poller := newPoller(t)
	other := p.a.open(Config{Interface: "va", Filter: nothing})
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	w := p.a.wire("va")
	// rest reports whether a block ends a rest of most.
	rest := func(most time.Duration) bool {
		w.send(tcp(port(a4, 1), port(b4, 2), nil))
		eventually(t, r.Ready)
		poller.rested = time.Time{}
		start := time.Now()
		_ = poller.Rest(1, most)
		for f := (Frame{}); r.Next(&f); {
		}
		return time.Since(start) < most
	}
	poller.Add(other)
	for range 2 {
		poller.AddPaced(r)
		if !rest(10 * time.Second) {
			t.Error("no block ended a rest")
		}
		must(t, poller.Wait(time.Microsecond, nil))
		poller.Remove(r)
		eventually(t, func() bool { return !rest(time.Millisecond) }) // a signal may end one, too
		poller.Add(r)
		eventually(t, func() bool { return !rest(time.Millisecond) })
		poller.Remove(r)
	}
	poller.Remove(other)
	if len(poller.fds) != 1 || len(poller.rings) != 0 || poller.paced != 0 {
		t.Errorf("%d descriptors, %d rings and %d paced ones are left", len(poller.fds), len(poller.rings), poller.paced)
	}
}

func TestWakeMayRunIntoClose(t *testing.T) {
	for range 200 {
		p, err := NewPoller()
		must(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 50 {
				p.Wake()
			}
		}()
		must(t, p.Wait(time.Microsecond, nil))
		must(t, p.Close())
		<-done
	}
}

func TestWaitAndWakeDoNotAllocate(t *testing.T) {
	p := newPoller(t)
	never := func() bool { return false }
	if n := testing.AllocsPerRun(100, func() {
		_ = p.Wait(time.Microsecond, never)
		p.state.Store(sleeping)
		p.Wake()
		_ = p.Wait(-1, never)
		p.Rest(1, MinRest)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
