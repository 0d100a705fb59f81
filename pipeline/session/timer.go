package session

const (
	minRTO = 200 * Millisecond
	maxRTO = 60 * Second
	// synRetries bound the handshake: after 1 s, 2 s, and then every 4 s, about
	// a minute together. A client would wait longer each time; here a target
	// that comes back shall find its sessions soon.
	synRetries    = 15
	maxSYNBackoff = 2
	// halfOpen is how long a client's handshake may take.
	halfOpen = 30 * Second
	// closeTimeout is how long a closed half waits for the other one, from the
	// target's last segment.
	closeTimeout = 10 * Second
	// timeWait is how long a repeated FIN of the target is answered.
	timeWait = 1 * Second
	// peerFINGrace is how long a connection that the target closed waits for
	// the client to close too, before tcpcopy closes it by itself.
	peerFINGrace = 500 * Millisecond
)

// Deadline is when the session wants its next Timer, at the latest.
func (s *Session) Deadline(c *Core) Time {
	d := min(s.snd.rtoAt, s.rec.timerAt, s.rcv.ackAt, s.endAt)
	if !c.cfg.Replayed {
		d = min(d, s.online.holeAt, s.silentAt(c))
	}
	if s.turns.nextPiece != 0 && s.turns.waitAt != never && s.state == Established && s.snd.una == s.snd.nxt {
		d = min(d, s.waitsUntil(c))
	}
	return d
}

// silentAt is when a client counts as gone. One that has not completed its
// own handshake, as in a flood of SYNs, is not waited for as long as others. One
// that has ended its connection, or a recorded one, is not gone while the target
// lags behind.
func (s *Session) silentAt(c *Core) Time {
	if (c.cfg.Replayed || s.online.ended) && s.Busy() {
		return never
	}
	if s.online.sawSYN && !s.online.hasBase {
		return s.online.seenAt + min(halfOpen, c.cfg.Keepalive)
	}
	return s.online.seenAt + c.cfg.Keepalive
}

// Timer runs what is due. Output follows.
func (c *Core) Timer(s *Session, now Time) {
	if s.state == Closed {
		return
	}
	if s.state == Skipping && (now >= s.endAt || c.clientTime(now) >= s.silentAt(c)) {
		s.state = Closed // counted when it was skipped
		return
	}
	if c.clientTime(now) >= s.silentAt(c) {
		c.Abort(s, ClientSilent, now)
		return
	}
	if c.clientTime(now) >= s.online.holeAt {
		c.passHole(s, now)
	}
	if now >= s.rcv.ackAt {
		s.rcv.ackNow = true
	}
	if now >= s.endAt {
		c.endTimer(s, now)
	}
	if now >= s.rec.timerAt {
		c.lossTimer(s, now)
	}
	if now >= s.snd.rtoAt && s.state.connected() {
		c.rtoTimer(s, now)
	}
}

// endTimer ends connections that one side has closed.
func (c *Core) endTimer(s *Session, now Time) {
	switch s.state {
	case TimeWait:
		c.end(s, Finished)
	case Closing:
		wait := closeTimeout
		if s.turns.open > 0 && !s.wasAnswered() {
			wait = c.cfg.NoResponse // half-closed: the target still works at it
		}
		if quiet := s.rcv.heardAt + wait; now < quiet {
			s.endAt = quiet
			return
		}
		c.sendRST(s, now)
		if s.snd.parking {
			s.snd.parking = false
			c.reopen(s, ClosedByTarget, now)
			return
		}
		c.end(s, Finished)
	case Established:
		s.endAt = never
		c.leave(s, now)
	case Watching, Parked:
		s.endAt = never // it was given up for as long
	}
}

func (c *Core) rtoTimer(s *Session, now Time) {
	if s.state == SynSent {
		if s.snd.synTries > synRetries {
			why := HandshakeTimeout
			if s.snd.refused {
				why = HandshakeRefused
			}
			c.end(s, why)
			return
		}
		s.snd.synTries++
		s.snd.backoff = min(s.snd.backoff+1, maxSYNBackoff)
		s.snd.rtoAt = now + s.snd.rto<<s.snd.backoff + s.snd.synJitter()
		c.sendSYN(s, now, true)
		return
	}
	if now-max(s.rcv.heardAt, s.snd.progressAt) >= c.cfg.NoResponse {
		c.Abort(s, TargetTimeout, now)
		return
	}
	if s.snd.una == s.snd.nxt && !s.snd.nxt.Before(s.dataEnd()) {
		s.snd.rtoAt = never
		return
	}
	if (s.snd.una == s.snd.nxt || s.snd.wnd == 0) && c.probe(s, now) {
		return
	}
	c.timeout(s, now)
}

// probe asks a target that closed its window with one byte (RFC 9293,
// 3.8.6.1), the same one until it is taken. It reports whether there was one.
func (c *Core) probe(s *Session, now Time) bool {
	if c.sendData(s, s.snd.una, 1, now, s.snd.una != s.snd.nxt) == 0 {
		return false
	}
	s.snd.nxt = s.snd.nxt.Max(s.snd.una + 1)
	s.snd.rttAt = never
	s.snd.backoff = min(s.snd.backoff+1, 10)
	s.snd.rtoAt = now + s.snd.backedOff()
	return true
}

// synJitter keeps the SYNs of sessions that began together from coming
// together again: where the target's queue is short, always the same ones
// would be lost. It is up to a quarter of a second, from the bits of the
// initial sequence number, which is as good as random.
func (s *sender) synJitter() Time {
	return Time(s.iss*2654435761>>(s.synTries%16)) % (Second / 4)
}

func (s *sender) backedOff() Time { return min(s.rto<<s.backoff, maxRTO) }

// armRTO starts the retransmission timer where it does not run.
func (s *sender) armRTO(now Time) {
	if s.rtoAt == never {
		s.rtoAt = now + s.backedOff()
	}
}

// measure takes a sample of the round trip (RFC 6298, 2), or fixed instead.
func (s *sender) measure(rtt, fixed Time) {
	if fixed > 0 {
		rtt = fixed
	}
	rtt = min(rtt, maxRTO)
	srtt, rttvar := Time(s.srtt), Time(s.rttvar)
	if srtt == 0 {
		srtt, rttvar = rtt, rtt/2
	} else {
		d := srtt - rtt
		if d < 0 {
			d = -d
		}
		rttvar += (d - rttvar) / 4
		srtt += (rtt - srtt) / 8
	}
	s.srtt, s.rttvar = uint32(srtt), uint32(rttvar)
	s.rto = min(max(srtt+4*rttvar, minRTO), maxRTO)
}
