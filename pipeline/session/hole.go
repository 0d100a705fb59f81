package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/message"

const (
	// holeTimeout is how long a hole may stay open: a client repeats what the
	// network lost well within it, so what is still missing was lost by the
	// capture. Where the client has read a response behind the hole, production
	// had most likely received what is missing, and holeAnswered is enough. Where
	// it is known where messages begin and end, what stands there is the answer to
	// the message with the hole, and only a client that sends ahead of answers can
	// repeat something yet: that takes two of its timeouts at most (RFC 6298).
	holeTimeout        = 10 * Second
	holeAnswered       = 3 * Second
	holeAnsweredFramed = 1 * Second
	// holePause is what the turns between two holes get at least to be
	// released, before the second hole is given up, which drops what waits.
	holePause = Second / 4
	// maxAhead bounds the segments kept beyond a hole, maxAheadBytes how far
	// beyond a segment is believed to belong to the connection.
	maxAhead      = 8192
	maxAheadBytes = 64 << 20
)

// insertAhead keeps a segment that lies beyond a hole.
func (c *Core) insertAhead(s *Session, seq, ack Seq, kind pieceKind, b []byte, now Time) {
	if seq.Sub(s.online.next) > maxAheadBytes {
		c.Stats.Dropped[ReassemblyLimit] += uint64(len(b))
		return
	}
	if s.online.aheadN >= maxAhead {
		c.Stats.Dropped[ReassemblyLimit] += uint64(len(b))
		c.lose(s, ReassemblyLimit, seq.Add(uint32(len(b))), ack, now)
		return
	}
	n := c.pieces.alloc(seq, ack, kind, len(b))
	c.Stats.Buffered += uint64(len(b))
	c.linkAhead(s, n)
	p := c.pieces.at(n)
	p.at = c.clientTime(now)
	if s.online.holeAt == never {
		s.online.holeAt = p.at + holeTimeout
	}
	if s.online.ackLast.Before(ack) {
		s.online.holeAt = min(s.online.holeAt, p.at+s.answeredHole())
	}
}

// linkAhead puts piece n into its place among those beyond a hole. They are a
// ring, of which the session knows the last: most come in order.
func (c *Core) linkAhead(s *Session, n ref) {
	p, last := c.pieces.at(n), s.online.ahead
	s.online.aheadN++
	if last == 0 {
		p.next, s.online.ahead = n, n
		return
	}
	before := last
	if p.seq.Before(c.pieces.at(last).seq) {
		for i := c.firstAhead(s); !p.seq.Before(c.pieces.at(i).seq); i = c.pieces.at(i).next {
			before = i
		}
	} else {
		s.online.ahead = n
	}
	p.next = c.pieces.at(before).next
	c.pieces.at(before).next = n
}

// firstAhead is the first piece beyond the hole, or 0.
func (c *Core) firstAhead(s *Session) ref {
	if s.online.ahead == 0 {
		return 0
	}
	return c.pieces.at(s.online.ahead).next
}

// nextAhead is the one behind piece i, or 0.
func (c *Core) nextAhead(s *Session, i ref) ref {
	if i == s.online.ahead {
		return 0
	}
	return c.pieces.at(i).next
}

// takeAhead takes the first piece beyond the hole out.
func (c *Core) takeAhead(s *Session) ref {
	last := c.pieces.at(s.online.ahead)
	i := last.next
	if i == s.online.ahead {
		s.online.ahead = 0
	} else {
		last.next = c.pieces.at(i).next
	}
	s.online.aheadN--
	return i
}

// answeredHole is how long a hole stays open behind which the client has read a
// response.
func (s *Session) answeredHole() Time {
	if s.online.protocol == message.Unknown {
		return holeAnswered
	}
	return holeAnsweredFramed
}

// nextHole sets when the first hole that is left is given up: by the age of
// what stands behind it, so that holes which opened one after the other are
// not waited for one after the other.
func (c *Core) nextHole(s *Session, now Time) {
	if s.online.ahead == 0 {
		s.online.holeAt = never
		return
	}
	s.online.holeAt = c.pieces.at(c.firstAhead(s)).at + holeTimeout
	for i := c.firstAhead(s); i != 0; i = c.nextAhead(s, i) {
		if p := c.pieces.at(i); s.online.ackLast.Before(p.ack) {
			s.online.holeAt = min(s.online.holeAt, p.at+s.answeredHole())
			break
		}
	}
	s.online.holeAt = max(s.online.holeAt, c.clientTime(now)+holePause)
}

