package ring

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestALongWaitEndsWithItsTimeout(t *testing.T) {
	p := newPoller(t)
	for range 3 { // the first begins as a short one
		// The runtime's signals may end that sooner; one is whole.
		eventually(t, func() bool {
			start := time.Now()
			must(t, p.Wait(20*time.Millisecond, nil))
			return time.Since(start) >= 20*time.Millisecond
		})
	}
}

func TestALongWaitEndsWithAFrameAWakeAndWhatIsWatched(t *testing.T) {
	pair := newPair(t)
	r := pair.b.open(Config{Interface: "vb", Filter: onlyTCP})
	p := newPoller(t, r)
	w := pair.a.wire("va")
	var ends [2]int
	must(t, unix.Pipe(ends[:]))
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	p.Watch(ends[0])
	for what, do := range map[string]func(){
		"frame":   func() { _, _ = unix.Write(w.fd, ethernet(tcp(port(a4, 1), port(b4, 2), nil))) },
		"wake":    p.Wake,
		"watched": func() { _, _ = unix.Write(ends[1], []byte{0}) },
	} {
		for range 3 {
			go func() {
				time.Sleep(5 * MaxRest)
				do()
			}()
			start := time.Now()
			must(t, p.Wait(10*time.Second, nil))
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: the wait took %v", what, took)
			}
			for f := (Frame{}); r.Next(&f); {
			}
			if what == "watched" {
				_, _ = unix.Read(ends[0], make([]byte, 1))
			}
		}
	}
}

func TestWithoutALongWaitThereAreShortOnes(t *testing.T) {
	p := newPoller(t)
	must(t, p.Wait(5*time.Millisecond, nil)) // a long one
	set := p.long.set
	p.long.set = -1
	defer func() { p.long.set = set }()
	const waits = 10
	start := time.Now()
	for range waits {
		must(t, p.Wait(time.Minute, nil))
	}
	if took := time.Since(start); took < (waits-1)*MaxRest/2 || took > 10*time.Second {
		t.Errorf("%d waits took %v", waits, took)
	}
}

// What stayed in the set would be paid for by who sends to it.
func TestALongWaitLeavesNothingInItsSet(t *testing.T) {
	pair := newPair(t)
	p := newPoller(t, pair.b.open(Config{Interface: "vb", Filter: nothing}))
	for range 3 {
		must(t, p.Wait(5*time.Millisecond, nil))
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", p.long.set))
	must(t, err)
	if n := strings.Count(string(text), "tfd:"); n != 1 {
		t.Errorf("%d descriptors in the set, want the timer's\n%s", n, text)
	}
}

func TestALongWaitDoesNotAllocate(t *testing.T) {
	p := newPoller(t)
	if n := testing.AllocsPerRun(20, func() { _ = p.Wait(2*MaxRest, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRingsThatAreAddedEndTheWaitUntilTheyAreRemoved(t *testing.T) {
	pair := newPair(t)
	own := pair.b.open(Config{Interface: "vb", Filter: nothing})
	other := pair.b.open(Config{Interface: "vb", Filter: onlyTCP})
	p := newPoller(t, own)
	w := pair.a.wire("va")
	fds := len(p.fds)
	for range 2 {
		p.Add(other)
		w.send(tcp(port(a4, 1), port(b4, 2), nil))
		for f := (Frame{}); !other.Next(&f); {
			must(t, p.Wait(-1, nil))
		}
		for f := (Frame{}); other.Next(&f); {
		}
		p.Remove(other)
		w.send(tcp(port(a4, 1), port(b4, 2), nil))
		eventually(t, other.Ready)
		eventually(t, func() bool {
			start := time.Now()
			must(t, p.Wait(MaxRest, nil))
			return time.Since(start) >= MaxRest
		})
		for f := (Frame{}); other.Next(&f); {
		}
	}
	if len(p.fds) != fds || len(p.rings) != 1 {
		t.Errorf("%d descriptors of %d rings are left", len(p.fds), len(p.rings))
	}
}
