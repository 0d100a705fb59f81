package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// delayedACK is how long an acknowledgment waits for payload to travel with
// (RFC 9293, 3.8.6.3: at most 500 ms).
const delayedACK = 40 * Millisecond

// Reply takes the header of a packet that the target sent to the session's
// endpoint.
func (c *Core) Reply(s *Session, r *packet.Reply, now Time) {
	c.count(r)
	switch s.state {
	case SynSent:
		c.replySynSent(s, r, now)
		return
	case Established, Closing, TimeWait:
	default:
		return
	}
	if r.Flags&packet.SYN != 0 {
		s.ackNow = s.hasBase // our acknowledgment of the SYN-ACK was lost, or not due
		return
	}
	if s.rcvNxt-r.Seq > maxWindow && r.Seq-s.rcvNxt > maxWindow {
		return // not of this connection
	}
	s.peerAt = now
	if r.Flags&packet.RST != 0 {
		c.targetReset(s)
		return
	}
	if r.HasTimestamp && int32(r.TSVal-s.tsRecent) > 0 {
		s.tsRecent = r.TSVal
	}
	c.receive(s, r, now)
	if r.Flags&packet.ACK != 0 {
		c.acknowledged(s, r, now)
	}
	c.close(s, now)
}

// disown tells a target that acknowledges something else than our SYN that its
// connection is over: most likely it keeps one of an earlier replay in
// TIME-WAIT, and does not take the SYN for newer (RFC 6191). A second SYN
// follows at once.
func (c *Core) disown(s *Session, r *packet.Reply, now Time) {
	if r.Flags&(packet.SYN|packet.RST) != 0 || s.synTries > 1 {
		return
	}
	c.sendControl(s, r.Ack, packet.RST, KindRST, now, false)
	s.rtoAt = now
}

// maxWindow is the largest window of TCP (RFC 7323, 2.3).
const maxWindow = 1 << 30

func (c *Core) count(r *packet.Reply) {
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
	if r.Ack != s.iss+1 {
		c.disown(s, r, now)
		return
	}
	if r.Flags&packet.RST != 0 {
		// The target may be starting: the SYN is sent again as if it had been
		// lost, and the client's payload is kept for it.
		c.Stats.Refused++
		s.refused = true
		return
	}
	if r.Flags&packet.SYN == 0 {
		return
	}
	s.state = Established
	s.refused = false
	c.Stats.Established++
	c.Stats.Connect.Observe(int64(now - s.progressAt))
	s.una = r.Ack
	s.rcvNxt = r.Seq + 1
	s.peerBase, s.turnHave = s.rcvNxt, 0
	if !s.hasBase {
		s.ackSeen = 0
	}
	s.tsOK = s.synTS && r.HasTimestamp
	s.sackOK = s.synSACK && r.SACKOK
	s.tsRecent = r.TSVal
	s.wnd = uint32(r.Window)
	s.wndScale = 0
	if s.synScale != packet.NoWindowScale && r.WindowScale != packet.NoWindowScale {
		s.wndScale = r.WindowScale
	}
	mss := 536
	if !s.Target.Addr.Is4() {
		mss = 1220
	}
	if r.MSS != 0 {
		mss = int(r.MSS)
	}
	mss = min(mss, c.maxMSS(s))
	if s.tsOK {
		mss -= 12
	}
	s.mss = uint16(max(mss, 48))
	s.cwnd, s.ssthresh = 10*uint32(s.mss), 1<<30 // RFC 6928
	if s.synTries == 1 {
		s.measure(now-s.rttAt, c.cfg.RTT)
	}
	s.rttAt, s.backoff = never, 0
	s.rtoAt = never
	s.peerAt, s.progressAt = now, now
	s.rtxNext, s.rtxEnd = s.una, s.una
	// What is half-open in production stays so at the target: the handshake is
	// completed when the client has completed its own.
	s.ackNow = s.hasBase
}

// receive takes note of the target's data. A hole in it cannot be told from a
// reply lost on the way to intercept, and nobody reads it here: all that was
// seen to be sent is acknowledged, so the target never stalls.
func (c *Core) receive(s *Session, r *packet.Reply, now Time) {
	fin := r.Flags&packet.FIN != 0
	if r.Len == 0 && !fin {
		return
	}
	end := r.Seq + r.Len
	if fin {
		end++
	}
	if !before(s.rcvNxt, end) {
		s.ackNow = true // it repeats what it sent: an acknowledgment was lost
		return
	}
	if r.Len > 0 && s.turnOpen && s.have() == s.turnHave {
		c.Stats.FirstByte.Observe(int64(now - s.askedAt))
	}
	s.unacked += end - s.rcvNxt
	s.rcvNxt = end
	s.peerPushed = fin || r.Flags&packet.PSH != 0
	if fin {
		s.peerFIN = true
		if s.turnOpen && s.have()-s.turnHave > 1 {
			c.endTurn(s) // it has answered before it closed
		}
	}
	switch {
	case fin && s.finSent: // else our FIN mostly follows soon, and tells it
		s.ackNow = true
	case s.unacked >= 2*uint32(s.mss):
		s.ackNow = true
	case s.ackAt == never:
		s.ackAt = now + delayedACK
	}
}

