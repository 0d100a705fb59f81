package reply

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Snap is how much of a reply is captured, from the link layer on: what
// Ethernet, two VLAN tags, IPv6 and a TCP header with all its options need.
const Snap = 128

// FrameSize is the slot of a reply in a ring (TPACKET_V2): Snap and the
// kernel's own header.
const FrameSize = 256

// Rewrite says that a reply to From is one to To: what address translation on
// the way hid.
type Rewrite struct{ From, To packet.Addr }

const (
	// round is how many packets are looked at before their batches go out.
	round = 256

	// crowd is how many replies at once say that more come, though each is
	// waited for.
	crowd = 16

	// Pause bounds the sleep of an idle capture.
	Pause = time.Second
)

// Capture reads replies from an interface, one ring after another where the
// interface goes and comes, and hands them to the lanes of a router. It is made
// by NewCapture.
type Capture struct {
	name     string
	router   *Router
	size     int // of a batch
	rewrites []Rewrite

	frame   ring.Frame   // the one in hand
	reply   packet.Reply // what it says
	now     int64        // of the round, ns
	hurry   bool         // a reply of the round is waited for
	batches []batch      // by Lane.slot; lane is nil between rounds
	touched []int        // batches in use
	counts  Counts       // of the round

	totals counters
	rounds atomic.Uint64
	busy   atomic.Int64 // in Work, ns
	looked int64        // when Err last looked, ns

	mu   sync.Mutex
	ring *ring.Ring
	past ring.Stats // of rings that are closed
}

// batch is what waits for a lane until the end of the round.
type batch struct {
	lane    *Lane
	replies []packet.Reply
}

// NewCapture makes a capture for an interface, whose name is for the metrics.
// most bounds how many replies are delivered at once; 0 leaves that to Capture.
func NewCapture(name string, router *Router, most int, rewrites []Rewrite) *Capture {
	if most <= 0 {
		most = round
	}
	return &Capture{name: name, router: router, size: most, rewrites: rewrites}
}

// Name is the interface's, empty for all.
func (c *Capture) Name() string { return c.name }

// Run captures from r until ctx is done, when it returns nil, or until the ring
// fails, as when its interface was deleted. It closes r.
func (c *Capture) Run(ctx context.Context, r *ring.Ring) error {
	c.Begin(r)
	defer c.End()
	return c.Work(ctx, func() bool { return false })
}

// Begin has c read r, until End.
func (c *Capture) Begin(r *ring.Ring) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring, c.looked = r, time.Now().UnixNano()
}

