package reply

import "sync/atomic"

// Counts says what became of the packets of a capture, or of several:
//
//	Captured = Routed + NoSession + LinkDown + Held + the sum of Malformed
type Counts struct {
	Captured  uint64
	Routed    uint64    // delivered to an outlet
	NoSession uint64    // nobody claims the destination
	LinkDown  uint64    // who claims it has no outlet at present
	Held      uint64    // kept for a claim to come; what became of them the router counts
	Malformed [5]uint64 // by packet.Malformed
}

// Counts may be called from any goroutine.
func (c *Capture) Counts() Counts { return c.totals.load() }

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Captured += o.Captured
	c.Routed += o.Routed
	c.NoSession += o.NoSession
	c.LinkDown += o.LinkDown
	c.Held += o.Held
	for i, n := range o.Malformed {
		c.Malformed[i] += n
	}
}

// counters are Counts that one goroutine adds to, once a pass.
type counters struct {
	captured, routed, noSession, linkDown, held atomic.Uint64
	malformed                                   [5]atomic.Uint64
}

// add publishes r and empties it. Captured goes last, so that a reader who loads
// it first never finds packets that are nowhere.
func (t *counters) add(r *Counts) {
	t.routed.Add(r.Routed)
	t.noSession.Add(r.NoSession)
	t.linkDown.Add(r.LinkDown)
	t.held.Add(r.Held)
	for i, n := range r.Malformed {
		if n > 0 {
			t.malformed[i].Add(n)
		}
	}
	t.captured.Add(r.Captured)
	*r = Counts{}
}

func (t *counters) load() Counts {
	c := Counts{
		Captured:  t.captured.Load(),
		Routed:    t.routed.Load(),
		NoSession: t.noSession.Load(),
		LinkDown:  t.linkDown.Load(),
		Held:      t.held.Load(),
	}
	for i := range t.malformed {
		c.Malformed[i] = t.malformed[i].Load()
	}
	return c
}
