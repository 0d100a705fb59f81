package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/message"

const (
	// silence after a push: the answer is taken for complete although it is
	// shorter than production's was. nearlyWhole applies when it lacks less
	// than half of it, or is longer, which is the usual case of headers that
	// differ; beforeReset when a RST follows, which would undo what the target
	// is still working at.
	silence     = 20 * Millisecond
	nearlyWhole = 2 * Millisecond
	beforeReset = 500 * Millisecond
	// patience is how long a target is waited for that says nothing while
	// production had spoken, where that need not be an answer. Each time that it
	// is used up it halves, and a piece of the length of the last one that was
	// waited with in vain gets only minPatience: full-duplex streams, whose server
	// speaks when it wants to, are not held up.
	patience    = 5 * Second
	minPatience = 50 * Millisecond
	// lastAnswer is how long an answer before the client's FIN is waited for that
	// production is not known to have given.
	lastAnswer = Second
)

// answered reports whether p may go: the target has given the answers that its
// client had read.
func (c *Core) answered(s *Session, p *piece, now Time) bool {
	if s.exact() && p.kind == pieceData {
		return c.exchanges(s, p, now)
	}
	t := &s.turns
	gap := s.gap(p)
	if gap == 0 || gap > 0 && !s.endsStream(p) && s.early(p, gap) {
		t.gap, t.guessed = 0, false
		return true
	}
	if s.alternates() && t.open > 0 && t.ended && !t.due && !t.pipelined {
		c.align(s, gap) // none of the running turns is answered
		return true
	}
	if t.waitAt == never {
		t.waitAt = now
	}
	if s.snd.una != s.snd.nxt {
		return false
	}
	if off := s.off(p, gap); off != 0 {
		each, alike := s.each(p, off)
		known := alike && s.expects(c, each)
		if known || now >= s.quietAt(p) {
			if !known && alike && (p.kind == pieceData || s.endsStream(p)) {
				c.target(s).lengths.confirm(each)
			}
			c.align(s, off)
			t.guessed = known
			return off == gap
		}
	}
	if now < s.patientUntil(c, p) {
		return false
	}
	return c.tired(s, p, gap, now)
}

// gap is by how much the target has sent more than production had when the
// client sent p. At the end of a stream of requests nothing is made up for: what
// silence had stood for may have come since, or not.
func (s *Session) gap(p *piece) int32 {
	if s.endsStream(p) {
		return s.total(p.ack)
	}
	return int32(s.said().Sub(s.read(p.ack) - pubrelLen*Seq(p.pubcomps)))
}

// total is by how much the target has sent more on its connection than
// production had by ack.
func (s *Session) total(ack Seq) int32 {
	return int32(s.have().Add(s.turns.peerBase.Sub(s.turns.origin)).Sub(s.read(ack)))
}

// streams reports whether the client sends requests without waiting for the
// answers to those before, and each has one.
func (s *Session) streams() bool { return s.turns.pipelined && s.alternates() }

// multiplexes reports whether answers come in any order, between what the server
// says of its own accord.
func (s *Session) multiplexes() bool {
	return s.online.framer.Protocol() == message.HTTP2 && s.framed()
}

// endsStream reports whether p is the client's end behind several requests: a
// target that is told drops what it has not answered.
func (s *Session) endsStream(p *piece) bool {
	return (p.kind != pieceData || p.ends == farewell) && (s.streams() || s.multiplexes())
}

// each is by how much each answer before p differs where they differ by off
// together, if they can do so all alike.
func (s *Session) each(p *piece, off int32) (n int32, alike bool) {
	answers := int32(s.turns.open)
	switch ends := s.endsStream(p); {
	case ends && s.multiplexes():
		return 0, false
	case ends:
		answers = int32(s.turns.asked)
	case !s.streams():
		return off, true
	}
	if answers == 0 || off%answers != 0 {
		return 0, false
	}
	off /= answers
	return off, off > 0 || uint32(-off) < uint32(s.read(p.ack))/s.turns.asked // else one is missing
}

// early reports whether the target's surplus is not the rest of a longer
// answer: it was there before the running turns were, or is as large as an
// answer to one of several requests, or what a server says unasked.
func (s *Session) early(p *piece, gap int32) bool {
	t, want := &s.turns, s.read(p.ack)
	switch {
	case !t.hadAtStart.Before(want) || p.own > 0 || s.exact():
		return true
	case s.alternates():
		return t.pipelined
	}
	return uint32(gap) >= want.Sub(t.hadAtStart)/4
}

// off is by how much the answer before p differs from production's, as far as
// it is known: what the server said of its own accord behind it is no part of it.
func (s *Session) off(p *piece, gap int32) int32 {
	if gap < 0 && !s.endsStream(p) {
		return min(gap+int32(p.own), 0)
	}
	return gap
}

// expects reports whether answers that differ by off end where the target's
// last segment does.
func (s *Session) expects(c *Core, off int32) bool {
	return s.turns.pushed && s.wasAnswered() && !s.exact() && c.target(s).lengths.expects(off)
}