// acknowledged is the sender's half of RFC 9293, 3.10.7.4, with RFC 5681,
// 6298 and 6582.
func (c *Core) acknowledged(s *Session, r *packet.Reply, now Time) {
	if before(s.nxt, r.Ack) {
		s.ackNow = true
		return
	}
	wnd := uint32(r.Window) << s.wndScale
	if before(r.Ack, s.una) {
		return
	}
	if acked := r.Ack - s.una; acked > 0 {
		c.advance(s, r.Ack, acked, now)
	} else if r.Len == 0 && wnd == s.wnd && wnd > 0 && s.una != s.nxt && r.Flags&packet.FIN == 0 {
		if s.dupAcks < 255 {
			s.dupAcks++
		}
	}
	if s.wnd == 0 && wnd > 0 && s.una != s.nxt {
		// The window opens. What probed it was thrown away.
		s.rtxNext, s.rtxEnd = s.una, s.nxt
		s.backoff, s.rtoAt = 0, now+s.rto
	}
	s.wnd = wnd
	if s.sackOK {
		s.takeSACK(r)
	}
	if !s.inRecov && s.una != s.nxt && (s.dupAcks >= 3 || s.sackedBytes() > 2*uint32(s.mss)) {
		s.ssthresh = max((s.nxt-s.una)/2, 2*uint32(s.mss))
		s.cwnd = s.ssthresh
		s.recover, s.inRecov, s.lossRTO = s.nxt, true, false
		s.rtxNext, s.rtxEnd = s.una, s.una
		s.setLost()
	} else if s.inRecov && !s.lossRTO {
		s.setLost()
	}
}

// advance moves una over newly acknowledged bytes.
func (c *Core) advance(s *Session, ack, acked uint32, now Time) {
	s.una = ack
	s.dupAcks, s.backoff = 0, 0
	s.progressAt = now
	if s.rttAt != never && !before(ack, s.rttSeq) {
		s.measure(now-s.rttAt, c.cfg.RTT)
		s.rttAt = never
	}
	if top := s.delivered(); before(s.credited, top) {
		c.Stats.Delivered += uint64(top - s.credited)
		c.Stats.Buffered -= uint64(top - s.credited)
		s.credited = top
	}
	switch {
	case s.inRecov && !before(ack, s.recover):
		s.inRecov, s.lossRTO = false, false
	case s.inRecov && !s.lossRTO:
	case s.cwnd < s.ssthresh:
		s.cwnd += acked // RFC 3465
	default:
		s.cwnd += max(1, uint32(uint64(s.mss)*uint64(acked)/uint64(s.cwnd)))
	}
	s.cwnd = min(s.cwnd, maxWindow)
	for s.sackedN > 0 && !before(ack, s.sacked[0].End) {
		copy(s.sacked[:], s.sacked[1:s.sackedN])
		s.sackedN--
	}
	if s.una == s.nxt {
		s.rtoAt = never
	} else {
		s.rtoAt = now + s.rto
	}
	c.forget(s)
}

// delivered is the sequence number behind the payload that is acknowledged.
func (s *Session) delivered() uint32 {
	if s.finSent && s.una == s.nxt {
		return s.una - 1
	}
	return s.una
}

// setLost marks what is to be retransmitted in fast recovery: all holes below
// the highest SACK, or one segment without it (RFC 6582).
func (s *Session) setLost() {
	if s.sackedN > 0 {
		s.rtxEnd = seqMax(s.rtxEnd, s.sacked[s.sackedN-1].Start)
		return
	}
	if !before(s.una, s.rtxNext) {
		s.rtxNext = s.una
		s.rtxEnd = s.una + min(uint32(s.mss), s.nxt-s.una)
	}
}

// takeSACK merges the reply's blocks into the scoreboard, which is sorted.
func (s *Session) takeSACK(r *packet.Reply) {
	for _, b := range r.SACK[:r.SACKCount] {
		if before(b.Start, s.una) || !before(b.Start, b.End) || before(s.nxt, b.End) {
			continue // D-SACK (RFC 2883), or nonsense
		}
		n := 0
		for _, o := range s.sacked[:s.sackedN] {
			if before(b.End, o.Start) || before(o.End, b.Start) {
				s.sacked[n] = o
				n++
				continue
			}
			b.Start, b.End = seqMin(b.Start, o.Start), seqMax(b.End, o.End)
		}
		if n == packet.MaxSACK {
			continue // full: the target repeats its newest blocks
		}
		i := n
		for i > 0 && before(b.Start, s.sacked[i-1].Start) {
			s.sacked[i] = s.sacked[i-1]
			i--
		}
		s.sacked[i] = b
		s.sackedN = uint8(n + 1)
	}
}

func (s *Session) sackedBytes() (n uint32) {
	for _, b := range s.sacked[:s.sackedN] {
		n += b.End - b.Start
	}
	return n
}

// close follows the FINs of both sides (RFC 9293, 3.6).
func (c *Core) close(s *Session, now Time) {
	finAcked := s.finSent && s.una == s.nxt
	switch {
	case s.state == Closing && finAcked && s.parking:
		s.parking = false
		c.reopen(s, ClosedByTarget)
	case s.state == Closing && finAcked && s.peerFIN:
		s.state = TimeWait
		s.endAt = now + timeWait
		s.rtoAt = never
	case s.state == Closing && finAcked:
		s.endAt = now + closeTimeout
	case s.state == Established && s.peerFIN && !s.inEnded && s.endAt == never:
		s.endAt = now + peerFINGrace
	}
}

// targetReset takes a RST of the target.
func (c *Core) targetReset(s *Session) {
	if s.state == TimeWait || s.state == Closing && s.inEnded || s.inEnded && s.una == s.nxt && s.nextPiece == 0 {
		why := Finished
		if s.turnOpen && s.have() == s.turnHave {
			why = ResetByTarget
		}
		c.end(s, why)
		return
	}
	c.lostTarget(s, ResetByTarget)
}
