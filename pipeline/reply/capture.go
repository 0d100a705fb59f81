package reply

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/capture"
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
	// maxPass is how many packets are looked at before their batches go out.
	maxPass = 256

	// batchWorthwhile is how many replies of one pass say that more come, so
	// that gathering pays though each of them is waited for.
	batchWorthwhile = 16

	// Pause bounds the sleep of an idle capture.
	Pause = time.Second
)

// Capture hands the replies that a reader brings to the outlets of a router. It
// is made by NewCapture.
type Capture struct {
	name     string
	reader   *capture.Reader
	router   *Router
	size     int // of a batch
	rewrites []Rewrite

	frame   ring.Frame   // the one in hand
	reply   packet.Reply // what it says
	now     int64        // of the pass, ns
	urgent  bool         // a reply of the pass is waited for
	batches []batch      // by Outlet.slot; outlet is nil between passes
	touched []int        // batches in use
	counts  Counts       // of the pass

	totals counters
	passes atomic.Uint64
	busy   atomic.Int64 // in Work, ns
	ended  atomic.Bool
}

// batch is what waits for an outlet until the end of the pass.
type batch struct {
	outlet  *Outlet
	replies []packet.Reply
}

// NewCapture makes a capture of what reader brings, from an interface whose
// name is for the metrics. most bounds how many replies are delivered at once; 0
// leaves that to Capture.
func NewCapture(name string, reader *capture.Reader, router *Router, most int, rewrites []Rewrite) *Capture {
	if most <= 0 {
		most = maxPass
	}
	return &Capture{name: name, reader: reader, router: router, size: most, rewrites: rewrites}
}

// Name is the interface's, empty for all.
func (c *Capture) Name() string { return c.name }

// Work captures until ctx is done or over says so. Its error is the system's.
func (c *Capture) Work(ctx context.Context, over func() bool) error {
	defer func() { c.ended.Store(ctx.Err() != nil) }()
	poller, err := ring.NewPoller()
	if err != nil {
		return err
	}
	defer poller.Close()
	c.reader.Attach(poller)
	defer c.reader.Detach()
	stop := context.AfterFunc(ctx, poller.Wake)
	defer stop()
	for ctx.Err() == nil && !over() {
		n := c.Pass()
		c.busy.Add(time.Now().UnixNano() - c.now)
		switch {
		case n >= maxPass:
		case n > 0 && !c.urgent:
			poller.Rest(n, ring.MaxRest)
		case n >= batchWorthwhile:
			poller.Rest(n, ring.MinRest)
		case n > 0:
		default:
			// Of an interface that was deleted the reader's capture tells.
			if err := poller.Wait(Pause, func() bool { return ctx.Err() != nil }); err != nil && !errors.Is(err, ring.ErrGone) {
				return err
			}
		}
	}
	return nil
}

// Pass reads what is there, maxPass packets at most, and delivers it. It returns
// how many packets that were. It is for who works in the place of Work and has
// attached the reader to a poller of its own.
func (c *Capture) Pass() int {
	c.reader.Refresh()
	return c.pass(c.reader)
}

// Busy is for how long Work did not sleep.
func (c *Capture) Busy() time.Duration { return time.Duration(c.busy.Load()) }

// source is where a pass reads: a capture.Reader.
type source interface{ Next(*ring.Frame) bool }

func (c *Capture) pass(from source) int {
	c.passes.Add(1)
	c.now = time.Now().UnixNano()
	c.urgent = false
	n := 0
	for n < maxPass && from.Next(&c.frame) {
		c.dispatch(c.frame.Data, c.frame.Wire)
		n++
	}
	if n > 0 {
		c.flush()
		c.totals.add(&c.counts)
	}
	return n
}

// dispatch accounts for one packet: it enters as captured and leaves through
// one of the other counters.
func (c *Capture) dispatch(data []byte, wire int) {
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
	out, result := c.router.route(&p.Dst)
	if result == noSession {
		var kept bool
		if out, kept = c.router.hold(p, c.now); kept {
			c.counts.Held++
			return
		}
	}
	switch {
	case out != nil:
		c.append(out, p)
	case result == linkDown:
		c.counts.LinkDown++
	default:
		c.counts.NoSession++
	}
}

// append puts p into the batch of an outlet.
func (c *Capture) append(out *Outlet, p *packet.Reply) {
	for len(c.batches) <= out.slot {
		c.batches = append(c.batches, batch{})
	}
	b := &c.batches[out.slot]
	if b.outlet != out {
		if b.outlet == nil {
			c.touched = append(c.touched, out.slot)
		} else {
			c.deliver(b) // the slot changed hands within a pass
		}
		b.outlet = out
	}
	if b.replies = append(b.replies, *p); len(b.replies) >= c.size {
		c.deliver(b)
	}
}

// flush delivers the batches of the pass.
func (c *Capture) flush() {
	for _, i := range c.touched {
		b := &c.batches[i]
		c.deliver(b)
		b.outlet = nil
	}
	c.touched = c.touched[:0]
}

func (c *Capture) deliver(b *batch) {
	if len(b.replies) == 0 {
		return
	}
	c.urgent = c.urgent || b.outlet.Urgent()
	b.outlet.sink.Deliver(b.replies)
	c.counts.Routed += uint64(len(b.replies))
	b.replies = b.replies[:0]
}

// Beat returns when the capture has looked for replies once more, or Work has
// ended with its context. Within Pause it has, if it is not stuck.
func (c *Capture) Beat() {
	for before := c.passes.Load(); c.passes.Load() == before && !c.ended.Load(); {
		time.Sleep(Pause / 10)
	}
}
