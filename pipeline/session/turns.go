package session

// turns says which of the client's pieces the target may get, and what it has
// answered.
type turns struct {
	released   Seq    // sequence number up to which pieces are released
	nextPiece  ref    // first piece not released
	keep       Seq    // payload from here on belongs to unanswered turns
	peerBase   Seq    // target's sequence number that stands for no response byte
	origin     Seq    // what peerBase was when the connection began
	hadAtStart Seq    // what the target had sent when the running turns were released
	begunAt    Seq    // where the first of them begins
	reacted    Seq    // how far the target has said what clients' reactions may be to
	pubrels    int32  // that the PUBRECs released have drawn, beyond the PUBCOMPs released
	gap        int32  // by how much the answer before was longer than production's
	asked      uint32 // turns released on this connection
	pause      uint32 // longest wait for one of several answers that were due, in us
	open       uint16 // the running turns: released, and not answered
	depth      uint16 // most turns that ran together
	behind     uint16 // turns before the running ones whose answers may be due all the same
	vain       uint16 // length of the piece that was last waited with in vain
	due        bool   // one of them is a message that is answered
	ended      bool   // the last piece released ends a message
	pipelined  bool   // a turn was released before the one before was answered
	guessed    bool   // the gap was expected, and not confirmed by silence
	partial    bool   // the front of the unanswered turns is freed
	pushed     bool   // the last segment of the target ended what its server wrote
	failures   uint8  // connections in a row that came to no answer
	impatience uint8  // how often the target was waited for in vain
	waitAt     Time   // when the waiting turn came to wait
	askedAt    Time   // the last piece of the running turns was released
}

// have is how far the target has answered, FIN included: a position in the
// response of which 0 is base.
func (s *Session) have() Seq { return Seq(s.rcv.nxt.Sub(s.turns.peerBase)) }

// read is the same of production's response, for a client that acknowledges ack.
func (s *Session) read(ack Seq) Seq { return Seq(ack.Sub(s.online.base)) }

// wasAnswered reports whether the target has said anything since the running
// turns were released.
func (s *Session) wasAnswered() bool {
	have := s.have()
	if s.rcv.fin {
		have--
	}
	return s.turns.hadAtStart.Before(have)
}

// owed reports whether production is known to have answered the running turns,
// by more than its FIN.
func (s *Session) owed() bool {
	return s.online.hasBase && (s.turns.hadAtStart + 1).Before(s.read(s.online.ackSeen))
}

// Late reports whether a request waits for the target's answer to the one
// before, which production has given: the copy is behind.
func (c *Core) Late(s *Session) bool {
	return s.state == Established && s.turns.nextPiece != 0 && c.pieces.at(s.turns.nextPiece).kind == pieceData
}

// release lets pieces go to the sender, in order: those of a message that has
// begun at once, the first of the next when the target has given the answers
// that the client had read.
func (c *Core) release(s *Session, now Time) {
	t := &s.turns
	for t.nextPiece != 0 {
		p := c.pieces.at(t.nextPiece)
		if s.rcv.fin && !s.snd.finSent && (p.kind == pieceData || t.open > 0 && s.have().Before(s.read(p.ack))) {
			c.leave(s, now)
			return
		}
		if p.fresh && p.seq != s.snd.iss+1 {
			if !c.drained(s, now) {
				return
			}
			c.renew(s, now)
			return
		}
		if p.waits {
			if (!c.cfg.NoWait || p.kind == pieceRST) && !c.answered(s, p, now) {
				return
			}
			c.nextTurns(s, p)
			t.begunAt = p.seq
		}
		c.begin(s, p)
		t.askedAt = now
	}
	if t.open == 0 || s.snd.una != s.snd.nxt {
		return
	}
	if t.pushed && s.owed() && s.caughtUp() || t.ended && !t.due {
		c.endTurns(s) // the client has read the answer, and the target has sent as much; or none is due
	}
}

// caughtUp reports whether the target has answered as much as the client has
// read. Of several answers only all the same bytes say so.
func (s *Session) caughtUp() bool {
	if s.streams() {
		return s.total(s.online.ackSeen) == 0
	}
	return !s.have().Before(s.read(s.online.ackSeen))
}

// nextTurns takes note that p begins the next turns. A client that sends
// requests without waiting for the answers had read one at least when it sent p;
// of the rest as many as it has under way may be due.
func (c *Core) nextTurns(s *Session, p *piece) {
	t := &s.turns
	depth := max(t.depth, t.open)
	if !s.streams() || p.kind != pieceData || depth == 0 {
		c.endTurns(s)
		return
	}
	due := min(t.behind+t.open, depth-1)
	t.open, t.behind = t.behind+t.open-due, 0
	c.endTurns(s)
	t.behind, t.depth = due, depth
}

// begin releases p.
func (c *Core) begin(s *Session, p *piece) {
	t := &s.turns
	if p.waits || p.turns > 0 && t.open == 0 {
		t.hadAtStart, t.pushed = s.have(), false
	}
	if s.exact() {
		c.react(s, p)
	}
	if p.kind == pieceData {
		due := p.ends >= endsDue
		t.pipelined = t.pipelined || p.turns > 0 && t.due || p.turns > 1 && due
		t.open += p.turns
		t.asked += uint32(p.turns)
		t.due = t.due || due && t.open > 0
		t.ended = p.ends == endsQuiet || p.ends == endsDue
	}
	t.released = p.end()
	t.nextPiece = p.next
	t.waitAt = never
}

// endTurns counts the running turns as answered; their payload need not be
// kept any longer.
func (c *Core) endTurns(s *Session) {
	t := &s.turns
	c.Stats.TurnsCopied += uint64(t.open) + uint64(t.behind)
	if t.open > 0 && s.wasAnswered() {
		t.failures = 0
	}
	t.open, t.behind, t.depth, t.due, t.partial = 0, 0, 0, false, false
	t.keep = t.released
	c.forget(s)
}

// forget frees pieces that are acknowledged and whose turn is answered. Turns
// longer than maxKept are not kept to be sent again.
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

// maxKept is how many acknowledged bytes of unanswered turns are kept, to be
// sent again if the target closes.
const maxKept = 256 << 10