// closeHole moves to the queue what a segment has connected to it. Overlaps
// are resolved in favour of what came into the queue first.
func (c *Core) closeHole(s *Session, now Time) {
	moved := false
	for s.online.ahead != 0 {
		i := c.firstAhead(s)
		p := c.pieces.at(i)
		if s.online.next.Before(p.seq) {
			break
		}
		c.takeAhead(s)
		moved = true
		cut := s.online.next.Sub(p.seq)
		switch {
		case p.kind == pieceFIN:
			seq, ack := p.seq, p.ack
			c.pieces.freePiece(i)
			if cut == 0 {
				c.queueEnd(s, pieceFIN, seq, ack)
			}
		case cut >= p.len:
			c.Stats.Dropped[Duplicate] += uint64(p.len)
			c.Stats.Buffered -= uint64(p.len)
			c.pieces.freePiece(i)
		default:
			c.Stats.Dropped[Duplicate] += uint64(cut)
			c.Stats.Buffered -= uint64(cut)
			p.seq, p.len, p.skip = p.seq.Add(cut), p.len-cut, p.skip+cut
			c.queue(s, i)
		}
	}
	if s.online.ended {
		c.dropAhead(s, Duplicate)
	}
	if moved || s.online.ahead == 0 {
		c.nextHole(s, now)
	}
}

// passHole goes on behind bytes that the capture lost, at the first turn that
// is known to begin there: its acknowledgment is above that of the piece right
// before it. The turns before the hole are delivered first; the one that the
// hole cuts is dropped, and the rest takes a new connection.
func (c *Core) passHole(s *Session, now Time) {
	if s.online.protocol != message.Unknown {
		c.passFramed(s, now)
	} else if !c.skipHole(s, now) {
		c.lose(s, CaptureHole, s.online.next, s.online.ackLast, now)
	}
}

// passHoles goes on behind every hole, since the client will repeat nothing
// any more. What begins no turn is dropped.
func (c *Core) passHoles(s *Session, now Time) {
	for s.online.ahead != 0 && s.online.protocol != message.Unknown {
		c.passFramed(s, now)
	}
	for s.online.ahead != 0 && c.skipHole(s, now) {
	}
	if s.online.ahead != 0 {
		c.Stats.TurnsLost++ // the one that the last hole cuts
		c.dropAhead(s, CaptureHole)
	}
}

// passFramed goes on behind the first hole of a connection whose protocol is
// known.
func (c *Core) passFramed(s *Session, now Time) {
	p := c.pieces.at(c.firstAhead(s))
	c.cutTo(s, p.seq, CaptureHole, p.ack, now)
}

// skipHole reports whether there is a turn to go on with.
func (c *Core) skipHole(s *Session, now Time) bool {
	if !c.boundaryAhead(s) {
		return false
	}
	c.dropCut(s)
	i := c.takeAhead(s)
	s.online.next = c.pieces.at(i).seq
	c.queue(s, i)
	p := c.pieces.at(i)
	p.turns, p.fresh = max(p.turns, 1), true
	c.nextHole(s, now)
	c.closeHole(s, now)
	if s.state == Parked {
		c.reopen(s, CaptureHole, now)
	}
	return true
}

// boundaryAhead drops the pieces beyond the hole up to the first that begins
// a turn, and reports whether there is one.
func (c *Core) boundaryAhead(s *Session) bool {
	n := 0
	last := c.firstAhead(s)
	for i := c.nextAhead(s, last); i != 0; last, i = i, c.nextAhead(s, i) {
		n++
		q, p := c.pieces.at(last), c.pieces.at(i)
		if p.kind != pieceData || p.seq != q.end() || !q.ack.Before(p.ack) || !c.joins(s, c.pieces.run(p, 0)) || !s.joinable(p.seq) {
			continue
		}
		for range n {
			k := c.takeAhead(s)
			q := c.pieces.at(k)
			c.Stats.Dropped[CaptureHole] += uint64(q.len)
			c.Stats.Buffered -= uint64(q.len)
			c.pieces.freePiece(k)
		}
		return true
	}
	return false
}

// dropCut drops the end of the queue: the turn into which the hole falls, as
// far as it was not released. What the target has of it already ends with its
// connection.
func (c *Core) dropCut(s *Session) {
	c.Stats.TurnsLost++
	if s.turns.nextPiece == 0 {
		return
	}
	cut, kept := ref(0), ref(0) // first piece to go, and the one before
	last := ref(0)
	for i := s.online.first; i != 0; last, i = i, c.pieces.at(i).next {
		if i == s.turns.nextPiece || cut != 0 && c.pieces.at(i).turns > 0 {
			cut, kept = i, last
		}
	}
	c.dropFrom(s, cut, kept, CaptureHole)
}

// dropFrom drops the queue from piece cut on, which follows kept.
func (c *Core) dropFrom(s *Session, cut, kept ref, why Reason) {
	for i := cut; i != 0; {
		p := c.pieces.at(i)
		next := p.next
		lost := s.undelivered(p)
		c.Stats.Dropped[why] += lost
		c.Stats.Buffered -= lost
		c.pieces.freePiece(i)
		i = next
	}
	if s.turns.nextPiece == cut {
		s.turns.nextPiece = 0
	}
	if s.online.last = kept; kept == 0 {
		s.online.first = 0
	} else {
		c.pieces.at(kept).next = 0
	}
}
