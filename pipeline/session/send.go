package session

import (
	"encoding/binary"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// window is what is announced to the target: as much as the option allows,
// since nothing of its data is kept.
const window = 65535

// transmit sends retransmissions that are due, then released payload, within
// the target's window and the congestion window, then the client's end.
func (c *Core) transmit(s *Session, now Time) {
	if s.state == TimeWait {
		return
	}
	c.retransmit(s, now)
	limit := s.una + min(s.wnd, s.cwnd)
	end := s.dataEnd()
	for before(s.nxt, end) && before(s.nxt, limit) && !s.finSent {
		n := min(end-s.nxt, limit-s.nxt, MaxPayload)
		mss := uint32(s.mss)
		if n < end-s.nxt && n > mss {
			n -= n % mss
		}
		if n < mss && n < end-s.nxt && s.una != s.nxt {
			break // silly window (RFC 9293, 3.8.6.2.1): more room comes with an acknowledgment
		}
		n = c.sendData(s, s.nxt, n, now, false)
		if s.rttAt == never {
			s.rttSeq, s.rttAt = s.nxt+n, now
		}
		s.nxt += n
		s.armRTO(now)
	}
	if before(s.nxt, end) && s.una == s.nxt && s.rtoAt == never {
		s.rtoAt = now + s.rto // persist (RFC 9293, 3.8.6.1)
	}
	c.transmitEnd(s, now)
}

// dataEnd is the sequence number behind the released payload.
func (s *Session) dataEnd() uint32 {
	if s.inEnded && s.endFIN && s.released == s.inNext {
		return s.released - 1
	}
	return s.released
}

// transmitEnd sends the client's FIN or RST when all before it is out.
func (c *Core) transmitEnd(s *Session, now Time) {
	if !s.inEnded || s.nextPiece != 0 || s.released != s.inNext || s.finSent || s.state != Established {
		return
	}
	if s.endFIN {
		if s.nxt == s.dataEnd() {
			c.sendFIN(s, now)
		}
		return
	}
	if s.una == s.nxt && s.nxt == s.released {
		c.sendRST(s, now)
		c.end(s, Finished)
	}
}

// retransmit repeats [rtxNext, rtxEnd) except what the target has by SACK.
func (c *Core) retransmit(s *Session, now Time) {
	s.rtxNext = seqMax(s.rtxNext, s.una)
	limit := s.una + max(min(s.cwnd, s.wnd), 1)
	for before(s.rtxNext, s.rtxEnd) && before(s.rtxNext, limit) {
		seq := s.rtxNext
		stop := seqMin(s.rtxEnd, limit)
		if s.skipSACKed(&seq, &stop) {
			s.rtxNext = seq
			continue
		}
		if s.finSent && seq == s.nxt-1 {
			c.sendControl(s, seq, packet.FIN|packet.ACK, KindFIN, now, true)
			s.rtxNext = s.nxt
			break
		}
		if s.finSent {
			stop = seqMin(stop, s.nxt-1)
		}
		n := min(stop-seq, MaxPayload)
		n = c.sendData(s, seq, n, now, true)
		if n == 0 {
			s.rtxNext = s.rtxEnd
			break
		}
		s.rtxNext = seq + n
		s.rttAt = never // Karn
	}
}

// skipSACKed moves seq over a block that holds it and bounds stop by the next
// block; it reports whether it moved.
func (s *Session) skipSACKed(seq, stop *uint32) bool {
	for _, b := range s.sacked[:s.sackedN] {
		if !before(*seq, b.Start) && before(*seq, b.End) {
			*seq = b.End
			return true
		}
		if before(*seq, b.Start) && before(b.Start, *stop) {
			*stop = b.Start
		}
	}
	return false
}

// sendData sends up to n bytes of queued payload from seq on, and returns how
// many they were.
func (c *Core) sendData(s *Session, seq, n uint32, now Time, again bool) uint32 {
	i := s.first
	if s.cursor != 0 && !before(seq, c.pieces.at(s.cursor).seq) {
		i = s.cursor
	}
	for i != 0 && !before(seq, c.pieces.at(i).end()) {
		i = c.pieces.at(i).next
	}
	if i == 0 || before(seq, c.pieces.at(i).seq) {
		return 0
	}
	if !again {
		s.cursor = i
	}
	o := &c.out
	o.Payload = c.payload[:0]
	at, left := seq, n
	for i != 0 && left > 0 && len(o.Payload) < MaxPieces {
		p := c.pieces.at(i)
		if p.kind != pieceData {
			break
		}
		b := p.buf.B[p.skip+at-p.seq : p.skip+p.len]
		if uint32(len(b)) > left {
			b = b[:left]
		}
		o.Payload = append(o.Payload, b)
		at, left = at+uint32(len(b)), left-uint32(len(b))
		i = p.next
	}
	o.Len = int(at - seq)
	if o.Len == 0 {
		return 0
	}
	flags := packet.ACK
	if at == s.dataEnd() {
		flags |= packet.PSH
	}
	c.send(s, seq, flags, KindPayload, now, again)
	return at - seq
}

// sendFIN closes our half.
func (c *Core) sendFIN(s *Session, now Time) {
	c.sendControl(s, s.nxt, packet.FIN|packet.ACK, KindFIN, now, false)
	s.nxt++
	s.finSent, s.finFirst = true, !s.peerFIN
	s.state = Closing
	s.endAt = now + closeTimeout
	s.armRTO(now)
}

func (c *Core) sendACK(s *Session, now Time) {
	c.sendControl(s, s.nxt, packet.ACK, KindACK, now, false)
}

func (c *Core) sendRST(s *Session, now Time) {
	flags := packet.RST | packet.ACK
	if s.state == SynSent {
		flags = packet.RST
	}
	c.sendControl(s, s.nxt, flags, KindRST, now, false)
}

func (c *Core) sendControl(s *Session, seq uint32, flags packet.Flags, kind Kind, now Time, again bool) {
	c.out.Payload, c.out.Len = nil, 0
	c.send(s, seq, flags, kind, now, again)
}

// send completes c.out, whose payload is set, and hands it to the sink. Every
// segment but a SYN or bare RST acknowledges what has been seen of the target.
func (c *Core) send(s *Session, seq uint32, flags packet.Flags, kind Kind, now Time, again bool) {
	o := &c.out
	o.Seq, o.Flags, o.Kind, o.Retransmit = seq, flags, kind, again
	o.Window, o.MSS = window, int(s.mss)
	o.Ack, o.Options = 0, nil
	if flags&packet.ACK != 0 {
		o.Ack = s.rcvNxt
		s.unacked, s.ackNow, s.ackAt = 0, false, never
		if s.tsOK {
			b := c.options[:12]
			b[0], b[1], b[2], b[3] = 1, 1, 8, 10 // RFC 7323, appendix A
			binary.BigEndian.PutUint32(b[4:], tsVal(now))
			binary.BigEndian.PutUint32(b[8:], s.tsRecent)
			o.Options = b
		}
	}
	c.deliver(s, o)
}

// sendSYN sends the SYN with the client's own options.
func (c *Core) sendSYN(s *Session, now Time, again bool) {
	b := c.options[:0]
	b = append(b, 2, 4, 0, 0)
	binary.BigEndian.PutUint16(b[2:], uint16(min(int(s.synMSS), c.maxMSS(s))))
	switch {
	case s.synSACK && s.synTS:
		b = append(b, 4, 2)
	case s.synSACK:
		b = append(b, 1, 1, 4, 2)
	case s.synTS:
		b = append(b, 1, 1)
	}
	if s.synTS {
		b = append(b, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0)
		binary.BigEndian.PutUint32(b[len(b)-8:], tsVal(now))
	}
	if s.synScale != packet.NoWindowScale {
		b = append(b, 1, 3, 3, s.synScale)
	}
	o := &c.out
	o.Seq, o.Ack, o.Flags, o.Kind, o.Retransmit = s.iss, 0, packet.SYN, KindSYN, again
	o.Window, o.MSS, o.Payload, o.Len = window, 0, nil, 0
	o.Options = b
	c.deliver(s, o)
}

func (c *Core) deliver(s *Session, o *Out) {
	c.Stats.Sent[o.Kind]++
	c.Stats.SentBytes += uint64(o.Len)
	if o.Retransmit {
		c.Stats.Retransmitted[o.Kind]++
	}
	c.sink.Send(s, o)
}

// maxMSS is the largest MSS option that the path and the configuration allow
// (RFC 9293, 3.7.1: the MTU less the fixed headers).
func (c *Core) maxMSS(s *Session) int {
	n := int(s.MTU) - 40
	if !s.Target.Addr.Is4() {
		n -= 20
	}
	if c.cfg.SynMSS > 0 {
		n = min(n, c.cfg.SynMSS)
	}
	return max(n, 64)
}

// tsVal is the timestamp clock: milliseconds, one for all sessions, so that a
// later connection on the same endpoint is newer to a target in TIME-WAIT
// (RFC 6191).
func tsVal(now Time) uint32 { return uint32(now / Millisecond) }
