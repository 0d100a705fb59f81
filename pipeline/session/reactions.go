package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/message"

const (
	// Two brokers that get messages of several publishers pass them on in different
	// orders, and what a client reacts to is known by its place in that order, not
	// by its length. A reaction goes at once when the target has said farAhead bytes
	// more than production had. When it has been quiet for a moment, reordered are
	// enough for PUBREC, which a broker may not get too early: its PUBCOMP would
	// break the protocol. Others go then with as many bytes as production's.
	farAhead  = 64 << 10
	reordered = 4 << 10
	// stalled is how long a target must have been quiet to be taken for one that
	// sends nothing more before it gets the reactions to what it has sent.
	stalled = 100 * Millisecond
)

// exchanges reports whether p may go, where both sides speak when they want:
// what its client reacts to was sent by the target too, or the target waits.
func (c *Core) exchanges(s *Session, p *piece, now Time) bool {
	t := &s.turns
	if t.waitAt == never {
		s.settle(now)
		t.waitAt = now
	}
	at := s.exchangesAt(c, p)
	if now < at {
		return false
	}
	if at > 0 && at == s.patientUntil(c, p) {
		c.unanswered(s)
		t.impatience = min(t.impatience+1, 7)
		t.vain = uint16(p.len)
	}
	return true
}

// exchangesAt is when p may go, if nothing is heard of the target until then: 0
// is at once.
func (s *Session) exchangesAt(c *Core, p *piece) Time {
	t, gap := &s.turns, int32(s.said().Sub(s.wants(c, p)))
	quiet := max(s.rcv.heardAt, s.snd.progressAt)
	switch {
	case gap >= 0 && p.reacts == message.NoReaction, gap >= farAhead, !s.said().Before(s.heard(c)):
		return 0
	case p.reacts >= message.Puback && !t.reacted.Before(s.wants(c, p)):
		return 0
	case s.snd.una.Before(t.released):
		return never
	case p.reacts == message.Pubcomp && (s.wasAnswered() || !t.reacted.Before(s.wants(c, p))):
		return 0
	case gap >= 0 && p.reacts != message.Pubrec, gap >= reordered, p.reacts < message.Puback && (s.wasAnswered() || !t.due):
		return quiet + silence + 2*Time(s.snd.srtt)
	case gap >= 0, p.reacts >= message.Puback && s.rcv.spoke:
		return quiet + stalled
	}
	return s.patientUntil(c, p)
}

// said is how far the target has come with what it says of its own accord. The
// PUBRELs that PUBRECs draw are no part of that until PUBCOMP has gone.
func (s *Session) said() Seq { return s.have() - pubrelLen*Seq(s.turns.pubrels) }

// heard is how far production had come with the same when the client spoke last,
// if it had answered every PUBREL. Where it had not it is less.
func (s *Session) heard(c *Core) Seq {
	on := &s.online
	p := c.pieces.at(s.turns.nextPiece)
	queued := c.pieces.at(on.last).queued - p.queued + p.pubcomps
	n := s.read(on.ackSeen) - pubrelLen*Seq(queued)
	if on.ended {
		n-- // the server's FIN
	}
	return n
}

// wants is the same of when the client sent p, the first that waits.
func (s *Session) wants(c *Core, p *piece) Seq {
	return s.heard(c).Min(s.read(p.ack) - pubrelLen*Seq(p.pubcomps))
}

// react takes note that p goes, and of up to where others may that react to no
// more. Where the target had said less than production they wait by themselves.
func (c *Core) react(s *Session, p *piece) {
	t, heard, want, said := &s.turns, s.heard(c), s.wants(c, p), s.said()
	switch {
	case !said.Before(heard):
		t.reacted = t.reacted.Max(heard)
	case !said.Before(want):
		t.reacted = t.reacted.Max(want.Max(said - reordered))
	}
	t.reacted = t.reacted.Add(pubrelLen * uint32(p.pubcomps))
	t.pubrels += int32(p.pubrecs) - int32(p.pubcomps)
}

// count takes note of a message that ends in p.
func (p *piece) count(r message.Reaction) {
	switch r {
	case message.Pubrec:
		p.pubrecs++
	case message.Pubcomp:
		p.pubcomps++
		p.queued++
	}
}

// pubrelLen is the length of a PUBREL.
const pubrelLen = 4

// settle takes note, before the client goes on behind a rest, that its reactions
// so far were all that the target waited for. What the target lacks then of
// production's bytes it does not say any more.
func (s *Session) settle(now Time) {
	t := &s.turns
	if s.snd.una != s.snd.nxt || now < max(s.rcv.heardAt, s.snd.progressAt, t.askedAt)+stalled {
		return
	}
	if want := s.read(s.online.rested); s.have().Before(want) && !t.due {
		t.peerBase -= want - s.have()
	}
	t.reacted, s.rcv.spoke = s.said(), false
}
