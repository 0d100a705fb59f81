package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// maxReopens is how often a turn is begun again on a new connection.
const maxReopens = 3

// leave answers the target's early close: what is unanswered or waiting goes
// on in a new connection.
func (c *Core) leave(s *Session, now Time) {
	if s.turnOpen || s.nextPiece != 0 {
		c.hangUp(s, now)
		c.lostTarget(s, ClosedByTarget)
		return
	}
	s.parking = true
	c.sendFIN(s, now)
}

// hangUp ends a connection that nobody needs any more, and does not wait for
// the target.
func (c *Core) hangUp(s *Session, now Time) {
	if s.una == s.nxt {
		c.sendControl(s, s.nxt, packet.FIN|packet.ACK, KindFIN, now, false)
	} else {
		c.sendRST(s, now)
	}
}

// renew takes a new connection for what follows a hole.
func (c *Core) renew(s *Session, now Time) {
	c.endTurn(s)
	for s.first != s.nextPiece {
		c.dropFirst(s, CaptureHole)
	}
	c.hangUp(s, now)
	c.reopen(s, CaptureHole)
}

// lostTarget goes on with a new connection. A turn that comes to no answer in
// maxReopens of them is given up.
func (c *Core) lostTarget(s *Session, why Reason) {
	if s.first != 0 {
		s.reopens++
	}
	if s.reopens > maxReopens {
		s.partial = true
		c.dropFirst(s, why)
	}
	if s.partial {
		c.Stats.TurnsLost++
		s.turnOpen, s.reopens = false, 0
	}
	c.reopen(s, why)
}

// reopen makes a session ready for a new connection to the target, which
// takes up the first turn that was not answered. The old one is gone. The rest
// of a turn whose beginning is not to be had any more is dropped.
func (c *Core) reopen(s *Session, why Reason) {
	for s.first != 0 && !c.pieces.at(s.first).turn {
		s.partial = true
		c.dropFirst(s, why)
	}
	if s.first == 0 {
		if s.partial && !s.inEnded {
			c.rewatch(s, why, s.inNext, s.ackLast)
			return
		}
		c.park(s)
		return
	}
	s.cursor, s.turnOpen, s.partial = 0, false, false
	p := c.pieces.at(s.first)
	if p.kind != pieceData {
		c.end(s, Finished)
		return
	}
	s.iss, s.base = p.seq-1, p.ack
	s.hasBase = true
	s.keep, s.released, s.nextPiece = p.seq, p.seq, s.first
	s.una, s.nxt = p.seq, p.seq
	s.credited = seqMax(s.credited, p.seq) // bytes in between were lost
	s.state = Opening
	c.Stats.Reopened++
}

// park leaves a session without a connection, until its client goes on.
func (c *Core) park(s *Session) {
	if s.inEnded {
		c.end(s, Finished)
		return
	}
	s.state = Parked
	s.turnOpen = false
	s.rtoAt, s.ackAt, s.turnAt, s.endAt = never, never, never, never
}

// lose gives up a connection whose payload cannot be completed. end and ack
// are those of the segment that could not be taken.
func (c *Core) lose(s *Session, why Reason, end, ack uint32, now Time) {
	if s.state.connected() && s.state != TimeWait {
		c.sendRST(s, now)
	}
	c.rewatch(s, why, end, ack)
}

// rewatch ends the session as it was. What the client sends from its next turn
// on is copied again: a turn that begins behind all that has been seen.
func (c *Core) rewatch(s *Session, why Reason, end, ack uint32) {
	end, ack = seqMax(end, s.inNext), seqMax(ack, s.ackLast)
	for i := s.ahead; i != 0; i = c.pieces.at(i).next {
		p := c.pieces.at(i)
		end, ack = seqMax(end, p.end()), seqMax(ack, p.ack)
	}
	c.end(s, why)
	if s.inEnded {
		return
	}
	c.Begin(s, s.clientAt)
	s.inNext, s.base, s.hasBase = end, ack, true
}
