package live

import (
	"testing"
	"testing/synctest"
	"time"
)

// pass reads what waits, packets captured at these times, and returns how many
// went on.
func pass(c *catchUp, waiting []int64) (n int) {
	c.begin()
	for n < len(waiting) && !c.holds(waiting[n]) {
		n++
	}
	if n == len(waiting) {
		c.done()
	}
	return n
}

func TestABacklogGoesOnAtTwiceItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &catchUp{rate: 2}
		var waiting []int64
		began := time.Now()
		for range 200 { // a stall of 2 s, a packet each 10 ms
			waiting = append(waiting, time.Now().UnixNano())
			time.Sleep(10 * time.Millisecond)
		}
		stalled := time.Now()
		arrived, most := time.Now(), 0
		for len(waiting) > 0 {
			for ; time.Since(arrived) >= 10*time.Millisecond; arrived = arrived.Add(10 * time.Millisecond) {
				waiting = append(waiting, arrived.UnixNano())
			}
			n := pass(c, waiting)
			waiting = waiting[n:]
			most = max(most, n)
			if len(waiting) > 0 {
				d := c.until(waiting[0])
				if d <= 0 || d > 10*time.Millisecond {
					t.Fatalf("the next packet is due in %v", d)
				}
				time.Sleep(d)
			}
		}
		if took := time.Since(stalled); took < 1900*time.Millisecond || took > 2100*time.Millisecond || most > 2 {
			t.Errorf("a stall of %v was caught up in %v, %d packets at once", stalled.Sub(began), took, most)
		}
		time.Sleep(50 * time.Millisecond)
		if c.behind {
			t.Error("it is behind still")
		}
	})
}

func TestABusyWorkerIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &catchUp{rate: 2}
		at := time.Now().UnixNano()
		time.Sleep(stall - time.Millisecond)
		if n := pass(c, []int64{at, at + 1, at + int64(stall)/2}); n != 3 {
			t.Errorf("%d of 3 packets went on", n)
		}
	})
}

func TestABacklogGoesOnAtOnceWhereThatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &catchUp{}
		at := time.Now().UnixNano()
		time.Sleep(10 * time.Second)
		if n := pass(c, []int64{at, at + int64(time.Second)}); n != 2 {
			t.Errorf("%d of 2 packets went on", n)
		}
	})
}
