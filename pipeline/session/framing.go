package session

import (
	"github.com/tcpcopy-go/tcpcopy/pipeline/message"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// rest is how long an acknowledgment of the client has to stand for what it
// acknowledges to be whole.
const rest = 50 * Millisecond

// framed reports whether it is known where the client's messages end.
func (s *Session) framed() bool {
	f := &s.online.framer
	return f.Protocol() != message.Unknown && !f.Lost()
}

// alternates reports whether the server speaks only when it was asked: what it
// says is the answer to what the client sent before.
func (s *Session) alternates() bool {
	switch s.online.framer.Protocol() {
	case message.Unknown, message.HTTP2, message.WebSocket, message.MQTT:
		return false
	}
	return !s.online.framer.Lost()
}

// exact reports whether what the server says is of one length wherever it runs,
// and is not to be anticipated.
func (s *Session) exact() bool { return s.online.framer.Protocol() == message.MQTT && s.framed() }

// joinable reports whether a new connection can begin with the message at seq.
func (s *Session) joinable(seq Seq) bool {
	on := &s.online
	return on.protocol == message.Unknown || on.sawSYN && seq == on.isn+1 ||
		on.protocol.Joinable() && on.framer.Protocol() == on.protocol
}

// recognize names the protocol by the first bytes of a connection.
func (c *Core) recognize(s *Session, b []byte) {
	p, v := message.Recognize(b, s.OnlineEnd.Port)
	if v == message.No || v == message.Maybe && p != message.HTTP1 {
		return // HTTP shows soon whether it is
	}
	s.online.framer = message.New(p)
	if v == message.Yes {
		s.online.protocol = p
		c.target(s).protocol = p
	}
}

// joins reports whether a connection can begin with b, which its client sent in
// the middle of one, and then goes on with the messages from there on. Where
// the protocol is not known, nothing speaks against it.
func (c *Core) joins(s *Session, b []byte) bool {
	on := &s.online
	p := on.protocol
	if p != message.Unknown && p.Joinable() {
		if !begins(p, b) {
			return false
		}
	} else if p == message.Unknown {
		var v message.Verdict
		if p, v = message.RecognizeMidway(b, s.OnlineEnd.Port); v != message.Yes {
			on.framer = message.Framer{}
			return c.target(s).protocol == message.Unknown
		}
	}
	on.protocol, on.framer = p, message.Resume(p)
	return true
}

// queue appends piece i, which begins at next, cut where messages end.
func (c *Core) queue(s *Session, i ref) {
	for i != 0 {
		rest := c.mark(s, i)
		p := c.pieces.at(i)
		s.online.next = p.end()
		if s.online.cut != whole {
			c.Stats.Dropped[s.online.cutWhy] += uint64(p.len)
			c.Stats.Buffered -= uint64(p.len)
			c.pieces.freePiece(i)
		} else {
			c.append(s, i)
		}
		i = rest
	}
}

func (c *Core) append(s *Session, i ref) {
	c.pieces.at(i).next = 0
	if s.online.last == 0 {
		s.online.first = i
	} else {
		c.pieces.at(s.online.last).next = i
	}
	s.online.last = i
	if s.turns.nextPiece == 0 {
		s.turns.nextPiece = i
	}
}

// mark says what piece i is to the messages of the stream, which it continues.
// It may be cut, and the rest is returned.
func (c *Core) mark(s *Session, i ref) (rest ref) {
	on, p := &s.online, c.pieces.at(i)
	first := p.seq == s.snd.iss+1
	more := on.ackLast.Before(p.ack)
	p.turns, p.ends, p.own = 0, goesOn, on.unasked(p.ack)
	p.reacts, p.pubrecs, p.pubcomps, p.queued = message.NoReaction, 0, 0, 0
	if on.last != 0 {
		p.queued = c.pieces.at(on.last).queued
	}
	if p.kind != pieceData {
		p.waits = more || first
		p.fresh, on.cut = on.cut != whole, whole
		on.ackLast = on.ackLast.Max(p.ack)
		return 0
	}
	if first && on.sawSYN && p.seq == on.isn+1 {
		c.recognize(s, c.pieces.run(p, 0))
	}
	if on.framer.Lost() && c.resumes(s, p, more) {
		on.framer = message.Resume(on.protocol)
	}
	switch {
	case s.framed():
		p.waits = more && on.framer.Boundary()
		rest = c.frame(s, i)
	case on.protocol == message.Unknown || on.framer.Protocol() == message.Unknown:
		if p.waits, p.ends = more || first, mayEnd; p.waits {
			p.turns = 1
		}
	default:
		p.waits = more // its messages are lost sight of
	}
	p.fresh = on.cut != whole && p.turns > 0
	switch {
	case p.fresh:
		on.cut = whole
	case on.cut == beyond:
		on.cut = cutMessage
	}
	if p.turns > 0 || p.waits || on.cut != whole {
		on.ackLast = on.ackLast.Max(p.ack)
	}
	return rest
}

// frame finds the rest of a message in piece i, or messages that are whole, or
// the beginning of one. Where something else follows, the piece is cut.
func (c *Core) frame(s *Session, i ref) (rest ref) {
	on, p := &s.online, c.pieces.at(i)
	begins := on.framer.Boundary()
	for n := uint32(0); n < p.len; {
		before := on.framer
		k, end := c.follow(s, p, n)
		if !end && n > 0 {
			on.framer = before
			return c.pieces.split(i, n)
		}
		n += k
		if begins {
			p.turns++
			p.reacts = max(p.reacts, on.framer.Reaction())
			p.waits = p.waits || p.reacts != message.NoReaction
		}
		if !end {
			break
		}
		p.count(on.framer.Reaction())
		p.ends = max(p.ends, endsQuiet)
		switch on.framer.Answer() {
		case message.Answered:
			p.ends = endsDue
		case message.Farewell:
			p.ends, p.waits = farewell, true
		}
		if on.protocol == message.Unknown {
			on.protocol = on.framer.Protocol()
		}
		if !begins && n < p.len {
			return c.pieces.split(i, n)
		}
	}
	return 0
}

// resumes reports whether a message begins with p where it is not known where
// those before end: the client had read an answer since what came right before,
// or p ends with the message or in its body. Of what comes right behind a gap
// both is asked, since it may be the middle of one.
func (c *Core) resumes(s *Session, p *piece, more bool) bool {
	on, b := &s.online, c.pieces.run(p, 0)
	if !on.protocol.Joinable() || message.Begins(on.protocol, b) != message.Yes {
		return false
	}
	switch on.cut {
	case beyond:
		return more && begins(on.protocol, b)
	case cutMessage:
		return more || begins(on.protocol, b)
	}
	return more
}

// begins reports whether b is whole messages of p, of the last of which the
// body may be missing.
func begins(p message.Protocol, b []byte) bool {
	if message.Begins(p, b) != message.Yes {
		return false
	}
	f := message.Resume(p)
	for len(b) > 0 {
		n, _ := f.Next(b)
		b = b[n:]
	}
	return f.Boundary() || f.Body() > 0
}

// follow takes p from its byte off on up to the end of the message.
func (c *Core) follow(s *Session, p *piece, off uint32) (n uint32, end bool) {
	for off+n < p.len && !end {
		var k int
		k, end = s.online.framer.Next(c.pieces.run(p, off+n))
		n += uint32(k)
	}
	return n, end
}

// cut says what became of the message at hand.
type cut uint8

const (
	whole      cut = iota // all of it has come so far
	cutMessage            // bytes of it are missing: what else comes of it is dropped
	beyond                // the same, and nothing has come behind them yet
)

// cutTo goes on behind bytes that are missing up to the sequence number to. It
// costs the message that they cut, and others where it is not known which they
// were. What follows takes a new connection.
func (c *Core) cutTo(s *Session, to Seq, why Reason, ack Seq, now Time) {
	on := &s.online
	if on.cut == whole {
		c.Stats.TurnsLost++
	}
	if !on.protocol.Joinable() {
		c.dropAhead(s, NotJoinable)
		c.skip(s, NotJoinable, ack, now)
		return
	}
	if on.cut == whole && !on.framer.Boundary() && !c.dropUnreleased(s, why) && s.turns.open > 0 {
		s.turns.open-- // the target has its beginning
	}
	on.framer.Skip(to.Sub(on.next))
	on.next, on.cut, on.cutWhy = to, beyond, why
	c.closeHole(s, now)
	if s.state == Parked && on.first != 0 {
		c.reopen(s, why, now)
	}
}

// dropUnreleased drops what there is of the message at the end of the queue,
// if the target has not got its beginning.
func (c *Core) dropUnreleased(s *Session, why Reason) bool {
	cut, kept := ref(0), ref(0)
	released, last := true, ref(0)
	for i := s.online.first; i != 0; last, i = i, c.pieces.at(i).next {
		released = released && i != s.turns.nextPiece
		if !released && c.pieces.at(i).turns > 0 {
			cut, kept = i, last
		}
	}
	if cut != 0 {
		c.dropFrom(s, cut, kept, why)
	}
	return cut != 0
}

// truncated takes a segment of which the capture has cut off the end. What is
// there may tell where its message ends; it is not sent.
func (c *Core) truncated(s *Session, g *packet.Segment, ack Seq, now Time) {
	on, seq := &s.online, Seq(g.Seq)
	end := seq.Add(uint32(g.Len))
	c.Stats.Dropped[Truncated] += uint64(g.Len)
	switch {
	case !on.next.Before(end) || on.ended:
	case on.protocol == message.Unknown:
		c.lose(s, Truncated, end, ack, now)
	case seq == on.next:
		f := on.framer
		for b := g.Payload; len(b) > 0; {
			n, _ := f.Next(b)
			b = b[n:]
		}
		f.Skip(uint32(g.Len - len(g.Payload)))
		c.cutTo(s, end, Truncated, ack, now)
		on.ackLast = on.ackLast.Max(ack)
		if on.cut == beyond {
			on.cut, on.framer = cutMessage, f
		}
	}
}

// unasked is how much of what the client had read, when it acknowledged ack,
// came after it had rested with more than it had read when it spoke last.
func (on *online) unasked(ack Seq) uint16 {
	if !on.ackLast.Before(on.rested) || !on.rested.Before(ack) {
		return 0
	}
	return uint16(min(ack.Sub(on.rested), 1<<16-1))
}

// reads takes note of an acknowledgment of the client.
func (on *online) reads(ack Seq, now Time) {
	ms := uint32(now / Millisecond)
	if ms-on.readAt >= uint32(rest/Millisecond) {
		on.rested = on.ackSeen
	}
	if on.ackSeen.Before(ack) {
		on.ackSeen, on.readAt = ack, ms
	}
}
