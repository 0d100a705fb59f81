package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// Reply takes the header of a packet that the target sent to the session's
// endpoint.
func (c *Core) Reply(s *Session, r *packet.Reply, now Time) {
	c.countReply(r)
	switch s.state {
	case SynSent:
		c.replySynSent(s, r, now)
		return
	case Established, Closing, TimeWait:
	default:
		return
	}
	if r.Flags&packet.SYN != 0 {
		s.rcv.ackNow = s.online.hasBase // our acknowledgment of the SYN-ACK was lost, or not due
		return
	}
	if seq := Seq(r.Seq); s.rcv.nxt.Sub(seq) > maxWindow && seq.Sub(s.rcv.nxt) > maxWindow {
		return // not of this connection
	}
	if r.Len > 0 && s.turns.open > 0 && (s.streams() || s.multiplexes()) {
		s.turns.pause = max(s.turns.pause, uint32(min(now-max(s.rcv.heardAt, s.turns.askedAt), c.cfg.NoResponse)))
	}
	s.rcv.heardAt = now
	if r.Flags&packet.RST != 0 {
		c.targetReset(s, now)
		return
	}
	if r.HasTimestamp && int32(r.TSVal-s.rcv.tsRecent) > 0 {
		s.rcv.tsRecent = r.TSVal
	}
	c.receive(s, r, now)
	if r.Flags&packet.ACK != 0 {
		c.acknowledged(s, r, now)
	}
	c.followFINs(s, now)
}

// disown tells a target that acknowledges something else than our SYN that its
// connection is over: most likely it keeps one of an earlier replay in
// TIME-WAIT, and does not take the SYN for newer (RFC 6191). A second SYN
// follows at once.
func (c *Core) disown(s *Session, r *packet.Reply, now Time) {
	if r.Flags&(packet.SYN|packet.RST) != 0 || s.snd.synTries > 1 {
		return
	}
	c.sendControl(s, Seq(r.Ack), packet.RST, KindRST, now, false)
	s.snd.rtoAt = now
}

// maxWindow is the largest window of TCP (RFC 7323, 2.3).
const maxWindow = 1 << 30

func (c *Core) countReply(r *packet.Reply) {
	k := KindACK
	switch {
	case r.Flags&packet.SYN != 0:
		k = KindSYN
	case r.Flags&packet.RST != 0:
		k = KindRST
	case r.Len > 0:
		k = KindPayload
	case r.Flags&packet.FIN != 0:
		k = KindFIN
	}
	c.Stats.Responses[k]++
	c.Stats.ResponseBytes += uint64(r.Len)
}

// replySynSent is RFC 9293, 3.10.7.3.
func (c *Core) replySynSent(s *Session, r *packet.Reply, now Time) {
	if r.Flags&packet.ACK == 0 {
		return
	}
	if Seq(r.Ack) != s.snd.iss+1 {
		c.disown(s, r, now)
		return
	}
	if r.Flags&packet.RST != 0 {
		// The target may be starting: the SYN is sent again as if it had been
		// lost, and the client's payload is kept for it.
		c.Stats.Refused++
		s.snd.refused = true
		return
	}
	if r.Flags&packet.SYN == 0 {
		return
	}
	s.state = Established
	s.snd.refused = false
	c.Stats.Established++
	c.Stats.Connect.Observe(int64(now - s.snd.progressAt))
	s.snd.una = Seq(r.Ack)
	s.rcv.nxt = Seq(r.Seq) + 1
	s.turns.peerBase, s.turns.origin, s.turns.hadAtStart = s.rcv.nxt, s.rcv.nxt, 0
	if !s.online.hasBase {
		s.online.ackSeen = 0
	}
	s.snd.tsOK = s.online.synTS && r.HasTimestamp
	s.snd.sackOK = s.online.synSACK && r.SACKOK
	s.rcv.tsRecent = r.TSVal
	s.snd.wnd = uint32(r.Window)
	s.snd.wndScale = 0
	if s.online.synScale != packet.NoWindowScale && r.WindowScale != packet.NoWindowScale {
		s.snd.wndScale = r.WindowScale
	}
	mss := 536
	if !s.Target.Addr.Is4() {
		mss = 1220
	}
	if r.MSS != 0 {
		mss = int(r.MSS)
	}
	mss = min(mss, c.maxMSS(s))
	if s.snd.tsOK {
		mss -= 12
	}
	s.snd.mss = uint16(max(mss, 48))
	s.snd.cwnd, s.snd.ssthresh = 10*uint32(s.snd.mss), 1<<30 // RFC 6928
	if s.snd.synTries == 1 {
		s.snd.measure(now-s.snd.rttAt, c.cfg.RTT)
	}
	s.snd.rttAt, s.snd.backoff = never, 0
	s.snd.rtoAt = never
	s.rcv.heardAt, s.snd.progressAt = now, now
	// What is half-open in production stays so at the target: the handshake is
	// completed when the client has completed its own.
	s.rcv.ackNow = s.online.hasBase
}

// followFINs keeps up with the FINs of both sides (RFC 9293, 3.6).
func (c *Core) followFINs(s *Session, now Time) {
	finAcked := s.snd.finSent && s.snd.una == s.snd.nxt
	switch {
	case s.state == Closing && finAcked && s.snd.parking:
		s.snd.parking = false
		c.reopen(s, ClosedByTarget, now)
	case s.state == Closing && finAcked && s.rcv.fin:
		s.state = TimeWait
		s.endAt = now + timeWait
		s.snd.rtoAt = never
	case s.state == Closing && finAcked:
		s.endAt = now + closeTimeout
	case s.state == Established && s.rcv.fin && !s.online.ended && s.endAt == never:
		s.endAt = now + peerFINGrace
	}
}

// targetReset takes a RST of the target.
func (c *Core) targetReset(s *Session, now Time) {
	if s.state == TimeWait || s.state == Closing && s.online.ended || s.online.ended && s.snd.una == s.snd.nxt && s.turns.nextPiece == 0 {
		why := Finished
		if s.turns.open > 0 && !s.wasAnswered() && !s.online.finished {
			why = ResetByTarget
		}
		c.end(s, why)
		return
	}
	c.lostTarget(s, ResetByTarget, now)
}
