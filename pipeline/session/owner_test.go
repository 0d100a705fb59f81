package session

import (
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// capture is the worker's treatment of a captured packet.
func (w *world) capture(fl *flow, g *packet.Segment) {
	c := w.live[fl.slot()]
	if c != nil && c.fl != fl && g.Flags&packet.SYN == 0 {
		return // a packet of the endpoint's former connection
	}
	if c != nil && w.core.Restarts(&c.Session, g) && c.fl != fl {
		w.core.Superseded(&c.Session, w.now)
		w.touch(c)
		c = nil
	}
	if c == nil {
		c = w.begin(fl, g)
		w.live[fl.slot()] = c
		for len(c.twins) < w.sc.copies-1 {
			c.twins = append(c.twins, w.begin(fl.twin(w, len(c.twins)), g))
		}
	}
	w.log("%v capture seq %d len %d ack %d %s", fl, g.Seq-fl.isn, g.Len, g.Ack-fl.serverISN, flagNames(g.Flags))
	w.given += uint64(g.Len)
	w.core.Client(&c.Session, g, w.now)
	for _, t := range c.twins {
		w.given += uint64(g.Len)
		w.core.Copy(&t.Session, g, w.now)
	}
	twins := c.twins
	w.touch(c)
	for _, t := range twins {
		w.touch(t)
	}
}

// begin makes a session that takes the flow's packets.
func (w *world) begin(fl *flow, g *packet.Segment) *copied {
	c := &copied{fl: fl, timerAt: never}
	c.ClientEnd, c.OnlineEnd, c.Target, c.MTU = g.Src, g.Dst, targetEnd, uint16(w.sc.mtu)
	w.core.Begin(&c.Session, w.now)
	w.all[&c.Session] = c
	return c
}

// reply is the worker's treatment of a packet of the target.
func (w *world) reply(ep packet.Endpoint, r *packet.Reply) {
	c := w.byEnd[ep]
	if c == nil {
		return
	}
	w.log("%v reply seq %d len %d ack %d wnd %d %s sack %d", c.fl, r.Seq-w.peers[ep].iss, r.Len, r.Ack-c.fl.isn, r.Window, flagNames(r.Flags), r.SACKCount)
	p := w.peers[ep]
	if r.Flags&packet.SYN != 0 {
		c.edge, c.peerMSS, c.peerTS = r.Ack+uint32(r.Window), int(r.MSS), r.HasTimestamp
	} else if r.Flags&packet.RST == 0 {
		c.edge = seqMax(c.edge, r.Ack+uint32(r.Window)<<p.scale)
	}
	w.core.Reply(&c.Session, r, w.now)
	w.touch(c)
}

// touch marks a session for Output; the batch ends at once or a little later.
func (w *world) touch(c *copied) {
	if !c.Dirty {
		c.Dirty = true
		w.dirty = append(w.dirty, c)
	}
	if w.chance(0.5) {
		w.flush()
	} else if !w.flushing {
		w.flushing = true
		w.after(w.span(0, 200), func() { w.flushing = false; w.flush() })
	}
}

// flush ends a batch of events as the worker does.
func (w *world) flush() {
	for _, c := range w.dirty {
		c.Dirty = false
		w.output(c)
	}
	w.dirty = w.dirty[:0]
	for i := range w.batch {
		w.transmit(&w.batch[i])
		w.batch[i] = sent{}
	}
	w.batch = w.batch[:0]
	w.core.FreeSent()
	st := &w.core.Stats
	sum := st.Delivered + st.Buffered
	for _, n := range st.Dropped {
		sum += n
	}
	if st.Accepted != sum || st.Accepted != w.given {
		w.fail("accounts: given %d, accepted %d, delivered %d, buffered %d, dropped %v", w.given, st.Accepted, st.Delivered, st.Buffered, st.Dropped)
	}
}

func (w *world) output(c *copied) {
	s := &c.Session
	for range 3 {
		w.core.Output(s, w.now)
		w.account(c)
		if s.state != Opening {
			break
		}
		w.nextPort++
		s.Endpoint = packet.Endpoint{Addr: copyAddr(w.nextPort >> 16), Port: uint16(w.nextPort)}
		w.byEnd[s.Endpoint], c.inUse = c, s.Endpoint
		w.log("%v connect", c.fl)
		w.core.Connect(s, w.now)
	}
	if s.state == Opening {
		w.fail("%v: still opening after three connects", c.fl)
		return
	}
	w.invariants(c)
	if s.state == Closed {
		if p := w.live[c.fl.slot()]; p != nil && p.over() {
			delete(w.live, c.fl.slot())
		}
		delete(w.all, s)
		return
	}
	w.arm(c)
}

// over reports whether the session and its twins are closed.
func (c *copied) over() bool {
	return c.state == Closed && !slices.ContainsFunc(c.twins, func(t *copied) bool { return t.state != Closed })
}

// account forgets an endpoint that is no longer in use.
func (w *world) account(c *copied) {
	if !c.Connected() && c.inUse.Port != 0 {
		delete(w.byEnd, c.inUse)
		c.inUse = packet.Endpoint{}
	}
}

// arm schedules the session's next timer.
func (w *world) arm(c *copied) {
	d := c.Deadline(w.core)
	if d >= c.timerAt {
		return
	}
	c.timerAt = d
	w.at(d, func() {
		if c.timerAt != d || c.state == Closed {
			return
		}
		c.timerAt = never
		if due := c.Deadline(w.core); w.now < due {
			w.arm(c)
			return
		}
		w.core.Timer(&c.Session, w.now)
		if !c.Dirty {
			c.Dirty = true
			w.dirty = append(w.dirty, c)
		}
		w.flush()
		if c.state != Closed && c.Deadline(w.core) <= w.now {
			w.fail("%v: a timer of state %v is still due after it ran: %+v", c.fl, c.state, c.Session)
		}
	})
}
