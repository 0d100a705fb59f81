package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// Restarts reports whether g is the SYN of a new connection that uses the
// same endpoints as s: the owner then calls Superseded, lets s come to its end
// by itself, and begins another session.
func (s *Session) Restarts(g *packet.Segment) bool {
	return g.Flags&(packet.SYN|packet.ACK) == packet.SYN && !(s.sawSYN && g.Seq == s.clientISN)
}

// Superseded tells a session that its client has begun anew: nothing more
// will come.
func (c *Core) Superseded(s *Session, now Time) {
	s.skipping = false
	switch s.state {
	case Watching, Parked:
		c.end(s, Finished)
		return
	case Skipping:
		s.state = Closed
		return
	}
	c.passHoles(s, now)
	c.queueEnd(s, pieceRST, s.inNext, s.ackLast)
}

// Client takes a captured segment of the session's client.
func (c *Core) Client(s *Session, g *packet.Segment, now Time) {
	c.pieces.capture(g.Payload)
	c.client(s, g, now)
}

// Copy gives the segment of the last Client to another session of the same
// client. They share its payload, not their state.
func (c *Core) Copy(s *Session, g *packet.Segment, now Time) { c.client(s, g, now) }

func (c *Core) client(s *Session, g *packet.Segment, now Time) {
	s.clientAt = c.clientTime(now)
	if s.state == Closed { // not yet removed
		c.Stats.Accepted += uint64(g.Len)
		c.Stats.Dropped[Midstream] += uint64(g.Len)
		return
	}
	if s.state == Skipping || s.skipping {
		c.pass(s, g, now)
		return
	}
	if g.Flags&packet.SYN != 0 {
		if s.state == Watching && !s.hasBase && g.Flags&(packet.ACK|packet.RST|packet.FIN) == 0 {
			c.clientSYN(s, g)
		}
		return
	}
	if s.state == Watching {
		c.watch(s, g, now)
		return
	}
	ack := s.ackLast // of a segment without one
	if g.Flags&packet.ACK != 0 {
		ack = g.Ack
		if !s.hasBase {
			s.ackNow = s.state == Established
			s.base, s.ackSeen, s.ackLast, s.hasBase = ack, ack, ack, true
		}
		s.ackSeen = seqMax(s.ackSeen, ack)
	}
	if g.Len > 0 {
		c.insert(s, g, ack, now)
	}
	switch {
	case s.state == Closed || s.state == Watching:
	case g.Flags&packet.RST != 0:
		c.passHoles(s, now)
		if s.hasBase {
			ack = s.ackSeen // most RSTs acknowledge nothing
		}
		c.queueEnd(s, pieceRST, s.inNext, ack)
	case g.Flags&packet.FIN != 0:
		c.insertFIN(s, g.Seq+uint32(g.Len), ack)
	}
	if s.state == Parked && s.first != 0 {
		c.reopen(s, ClosedByTarget)
	}
}

// clientSYN begins a session as the client did.
func (c *Core) clientSYN(s *Session, g *packet.Segment) {
	var o packet.Options
	packet.ParseOptions(g.Options, &o)
	s.sawSYN, s.clientISN = true, g.Seq
	s.synMSS, s.synScale, s.synSACK, s.synTS = o.MSS, o.WindowScale, o.SACKOK, o.HasTimestamp
	if o.MSS == 0 {
		s.synMSS = 536 // RFC 9293, 3.7.1
	}
	s.hasBase = false
	c.start(s, g.Seq)
	// Payload of a SYN (RFC 7413) would have to be undone where production
	// did not take it. Its client sends it again then.
	c.Stats.Accepted += uint64(g.Len)
	c.Stats.Dropped[FastOpen] += uint64(g.Len)
}

// start makes the session ready to be opened with the given initial sequence
// number.
func (c *Core) start(s *Session, iss uint32) {
	s.iss = iss
	s.inNext, s.released, s.credited = iss+1, iss+1, iss+1
	s.una, s.nxt = iss+1, iss+1
	s.keep, s.partial, s.cursor = iss+1, false, 0
	s.inEnded, s.turnOpen = false, false
	s.state = Opening
}

