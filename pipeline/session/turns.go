package session

const (
	// silence after a push: the response is taken for complete although it is
	// shorter than production's was. nearlyWhole applies when it lacks less
	// than half of it, which is the usual case of headers that differ.
	silence     = 20 * Millisecond
	nearlyWhole = 2 * Millisecond
	// patience is how long the first turn waits for a target that says
	// nothing while production had answered. Each time that it is used up it
	// halves, so that full-duplex streams, whose server speaks when it wants
	// to, are not held up.
	patience    = 5 * Second
	minPatience = 50 * Millisecond
)

// have is how many response bytes the target has sent, FIN included, counted
// so that it compares with the client's acknowledgments less base.
func (s *Session) have() uint32 { return s.rcvNxt - s.peerBase }

// Late reports whether a request waits for the target's answer to the one
// before, which production has given: the copy is behind.
func (c *Core) Late(s *Session) bool {
	return s.state == Established && s.nextPiece != 0 && c.pieces.at(s.nextPiece).kind == pieceData
}

// release lets pieces go to the sender, in order: those of a running turn at
// once, the first of the next when the target has answered.
func (c *Core) release(s *Session, now Time) {
	for s.nextPiece != 0 {
		p := c.pieces.at(s.nextPiece)
		if s.peerFIN && !s.finSent && (p.kind == pieceData || s.turnOpen && before(s.have(), p.ack-s.base)) {
			c.leave(s, now)
			return
		}
		if p.turn {
			behindHole := p.fresh && p.seq != s.iss+1
			wait := (!c.cfg.NoWait || p.kind == pieceRST) && !(behindHole && s.released == s.iss+1)
			if wait && !c.answered(s, p, now) || behindHole && s.una != s.nxt {
				break
			}
			if behindHole {
				c.renew(s, now)
				return
			}
			c.endTurn(s)
			s.turnOpen = p.kind == pieceData
			s.turnHave = s.have()
			s.turnAt = never
			s.peerPushed = false
		}
		s.released = p.end()
		s.nextPiece = p.next
		s.askedAt = now
	}
	if s.nextPiece == 0 && s.turnOpen && s.una == s.nxt && s.peerPushed &&
		before(s.base+s.turnHave, s.ackSeen) && !before(s.have(), s.ackSeen-s.base) {
		c.endTurn(s) // the client has read the response, and the target has sent as much
	}
}

// endTurn counts the running turn as answered; its payload need not be kept
// any longer.
func (c *Core) endTurn(s *Session) {
	if s.turnOpen {
		s.turnOpen = false
		c.Stats.TurnsCopied++
		s.reopens = 0
	}
	s.partial = false
	s.keep = s.released
	c.forget(s)
}

// answered reports whether the turn that begins with p may: the target has
// sent what production had sent by then, or less but pushed and fell silent,
// or nothing for as long as the session has patience.
func (c *Core) answered(s *Session, p *piece, now Time) bool {
	want, have := p.ack-s.base, s.have()
	if !before(have, want) {
		// A response a little longer than production's would be taken for a
		// part of the next one's; a surplus as large as a response is one that
		// came early, to pipelined requests.
		if over, size := have-want, want-s.turnHave; over > 0 && int32(size) > 0 && over < size/4 {
			s.peerBase += over
		}
		s.patience = patience
		return true
	}
	if s.turnAt == never {
		s.turnAt = now
	}
	if s.una == s.nxt && now >= s.quietAt(p) {
		s.peerBase -= want - have
		return true
	}
	if s.una == s.nxt && now >= s.patientUntil() {
		if s.turnOpen {
			s.turnOpen = false
			c.Stats.TurnsUnanswered++
		}
		s.peerBase -= want - have
		s.patience = max(s.patience/2, minPatience)
		return true
	}
	return false
}

// patientUntil is when the waiting turn goes on without a response. The time
// that the turn before it needed on its way does not count.
func (s *Session) patientUntil() Time { return max(s.turnAt, s.progressAt) + s.patience }

// quietAt is when a response shorter than p wants counts as complete. A RST
// does not trust that: it would undo what the target is still working at.
func (s *Session) quietAt(p *piece) Time {
	want, have := p.ack-s.base, s.have()
	if p.kind == pieceRST || !s.peerPushed || !before(s.turnHave, have) {
		return never
	}
	if have-s.turnHave >= (want-s.turnHave)/2 {
		return s.peerAt + nearlyWhole
	}
	return s.peerAt + silence + 2*s.srtt
}

// forget frees pieces that are acknowledged and whose turn is answered. A
// turn longer than maxKept is not kept to be sent again.
func (c *Core) forget(s *Session) {
	for s.first != 0 {
		p := c.pieces.at(s.first)
		end := p.end()
		if s.first == s.nextPiece || before(s.delivered(), p.seq+p.len) {
			return
		}
		if before(s.keep, end) {
			if s.una-p.seq < maxKept && !s.partial {
				return
			}
			s.partial = true
		}
		if s.cursor == s.first {
			s.cursor = 0
		}
		next := p.next
		c.pieces.release(s.first)
		s.first = next
		if next == 0 {
			s.last = 0
		}
	}
}

// maxKept is how many acknowledged bytes of an unanswered turn are kept, to be
// sent again if the target closes.
const maxKept = 256 << 10