// Work captures until ctx is done or over says so, when it returns nil, or until
// the ring fails.
func (c *Capture) Work(ctx context.Context, over func() bool) error {
	poller, err := ring.NewPoller(c.ring)
	if err != nil {
		return err
	}
	defer poller.Close()
	stop := context.AfterFunc(ctx, poller.Wake)
	defer stop()
	for ctx.Err() == nil && !over() {
		n := c.Pass()
		c.busy.Add(time.Now().UnixNano() - c.now)
		switch {
		case n >= round:
		case n > 0 && !c.hurry:
			poller.Rest(n, ring.MaxRest)
		case n >= crowd:
			poller.Rest(n, ring.MinRest)
		case n > 0:
		default:
			if err := poller.Wait(Pause, func() bool { return ctx.Err() != nil }); err != nil {
				return err
			}
			if err := c.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Pass takes what is there, a round at most, and delivers it. It returns how
// many packets that were. It and Err are for who works in the place of Work.
func (c *Capture) Pass() int { return c.pass(c.ring) }

// Err tells of a ring that failed. An interface that is deleted wakes a poller
// when it goes down, often before it is gone, and not again: Err is to be asked
// after Pass. It looks once in Pause.
func (c *Capture) Err() error {
	if c.now-c.looked < int64(Pause) {
		return nil
	}
	c.looked = c.now
	return c.ring.Err()
}

// Busy is for how long Work did not sleep.
func (c *Capture) Busy() time.Duration { return time.Duration(c.busy.Load()) }

// source is where a capture reads: a ring.
type source interface{ Next(*ring.Frame) bool }

func (c *Capture) pass(r source) int {
	c.rounds.Add(1)
	c.now = time.Now().UnixNano()
	c.hurry = false
	n := 0
	for n < round && r.Next(&c.frame) {
		c.take(c.frame.Data, c.frame.Wire)
		n++
	}
	if n > 0 {
		c.flush()
		c.totals.add(&c.counts)
	}
	return n
}

// take accounts for one packet: it enters as captured and leaves through one
// of the other counters.
func (c *Capture) take(data []byte, wire int) {
	c.counts.Captured++
	p := &c.reply
	if m := packet.DecodeReply(data, wire, p); m != packet.WellFormed {
		c.counts.Malformed[m]++
		return
	}
	for i := range c.rewrites {
		if p.Dst.Addr == c.rewrites[i].From {
			p.Dst.Addr = c.rewrites[i].To
			break
		}
	}
	l, out := c.router.route(&p.Dst)
	if out == noSession {
		var kept bool
		if l, kept = c.router.hold(p, c.now); kept {
			c.counts.Held++
			return
		}
	}
	switch {
	case l != nil:
		c.append(l, p)
	case out == linkDown:
		c.counts.LinkDown++
	default:
		c.counts.NoSession++
	}
}

// append puts p into l's batch.
func (c *Capture) append(l *Lane, p *packet.Reply) {
	for len(c.batches) <= l.slot {
		c.batches = append(c.batches, batch{})
	}
	b := &c.batches[l.slot]
	if b.lane != l {
		if b.lane == nil {
			c.touched = append(c.touched, l.slot)
		} else {
			c.deliver(b) // the slot changed hands within a round
		}
		b.lane = l
	}
	if b.replies = append(b.replies, *p); len(b.replies) >= c.size {
		c.deliver(b)
	}
}

// flush delivers the round's batches.
func (c *Capture) flush() {
	for _, i := range c.touched {
		b := &c.batches[i]
		c.deliver(b)
		b.lane = nil
	}
	c.touched = c.touched[:0]
}

func (c *Capture) deliver(b *batch) {
	if len(b.replies) == 0 {
		return
	}
	c.hurry = c.hurry || b.lane.Hurrying()
	b.lane.sink.Deliver(b.replies)
	c.counts.Routed += uint64(len(b.replies))
	b.replies = b.replies[:0]
}

// End closes the ring and keeps its counts.
func (c *Capture) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.ring.Close() // nothing is written through a ring
	st, _ := c.ring.Stats()
	c.ring = nil
	c.past.Packets += st.Packets
	c.past.Drops += st.Drops
}

// RingStats are the kernel's counts of the capture's rings.
func (c *Capture) RingStats() (packets, drops uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	packets, drops = c.past.Packets, c.past.Drops
	if c.ring != nil {
		// An error leaves the last counts, which are the best there is.
		st, _ := c.ring.Stats()
		packets, drops = packets+st.Packets, drops+st.Drops
	}
	return packets, drops
}

// Beat returns when the capture has looked for replies once more, or has no
// ring. Within Pause it has, if it is not stuck.
func (c *Capture) Beat() {
	for before := c.rounds.Load(); c.rounds.Load() == before; time.Sleep(Pause / 10) {
		c.mu.Lock()
		idle := c.ring == nil
		c.mu.Unlock()
		if idle {
			return
		}
	}
}

// Counts says what became of the packets of a capture, or of several:
//
//	Captured = Routed + NoSession + LinkDown + Held + the sum of Malformed
type Counts struct {
	Captured  uint64
	Routed    uint64    // delivered to a lane
	NoSession uint64    // nobody claims the destination
	LinkDown  uint64    // who claims it has no lane at present
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

// counters are Counts that one goroutine adds to, once a round.
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