// watch waits for the first turn boundary of a connection that began before
// its capture: payload that follows what was seen without a gap, and whose
// acknowledgment is above that of all payload seen. Behind a gap, or where the
// network reordered it, payload may be the middle of a message.
func (c *Core) watch(s *Session, g *packet.Segment, now Time) {
	if g.Flags&(packet.RST|packet.FIN) != 0 || g.Flags&packet.ACK == 0 {
		c.Stats.Accepted += uint64(g.Len)
		c.Stats.Dropped[Midstream] += uint64(g.Len)
		c.end(s, Midstream)
		return
	}
	end := g.Seq + uint32(g.Len)
	if g.Len > 0 && s.hasBase && g.Seq == s.inNext && before(s.base, g.Ack) && (s.sawSYN || !c.cfg.OnlyComplete) {
		if !s.sawSYN {
			s.synMSS, s.synScale, s.synSACK, s.synTS = 65535, 7, true, true
			c.Stats.Midstream++
		}
		s.base, s.ackSeen, s.ackLast = g.Ack, g.Ack, g.Ack
		c.start(s, g.Seq-1)
		c.insert(s, g, g.Ack, now)
		return
	}
	if !s.hasBase {
		s.base, s.inNext, s.hasBase = g.Ack, end, true
	}
	if before(s.inNext, end) {
		s.inNext = end
		if g.Len > 0 {
			s.base = seqMax(s.base, g.Ack)
		}
	}
	c.Stats.Accepted += uint64(g.Len)
	c.Stats.Dropped[Midstream] += uint64(g.Len)
}

// insert puts payload into its place in the sequence.
func (c *Core) insert(s *Session, g *packet.Segment, ack uint32, now Time) {
	st := &c.Stats
	seq, b := g.Seq, g.Payload
	st.Accepted += uint64(g.Len)
	if g.Len > len(b) {
		st.Dropped[Truncated] += uint64(g.Len)
		if before(s.inNext, seq+uint32(g.Len)) {
			c.lose(s, Truncated, seq+uint32(g.Len), ack, now)
		}
		return
	}
	if before(seq, s.inNext) || s.inEnded {
		cut := min(s.inNext-seq, uint32(len(b)))
		if s.inEnded {
			cut = uint32(len(b))
		}
		st.Dropped[Duplicate] += uint64(cut)
		seq, b = seq+cut, b[cut:]
		if len(b) == 0 {
			return
		}
	}
	if c.cfg.Memory > 0 && c.pieces.held+int64(len(b)) > c.cfg.Memory {
		st.Dropped[MemoryLimit] += uint64(len(b))
		c.lose(s, MemoryLimit, seq+uint32(len(b)), ack, now)
		return
	}
	if seq != s.inNext {
		c.insertAhead(s, seq, ack, pieceData, b, now)
		return
	}
	if !c.cfg.Encrypted && (seq == s.iss+1 || before(s.ackLast, ack)) {
		if why, ok := Encrypted(b, seq == s.iss+1 && !s.sawSYN); ok {
			st.Dropped[why] += uint64(len(b))
			c.skip(s, why, ack, now)
			return
		}
	}
	st.Buffered += uint64(len(b))
	c.queue(s, c.pieces.alloc(seq, ack, pieceData, len(b)))
	c.closeHole(s, now)
}

func (c *Core) insertFIN(s *Session, seq, ack uint32) {
	switch {
	case s.inEnded || before(seq, s.inNext):
	case seq == s.inNext:
		c.queueEnd(s, pieceFIN, seq, ack)
		c.dropAhead(s, Duplicate)
	default:
		c.insertAhead(s, seq, ack, pieceFIN, nil, s.clientAt)
	}
}

// queue appends piece i, which begins at inNext.
func (c *Core) queue(s *Session, i uint32) {
	p := c.pieces.at(i)
	p.next = 0
	p.turn = p.seq == s.iss+1 || before(s.ackLast, p.ack)
	s.ackLast = seqMax(s.ackLast, p.ack)
	s.inNext = p.end()
	if s.last == 0 {
		s.first = i
	} else {
		c.pieces.at(s.last).next = i
	}
	s.last = i
	if s.nextPiece == 0 {
		s.nextPiece = i
	}
}

// queueEnd appends the client's FIN or RST. A FIN is a turn of its own when the
// client has read something since its last payload. A RST always is: even where
// turns are not awaited, the target answers before it what the client had read.
func (c *Core) queueEnd(s *Session, kind pieceKind, seq, ack uint32) {
	if s.inEnded {
		return
	}
	if s.state == Parked || s.state == Closing && s.parking {
		// The target has closed already: nothing is left to tell it.
		s.inEnded = true
		if s.state == Parked && s.first == 0 {
			c.end(s, Finished)
		}
		return
	}
	i := c.pieces.alloc(seq, ack, kind, 0)
	c.queue(s, i)
	if kind == pieceRST {
		c.pieces.at(i).turn = true
	}
	s.inEnded, s.endFIN = true, kind == pieceFIN
}
