package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// maxReopens is how often a turn is begun again on a new connection.
const maxReopens = 3

// leave answers the target's early close: what is unanswered or waiting goes
// on in a new connection.
func (c *Core) leave(s *Session, now Time) {
	if s.turns.open || s.turns.nextPiece != 0 {
		c.hangUp(s, now)
		c.lostTarget(s, ClosedByTarget)
		return
	}
	s.snd.parking = true
	c.sendFIN(s, now)
}

// hangUp ends a connection that nobody needs any more, and does not wait for
// the target.
func (c *Core) hangUp(s *Session, now Time) {
	if s.snd.una == s.snd.nxt {
		c.sendControl(s, s.snd.nxt, packet.FIN|packet.ACK, KindFIN, now, false)
	} else {
		c.sendRST(s, now)
	}
}

// renew takes a new connection for what follows a hole.
func (c *Core) renew(s *Session, now Time) {
	c.endTurn(s)
	for s.online.first != s.turns.nextPiece {
		c.dropFirst(s, CaptureHole)
	}
	c.hangUp(s, now)
	c.reopen(s, CaptureHole)
}

// lostTarget goes on with a new connection. A turn that comes to no answer in
// maxReopens of them is given up.
func (c *Core) lostTarget(s *Session, why Reason) {
	if s.online.first != 0 {
		s.turns.reopens++
	}
	if s.turns.reopens > maxReopens {
		s.turns.partial = true
		c.dropFirst(s, why)
	}
	if s.turns.partial {
		c.Stats.TurnsLost++
		s.turns.open, s.turns.reopens = false, 0
	}
	c.reopen(s, why)
}

// reopen makes a session ready for a new connection to the target, which
// takes up the first turn that was not answered. The old one is gone. The rest
// of a turn whose beginning is not to be had any more is dropped.
func (c *Core) reopen(s *Session, why Reason) {
	c.resetRecovery(s)
	for s.online.first != 0 && !c.pieces.at(s.online.first).turn {
		s.turns.partial = true
		c.dropFirst(s, why)
	}
	if s.online.first == 0 {
		if s.turns.partial && !s.online.ended {
			c.rewatch(s, why, s.online.next, s.online.ackLast)
			return
		}
		c.park(s)
		return
	}
	s.snd.cursor, s.turns.open, s.turns.partial = 0, false, false
	p := c.pieces.at(s.online.first)
	if p.kind != pieceData {
		c.end(s, Finished)
		return
	}
	s.snd.iss, s.online.base = p.seq-1, p.ack
	s.online.hasBase = true
	s.turns.keep, s.turns.released, s.turns.nextPiece = p.seq, p.seq, s.online.first
	s.snd.una, s.snd.nxt = p.seq, p.seq
	s.snd.credited = s.snd.credited.Max(p.seq) // bytes in between were lost
	s.state = Opening
	c.Stats.Reopened++
}

// park leaves a session without a connection, until its client goes on.
func (c *Core) park(s *Session) {
	if s.online.ended {
		c.end(s, Finished)
		return
	}
	s.state = Parked
	s.turns.open = false
	s.snd.rtoAt, s.rcv.ackAt, s.turns.waitAt, s.endAt = never, never, never, never
}

// lose gives up a connection whose payload cannot be completed. end and ack
// are those of the segment that could not be taken.
func (c *Core) lose(s *Session, why Reason, end, ack Seq, now Time) {
	if s.state.connected() && s.state != TimeWait {
		c.sendRST(s, now)
	}
	c.rewatch(s, why, end, ack)
}

// rewatch ends the session as it was. What the client sends from its next turn
// on is copied again: a turn that begins behind all that has been seen.
func (c *Core) rewatch(s *Session, why Reason, end, ack Seq) {
	end, ack = end.Max(s.online.next), ack.Max(s.online.ackLast)
	for i := s.online.ahead; i != 0; i = c.pieces.at(i).next {
		p := c.pieces.at(i)
		end, ack = end.Max(p.end()), ack.Max(p.ack)
	}
	c.end(s, why)
	if s.online.ended {
		return
	}
	c.Begin(s, s.online.seenAt)
	s.online.next, s.online.base, s.online.hasBase = end, ack, true
}
