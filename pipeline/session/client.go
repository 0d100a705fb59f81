package session

import (
	"github.com/tcpcopy-go/tcpcopy/pipeline/message"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// online is the client as the capture shows it: its handshake, and its payload
// in the order of sequence numbers, up to its end.
type online struct {
	// From the client's SYN, or chosen where it was not seen.
	isn      Seq
	synMSS   uint16
	synScale uint8
	synSACK  bool
	synTS    bool
	sawSYN   bool

	hasBase  bool
	ended    bool // the client's FIN or RST is queued
	endFIN   bool // it is a FIN
	finished bool // its recording is over, and does not show that production answered last
	cut      cut
	cutWhy   Reason
	protocol message.Protocol // by the first bytes, or those of a later connection
	aheadN   uint16

	base    Seq    // acknowledgment that stands for no response byte read
	next    Seq    // next byte expected from the client
	ackSeen Seq    // highest acknowledgment of the client: what it has read of production
	ackLast Seq    // acknowledgment that the last turn began with
	rested  Seq    // highest acknowledgment that stood for a while
	readAt  uint32 // when the client came to ackSeen, in ms
	first   ref    // pieces in order, from the oldest that is kept
	last    ref
	ahead   ref  // the last of the pieces beyond a hole, which are a sorted ring
	holeAt  Time // when the hole is given up
	seenAt  Time // last packet of the client
	framer  message.Framer
}

// Restarts reports whether g is the SYN of a new connection that uses the
// same endpoints as s: the owner then calls Superseded, lets s come to its end
// by itself, and begins another session. A recorded connection may come once
// more with the same SYN, as where the same recording, moved in time, is among
// the files: behind the connection's end it is no second capture of the first.
func (c *Core) Restarts(s *Session, g *packet.Segment) bool {
	if g.Flags&(packet.SYN|packet.ACK) != packet.SYN {
		return false
	}
	same := s.online.sawSYN && Seq(g.Seq) == s.online.isn
	return !same || c.cfg.Replayed && s.online.ended
}

// Superseded tells a session that its client has begun anew: nothing more
// will come.
func (c *Core) Superseded(s *Session, now Time) {
	s.skipping = false
	switch s.state {
	case Watching, Parked:
		c.end(s, Finished)
		return
	case Skipping:
		s.state = Closed
		return
	}
	c.passHoles(s, now)
	c.queueEnd(s, pieceRST, s.online.next, s.online.ackLast)
}

// Client takes a captured segment of the session's client.
func (c *Core) Client(s *Session, g *packet.Segment, now Time) {
	c.pieces.capture(g.Payload)
	c.client(s, g, now)
}

// Copy gives the segment of the last Client to another session of the same
// client. They share its payload, not their state.
func (c *Core) Copy(s *Session, g *packet.Segment, now Time) { c.client(s, g, now) }

func (c *Core) client(s *Session, g *packet.Segment, now Time) {
	s.online.seenAt = c.clientTime(now)
	if s.state == Closed { // not yet removed
		c.Stats.Accepted += uint64(g.Len)
		c.Stats.Dropped[Midstream] += uint64(g.Len)
		return
	}
	if s.state == Skipping || s.skipping {
		c.pass(s, g, now)
		return
	}
	if g.Flags&packet.SYN != 0 {
		if s.state == Watching && !s.online.hasBase && g.Flags&(packet.ACK|packet.RST|packet.FIN) == 0 {
			c.clientSYN(s, g)
		}
		return
	}
	if s.state == Watching {
		c.watch(s, g, now)
		return
	}
	ack := s.online.ackLast // of a segment without one
	if g.Flags&packet.ACK != 0 {
		ack = Seq(g.Ack)
		if !s.online.hasBase {
			s.rcv.ackNow = s.state == Established
			s.online.base, s.online.ackSeen, s.online.ackLast, s.online.hasBase = ack, ack, ack, true
			s.online.rested = ack
		}
		s.online.reads(ack, c.clientTime(now))
	}
	if g.Len > 0 {
		c.insert(s, g, ack, now)
	}
	switch {
	case s.state == Closed || s.state == Watching:
	case g.Flags&packet.RST != 0:
		c.passHoles(s, now)
		if s.online.hasBase {
			ack = s.online.ackSeen // most RSTs acknowledge nothing
		}
		c.queueEnd(s, pieceRST, s.online.next, ack)
	case g.Flags&packet.FIN != 0:
		c.insertFIN(s, Seq(g.Seq).Add(uint32(g.Len)), ack)
	}
	if s.state == Parked && s.online.first != 0 {
		c.reopen(s, ClosedByTarget, now)
	}
}

// clientSYN begins a session as the client did.
func (c *Core) clientSYN(s *Session, g *packet.Segment) {
	var o packet.Options
	packet.ParseOptions(g.Options, &o)
	on := &s.online
	on.sawSYN, on.isn = true, Seq(g.Seq)
	on.synMSS, on.synScale, on.synSACK, on.synTS = o.MSS, o.WindowScale, o.SACKOK, o.HasTimestamp
	if o.MSS == 0 {
		on.synMSS = 536 // RFC 9293, 3.7.1
	}
	on.hasBase = false
	on.protocol, on.framer = message.Unknown, message.Framer{}
	c.start(s, on.isn)
	// Payload of a SYN (RFC 7413) would have to be undone where production
	// did not take it. Its client sends it again then.
	c.Stats.Accepted += uint64(g.Len)
	c.Stats.Dropped[FastOpen] += uint64(g.Len)
}

// start makes the session ready to be opened with the given initial sequence
// number.
func (c *Core) start(s *Session, iss Seq) {
	s.snd.iss = iss
	s.online.next, s.turns.released, s.snd.credited = iss+1, iss+1, iss+1
	s.snd.una, s.snd.nxt = iss+1, iss+1
	s.turns.keep, s.turns.partial, s.snd.cursor = iss+1, false, 0
	s.online.ended, s.turns.open, s.turns.due = false, 0, false
	s.turns.pubrels, s.turns.reacted = 0, 0
	s.state = Opening
}

// watch waits for the first turn boundary of a connection that began before
// its capture: payload that follows what was seen without a gap, and whose
// acknowledgment is above that of all payload seen, and that may begin a message.
// Behind a gap, or where the network reordered it, payload may be the middle of
// one.
func (c *Core) watch(s *Session, g *packet.Segment, now Time) {
	if g.Flags&(packet.RST|packet.FIN) != 0 || g.Flags&packet.ACK == 0 {
		c.Stats.Accepted += uint64(g.Len)
		c.Stats.Dropped[Midstream] += uint64(g.Len)
		c.end(s, Midstream)
		return
	}
	on, seq, ack := &s.online, Seq(g.Seq), Seq(g.Ack)
	end := seq.Add(uint32(g.Len))
	boundary := g.Len > 0 && on.hasBase && seq == on.next && on.base.Before(ack) && (on.sawSYN || !c.cfg.OnlyComplete)
	if boundary && s.endAt == never && c.joins(s, g.Payload) {
		if !s.joinable(seq) {
			c.Stats.Accepted += uint64(g.Len)
			c.Stats.Dropped[NotJoinable] += uint64(g.Len)
			c.leaveOut(s, NotJoinable)
			return
		}
		if !on.sawSYN {
			on.synMSS, on.synScale, on.synSACK, on.synTS = 65535, 7, true, true
			c.Stats.Midstream++
		}
		on.base, on.ackSeen, on.ackLast, on.rested = ack, ack, ack, ack
		c.start(s, seq-1)
		c.insert(s, g, ack, now)
		return
	}
	if g.Len > 0 && on.protocol == message.Unknown {
		if p, v := message.RecognizeMidway(g.Payload, s.OnlineEnd.Port); v == message.Yes {
			on.protocol = p // what follows may be the body of this
		}
	}
	if !on.hasBase {
		on.base, on.next, on.hasBase = ack, end, true
	}
	if on.next.Before(end) {
		on.next = end
		if g.Len > 0 {
			on.base = on.base.Max(ack)
		}
	}
	c.Stats.Accepted += uint64(g.Len)
	c.Stats.Dropped[Midstream] += uint64(g.Len)
}

// insert puts payload into its place in the sequence.
func (c *Core) insert(s *Session, g *packet.Segment, ack Seq, now Time) {
	st := &c.Stats
	seq, b := Seq(g.Seq), g.Payload
	st.Accepted += uint64(g.Len)
	if g.Len > len(b) {
		c.truncated(s, g, ack, now)
		return
	}
	if seq.Before(s.online.next) || s.online.ended {
		cut := min(s.online.next.Sub(seq), uint32(len(b)))
		if s.online.ended {
			cut = uint32(len(b))
		}
		st.Dropped[Duplicate] += uint64(cut)
		seq, b = seq.Add(cut), b[cut:]
		if len(b) == 0 {
			return
		}
	}
	if !c.pieces.fit() {
		st.Dropped[MemoryLimit] += uint64(len(b))
		c.lose(s, MemoryLimit, seq.Add(uint32(len(b))), ack, now)
		return
	}
	if seq != s.online.next {
		c.insertAhead(s, seq, ack, pieceData, b, now)
		return
	}
	inMessage := s.framed() && !s.online.framer.Boundary()
	if !c.cfg.Encrypted && (seq == s.snd.iss+1 || s.online.ackLast.Before(ack) && !inMessage) {
		if why, ok := Encrypted(b, seq == s.snd.iss+1 && !s.online.sawSYN); ok {
			st.Dropped[why] += uint64(len(b))
			c.skip(s, why, ack, now)
			return
		}
	}
	st.Buffered += uint64(len(b))
	c.queue(s, c.pieces.alloc(seq, ack, pieceData, len(b)))
	c.closeHole(s, now)
}

func (c *Core) insertFIN(s *Session, seq, ack Seq) {
	switch {
	case s.online.ended || seq.Before(s.online.next):
	case seq == s.online.next:
		c.queueEnd(s, pieceFIN, seq, ack)
		c.dropAhead(s, Duplicate)
	default:
		c.insertAhead(s, seq, ack, pieceFIN, nil, s.online.seenAt)
	}
}

// queueEnd appends the client's FIN or RST. A FIN is a turn of its own when the
// client has read something since its last payload. A RST always is: even where
// turns are not awaited, the target answers before it what the client had read.
// So is a FIN behind multiplexed requests, if it is the first that tells of the
// end.
func (c *Core) queueEnd(s *Session, kind pieceKind, seq, ack Seq) {
	if s.online.ended || s.state == Closed || s.state == Skipping {
		return
	}
	f := s.online.first
	if (s.state == Parked || s.state == Closing && s.snd.parking) && (f == 0 || s.mayBeSilent(c.pieces.at(f))) {
		// The target has closed already: nothing is left to tell it.
		s.online.ended = true
		if s.state == Parked {
			c.end(s, Finished)
		}
		return
	}
	told := s.online.last != 0 && c.pieces.at(s.online.last).ends == farewell
	i := c.pieces.alloc(seq, ack, kind, 0)
	c.queue(s, i)
	p := c.pieces.at(i)
	p.waits, p.ends = p.waits || kind == pieceRST || s.multiplexes() && !told, endsDue
	s.online.ended, s.online.endFIN = true, kind == pieceFIN
}