// align makes the target's answers up to now the same as production's, of which
// they differ by gap.
func (c *Core) align(s *Session, gap int32) {
	s.turns.peerBase += Seq(gap)
	s.turns.gap, s.turns.guessed = gap, false
}

// quietAt is when an answer that is shorter or longer than p wants counts as
// complete.
func (s *Session) quietAt(p *piece) Time {
	t, gap := &s.turns, s.gap(p)
	want, have := s.read(p.ack), s.have()
	switch {
	case s.endsStream(p) && s.multiplexes():
		return max(s.rcv.heardAt, t.askedAt) + max(patience, 2*Time(t.pause))
	case !s.wasAnswered() || s.off(p, gap) == 0 || gap < 0 && (!t.pushed || s.exact()):
		return never
	case s.endsStream(p):
		return s.rcv.heardAt + max(patience, 2*Time(t.pause))
	case s.streams():
		return s.rcv.heardAt + max(silence+2*Time(s.snd.srtt), 2*Time(t.pause))
	case p.kind == pieceRST:
		return s.rcv.heardAt + beforeReset
	case !t.pushed:
		return s.rcv.heardAt + 10*silence
	case gap > 0 || have.Sub(t.hadAtStart) >= want.Sub(t.hadAtStart)/2:
		return s.rcv.heardAt + nearlyWhole
	}
	return s.rcv.heardAt + silence + 2*Time(s.snd.srtt)
}

// patientUntil is when the target is not waited for any longer. The time that
// the running turns needed on their way does not count.
func (s *Session) patientUntil(c *Core, p *piece) Time {
	since := max(s.turns.waitAt, s.snd.progressAt)
	switch {
	case s.justCloses(p):
		return since + lastAnswer
	case s.alternates(), s.endsStream(p):
		return max(since, s.rcv.heardAt) + c.cfg.NoResponse
	case p.len != 0 && uint16(p.len) == s.turns.vain:
		return since + minPatience
	}
	return since + max(patience>>s.turns.impatience, minPatience)
}

// justCloses reports whether p is a FIN before which production, for all that is
// known, did nothing but close.
func (s *Session) justCloses(p *piece) bool {
	return p.kind == pieceFIN && (p.ends != endsDue || s.gap(p) == -1)
}

// tired ends the wait of p, and reports whether it may go. A target that
// answers what it is asked has timed out.
func (c *Core) tired(s *Session, p *piece, gap int32, now Time) bool {
	t := &s.turns
	switch {
	case gap > 0 && !s.endsStream(p), s.justCloses(p):
		return true
	case s.alternates(), s.endsStream(p):
		c.Abort(s, TargetTimeout, now)
		return false
	}
	c.unanswered(s)
	c.align(s, gap)
	t.impatience = min(t.impatience+1, 7)
	t.vain = uint16(p.len)
	return true
}

// unanswered gives up the answers to the running turns.
func (c *Core) unanswered(s *Session) {
	c.Stats.TurnsUnanswered += uint64(s.turns.open) + uint64(s.turns.behind)
	s.turns.open, s.turns.behind, s.turns.due = 0, 0, false
}

// drained reports whether nothing more is expected from a connection that ends
// with the running turns, since a new one is taken for what follows.
func (c *Core) drained(s *Session, now Time) bool {
	t := &s.turns
	if t.waitAt == never {
		t.waitAt = now
	}
	switch {
	case s.snd.una != s.snd.nxt:
		return false
	case now >= s.drainedAt():
		return true
	case now < s.patientUntil(c, c.pieces.at(t.nextPiece)):
		return false
	}
	c.unanswered(s)
	return true
}

func (s *Session) drainedAt() Time {
	switch t := &s.turns; {
	case t.open == 0 || !t.due:
		return t.waitAt
	case t.pushed && s.wasAnswered() && s.streams():
		return s.rcv.heardAt + max(patience, 2*Time(t.pause))
	case t.pushed && s.wasAnswered():
		return s.rcv.heardAt + silence
	}
	return never
}

// waitsUntil is when the turn that waits is to be looked at again.
func (s *Session) waitsUntil(c *Core) Time {
	p := c.pieces.at(s.turns.nextPiece)
	if p.fresh && p.seq != s.snd.iss+1 {
		return min(s.drainedAt(), s.patientUntil(c, p))
	}
	if s.exact() && p.kind == pieceData {
		return s.exchangesAt(c, p)
	}
	return min(s.quietAt(p), s.patientUntil(c, p))
}

// late takes n bytes of the target for a part of the answer before: when it
// sent them it had received nothing of the running turns.
func (c *Core) late(s *Session, n uint32) {
	t := &s.turns
	if t.guessed {
		c.target(s).lengths.deny(t.gap)
		t.guessed = false
	}
	switch {
	case s.alternates() && !t.pipelined:
		t.peerBase = t.peerBase.Add(n)
	case t.gap < 0:
		n = min(n, uint32(-t.gap))
		t.peerBase = t.peerBase.Add(n)
		t.gap += int32(n)
	}
}
