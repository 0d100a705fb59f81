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

// turns says which of the client's pieces the target may get, and what it has
// answered.
type turns struct {
	released   Seq   // sequence number up to which pieces are released
	nextPiece  ref   // first piece not released
	keep       Seq   // payload from here on belongs to the unanswered turn
	peerBase   Seq   // target's sequence number that stands for no response byte
	hadAtStart Seq   // what the target had sent when the running turn was released
	open       bool  // a released turn has not been answered
	partial    bool  // the front of the unanswered turn is freed
	pushed     bool  // the last segment of the target ended what its server wrote
	reopens    uint8 // without progress
	patience   Time
	waitAt     Time // when the waiting turn came to wait
	askedAt    Time // the last piece of the running turn was released
}

// have is how far the target has answered, FIN included: a position in the
// response of which 0 is base.
func (s *Session) have() Seq { return Seq(s.rcv.nxt.Sub(s.turns.peerBase)) }

// read is the same of production's response, for a client that acknowledges ack.
func (s *Session) read(ack Seq) Seq { return Seq(ack.Sub(s.online.base)) }

// Late reports whether a request waits for the target's answer to the one
// before, which production has given: the copy is behind.
func (c *Core) Late(s *Session) bool {
	return s.state == Established && s.turns.nextPiece != 0 && c.pieces.at(s.turns.nextPiece).kind == pieceData
}

// release lets pieces go to the sender, in order: those of a running turn at
// once, the first of the next when the target has answered.
func (c *Core) release(s *Session, now Time) {
	for s.turns.nextPiece != 0 {
		p := c.pieces.at(s.turns.nextPiece)
		if s.rcv.fin && !s.snd.finSent && (p.kind == pieceData || s.turns.open && s.have().Before(s.read(p.ack))) {
			c.leave(s, now)
			return
		}
		if p.turn {
			behindHole := p.fresh && p.seq != s.snd.iss+1
			wait := (!c.cfg.NoWait || p.kind == pieceRST) && !(behindHole && s.turns.released == s.snd.iss+1)
			if wait && !c.answered(s, p, now) || behindHole && s.snd.una != s.snd.nxt {
				break
			}
			if behindHole {
				c.renew(s, now)
				return
			}
			c.endTurn(s)
			s.turns.open = p.kind == pieceData
			s.turns.hadAtStart = s.have()
			s.turns.waitAt = never
			s.turns.pushed = false
		}
		s.turns.released = p.end()
		s.turns.nextPiece = p.next
		s.turns.askedAt = now
	}
	if s.turns.nextPiece == 0 && s.turns.open && s.snd.una == s.snd.nxt && s.turns.pushed &&
		s.turns.hadAtStart.Before(s.read(s.online.ackSeen)) && !s.have().Before(s.read(s.online.ackSeen)) {
		c.endTurn(s) // the client has read the response, and the target has sent as much
	}
}

// endTurn counts the running turn as answered; its payload need not be kept
// any longer.
func (c *Core) endTurn(s *Session) {
	if s.turns.open {
		s.turns.open = false
		c.Stats.TurnsCopied++
		s.turns.reopens = 0
	}
	s.turns.partial = false
	s.turns.keep = s.turns.released
	c.forget(s)
}

// answered reports whether the turn that begins with p may: the target has
// sent what production had sent by then, or less but pushed and fell silent,
// or nothing for as long as the session has patience.
func (c *Core) answered(s *Session, p *piece, now Time) bool {
	want, have := s.read(p.ack), s.have()
	if !have.Before(want) {
		// A response a little longer than production's would be taken for a
		// part of the next one's; a surplus as large as a response is one that
		// came early, to pipelined requests.
		if over, size := have.Sub(want), want.Sub(s.turns.hadAtStart); over > 0 && s.turns.hadAtStart.Before(want) && over < size/4 {
			s.turns.peerBase = s.turns.peerBase.Add(over)
		}
		s.turns.patience = patience
		return true
	}
	if s.turns.waitAt == never {
		s.turns.waitAt = now
	}
	if s.snd.una == s.snd.nxt && now >= s.quietAt(p) {
		s.turns.peerBase -= want - have // the missing bytes count as sent
		return true
	}
	if s.snd.una == s.snd.nxt && now >= s.patientUntil() {
		if s.turns.open {
			s.turns.open = false
			c.Stats.TurnsUnanswered++
		}
		s.turns.peerBase -= want - have // the missing bytes count as sent
		s.turns.patience = max(s.turns.patience/2, minPatience)
		return true
	}
	return false
}

// patientUntil is when the waiting turn goes on without a response. The time
// that the turn before it needed on its way does not count.
func (s *Session) patientUntil() Time {
	return max(s.turns.waitAt, s.snd.progressAt) + s.turns.patience
}

// quietAt is when a response shorter than p wants counts as complete. A RST
// does not trust that: it would undo what the target is still working at.
func (s *Session) quietAt(p *piece) Time {
	want, have := s.read(p.ack), s.have()
	if p.kind == pieceRST || !s.turns.pushed || !s.turns.hadAtStart.Before(have) {
		return never
	}
	if have.Sub(s.turns.hadAtStart) >= want.Sub(s.turns.hadAtStart)/2 {
		return s.rcv.heardAt + nearlyWhole
	}
	return s.rcv.heardAt + silence + 2*s.snd.srtt
}

// forget frees pieces that are acknowledged and whose turn is answered. A
// turn longer than maxKept is not kept to be sent again.
func (c *Core) forget(s *Session) {
	for s.online.first != 0 {
		p := c.pieces.at(s.online.first)
		end := p.end()
		if s.online.first == s.turns.nextPiece || s.delivered().Before(p.seq.Add(p.len)) {
			return
		}
		if s.turns.keep.Before(end) {
			if s.snd.una.Sub(p.seq) < maxKept && !s.turns.partial {
				return
			}
			s.turns.partial = true
		}
		s.unpoint(s.online.first)
		next := p.next
		c.pieces.freePiece(s.online.first)
		s.online.first = next
		if next == 0 {
			s.online.last = 0
		}
	}
}

// maxKept is how many acknowledged bytes of an unanswered turn are kept, to be
// sent again if the target closes.
const maxKept = 256 << 10
