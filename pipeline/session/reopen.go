package session

import (
	"github.com/tcpcopy-go/tcpcopy/pipeline/message"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

const (
	// maxReopens is how many more connections a session gets that come to no
	// answer, and so how often a turn is begun again at most.
	maxReopens = 3
	// maxBackoff bounds the time, of 1, 2, 4, ... s, after which a session that
	// was given up may try again with one connection: 64 s.
	maxBackoff = 6
)

// leave answers the target's early close: what is unanswered or waiting goes
// on in a new connection.
func (c *Core) leave(s *Session, now Time) {
	if s.turns.open > 0 || s.turns.nextPiece != 0 {
		c.hangUp(s, now)
		c.lostTarget(s, ClosedByTarget, now)
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
	c.endTurns(s)
	for s.online.first != s.turns.nextPiece {
		c.dropFirst(s, CaptureHole)
	}
	c.hangUp(s, now)
	c.reopen(s, CaptureHole, now)
}

// closed counts the running turns when the target has ended the connection
// behind an answer: nothing that was answered is repeated. Of several it is not
// known which were, unless production had not said more by then.
func (c *Core) closed(s *Session) {
	if n := s.turns.open + s.turns.behind; n > 1 && !s.caughtUp() {
		s.turns.open, s.turns.behind = 1, 0
		c.Stats.TurnsUnanswered += uint64(n - 1)
	}
	c.endTurns(s)
}

// lostTarget goes on with a new connection.
func (c *Core) lostTarget(s *Session, why Reason, now Time) {
	t := &s.turns
	if s.wasAnswered() {
		c.closed(s)
	}
	c.Stats.TurnsUnanswered += uint64(t.behind) // they are not kept
	t.behind = 0
	if t.open > 0 || t.nextPiece != 0 && t.released == s.snd.iss+1 {
		t.failures = min(t.failures+1, maxReopens+1+maxBackoff)
	}
	if t.failures > maxReopens {
		c.giveUp(s, why, now)
		return
	}
	if t.partial {
		c.Stats.TurnsLost += uint64(t.open)
		t.open, t.due = 0, false
	}
	c.reopen(s, why, now)
}

// giveUp drops what waits for a target that answers nothing on any connection.
// It may be tried again some time later, with a message that begins then.
func (c *Core) giveUp(s *Session, why Reason, now Time) {
	t := &s.turns
	c.Stats.TurnsLost += uint64(t.open)
	t.open, t.due = 0, false
	wait := Second << (t.failures - maxReopens - 1)
	if s.online.ended {
		c.end(s, why)
		return
	}
	if s.online.protocol == message.Unknown {
		c.rewatch(s, why, s.online.next, s.online.ackLast)
	} else {
		c.dropAll(s, why)
		c.Stats.Closed[why]++
		c.park(s)
	}
	s.endAt = now + wait
}

// reopen makes a session ready for a new connection to the target, which takes
// up the first turn that was not answered. The old one is gone. What is left of
// turns that were answered, or whose beginning is not to be had any more, is
// dropped.
func (c *Core) reopen(s *Session, why Reason, now Time) {
	c.resetRecovery(s)
	on, t := &s.online, &s.turns
	dropped := t.partial
	for on.first != 0 {
		if p := c.pieces.at(on.first); p.turns > 0 && !p.seq.Before(t.keep) || p.fresh {
			break
		}
		dropped = true
		c.dropFirst(s, why)
	}
	if on.first == 0 {
		if dropped && on.protocol == message.Unknown && !on.ended {
			c.rewatch(s, why, on.next, on.ackLast)
			return
		}
		c.park(s)
		return
	}
	p := c.pieces.at(on.first)
	switch {
	case p.kind != pieceData:
		c.end(s, Finished)
	case !s.joinable(p.seq):
		c.leaveOut(s, NotJoinable)
	case s.state == Parked && s.endAt != never:
		c.dropAll(s, why) // given up for a while
		if on.ended {
			c.end(s, why)
		}
	case s.mayBeSilent(p):
		c.park(s)
	case !c.target(s).reopens.take(c.cfg.ReopenRate, now):
		c.leaveOut(s, ReopenRate)
	default:
		s.snd.cursor, t.open, t.due, t.partial = 0, 0, false, false
		s.snd.iss, on.base = p.seq-1, p.ack
		on.hasBase = true
		t.keep, t.released, t.nextPiece = p.seq, p.seq, on.first
		s.snd.una, s.snd.nxt = p.seq, p.seq
		s.snd.credited = s.snd.credited.Max(p.seq) // bytes in between were lost
		s.state = Opening
		c.Stats.Reopened++
	}
}

// mayBeSilent reports whether production, for all that is known, has not
// answered the message that begins with p, which the target has got. It may end
// the connection as the target did: the message is sent again when its client
// turns out to have read an answer.
func (s *Session) mayBeSilent(p *piece) bool {
	return s.online.protocol != message.Unknown && s.turns.ended && p.seq.Before(s.turns.released) &&
		!p.ack.Before(s.online.ackSeen)
}

// leaveOut ends the copy of a connection, and passes over what else its client
// sends.
func (c *Core) leaveOut(s *Session, why Reason) {
	c.Stats.TurnsLost += uint64(s.turns.open)
	s.turns.open, s.turns.due = 0, false
	c.dropAll(s, why)
	s.skipping, s.skipped = !s.online.ended, why
	c.end(s, why)
}

// park leaves a session without a connection, until its client goes on.
func (c *Core) park(s *Session) {
	if s.online.ended {
		c.end(s, Finished)
		return
	}
	s.state = Parked
	if s.online.first == 0 {
		s.turns.open, s.turns.due = 0, false
	}
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
	for i := c.firstAhead(s); i != 0; i = c.nextAhead(s, i) {
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
