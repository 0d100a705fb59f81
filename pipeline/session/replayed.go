package session

// ClientTime moves the time of recorded clients to t: the moment of the
// recording that has come. What waits for a client waits by that time, however
// fast the recording is replayed: for bytes that are missing, for a client that
// says nothing more.
func (c *Core) ClientTime(t Time) { c.clients = max(c.clients, t) }

// clientTime is the time of the clients; that of live ones is the target's.
func (c *Core) clientTime(now Time) Time {
	if c.cfg.Replayed {
		return c.clients
	}
	return now
}

// ClientDeadline is when the session wants a Timer by the time of recorded
// clients, at the latest; ok is false for live ones, whose time is the target's.
func (s *Session) ClientDeadline(c *Core) (t Time, ok bool) {
	return min(s.online.holeAt, s.silentAt(c)), c.cfg.Replayed
}

// Busy reports whether the target has something to do that it can do without
// another packet of the client: shake hands, acknowledge, answer a request
// whose answer the client is known to have read, close.
func (s *Session) Busy() bool {
	switch s.state {
	case Opening, SynSent, Closing:
		return true
	case Established:
		answerable := s.turns.open > 0 && s.owed() && s.have().Before(s.read(s.online.ackSeen))
		return s.snd.una != s.snd.nxt || s.turns.nextPiece != 0 || answerable
	}
	return false
}

// Finish tells a session that its recording is over. Holes stay open no
// longer, and a client that did not end its connection closes it when the
// target has answered.
func (c *Core) Finish(s *Session, now Time) {
	switch s.state {
	case Closed:
		return
	case Watching:
		c.end(s, Midstream)
		return
	case Parked:
		c.end(s, Finished)
		return
	case Skipping:
		s.state = Closed
		return
	}
	if !s.online.hasBase { // its client never completed the handshake
		c.Abort(s, ClientSilent, now)
		return
	}
	c.passHoles(s, now)
	if s.state == Closed || s.state == Skipping {
		return
	}
	if s.online.ended || s.snd.parking {
		s.online.ended = true
		return
	}
	ack, known := s.online.ackSeen, true
	if !s.online.ackLast.Before(ack) && (s.turns.open > 0 || s.turns.nextPiece != 0) {
		// The recording does not say how long the last answer was, if there was
		// one: it is complete when the target falls silent.
		ack, known = s.online.ackLast+maxAnswer, false
	}
	i := c.pieces.alloc(s.online.next, ack, pieceFIN, 0)
	c.queue(s, i)
	p := c.pieces.at(i)
	p.waits, p.ends = true, endsDue
	if !known {
		p.ends = goesOn
	}
	s.online.ended, s.online.endFIN, s.online.finished = true, true, !known
}

// maxAnswer is longer than an answer whose length is not known.
const maxAnswer = 1 << 30
