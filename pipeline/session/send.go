package session

import (
	"encoding/binary"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// window is what is announced to the target: as much as the option allows,
// since nothing of its data is kept.
const window = 65535

// sender is our half of the connection to the target (RFC 9293, 3.3.1).
type sender struct {
	iss      Seq
	una      Seq
	nxt      Seq
	credited Seq    // delivered bytes are counted up to here
	cursor   ref    // piece that holds nxt, or one before
	wnd      uint32 // scaled
	cwnd     uint32
	ssthresh uint32
	mss      uint16 // payload bytes a segment, options deducted
	wndScale uint8  // the target's
	sackOK   bool
	tsOK     bool
	finSent  bool
	finFirst bool // our FIN went before the target's came
	parking  bool // our FIN answers the target's early close
	synTries uint8
	refused  bool // the last SYN was answered by RST

	backoff      uint8
	rttSeq       Seq    // timed segment, when rttAt is set (Karn)
	srtt, rttvar uint32 // us
	rto          Time
	rttAt        Time
	rtoAt        Time
	progressAt   Time // una moved, or the connection opened
}

// transmit sends retransmissions that are due, then released payload, within
// the target's window and the congestion window, then the client's end.
func (c *Core) transmit(s *Session, now Time) {
	if s.state == TimeWait {
		return
	}
	limit := s.snd.una.Add(min(s.snd.wnd, s.snd.cwnd))
	if s.rec.board != 0 {
		c.retransmit(s, now)
		limit = s.sendLimit(c.board(s))
	}
	end, sent := s.dataEnd(), false
	for s.snd.nxt.Before(end) && s.snd.nxt.Before(limit) && !s.snd.finSent {
		n := min(end.Sub(s.snd.nxt), limit.Sub(s.snd.nxt), MaxPayload)
		mss := uint32(s.snd.mss)
		if n < end.Sub(s.snd.nxt) && n > mss {
			n -= n % mss
		}
		if n < mss && n < end.Sub(s.snd.nxt) && s.snd.una != s.snd.nxt {
			break // silly window (RFC 9293, 3.8.6.2.1): more room comes with an acknowledgment
		}
		n = c.sendData(s, s.snd.nxt, n, now, false)
		if s.snd.rttAt == never {
			s.snd.rttSeq, s.snd.rttAt = s.snd.nxt.Add(n), now
		}
		s.snd.nxt = s.snd.nxt.Add(n)
		if s.rec.board != 0 {
			c.board(s).send(s.snd.nxt, clock32(now))
		}
		s.snd.armRTO(now)
		sent = true
	}
	if sent {
		s.armProbe(now)
	}
	if s.snd.nxt.Before(end) && s.snd.una == s.snd.nxt && s.snd.rtoAt == never {
		s.snd.rtoAt = now + s.snd.rto // persist (RFC 9293, 3.8.6.1)
	}
	c.transmitEnd(s, now)
}

// sendLimit is up to where payload may be sent for the first time while there is
// a scoreboard: the target's window, and the congestion window beside what is on
// its way.
func (s *Session) sendLimit(b *scoreboard) Seq {
	window := s.snd.una.Add(s.snd.wnd)
	if s.rec.byRTO || b.lost > 0 {
		return window.Min(s.snd.una.Add(s.snd.cwnd))
	}
	return window.Min(s.snd.nxt.Add(s.room(b)))
}

// dataEnd is the sequence number behind the released payload.
func (s *Session) dataEnd() Seq {
	if s.online.ended && s.online.endFIN && s.turns.released == s.online.next {
		return s.turns.released - 1
	}
	return s.turns.released
}

// transmitEnd sends the client's FIN or RST when all before it is out.
func (c *Core) transmitEnd(s *Session, now Time) {
	if !s.online.ended || s.turns.nextPiece != 0 || s.turns.released != s.online.next || s.snd.finSent || s.state != Established {
		return
	}
	if s.online.endFIN {
		if s.snd.nxt == s.dataEnd() {
			c.sendFIN(s, now)
		}
		return
	}
	if s.snd.una == s.snd.nxt && s.snd.nxt == s.turns.released {
		c.sendRST(s, now)
		c.end(s, Finished)
	}
}

// sendData sends up to n bytes of queued payload from seq on, and returns how
// many they were.
func (c *Core) sendData(s *Session, seq Seq, n uint32, now Time, again bool) uint32 {
	i := c.pieceAt(s, seq, again)
	if i == 0 {
		return 0
	}
	o := &c.out
	o.Payload = c.payload[:0]
	at, left := seq, n
	for i != 0 && left > 0 && len(o.Payload) < MaxPieces {
		p := c.pieces.at(i)
		if p.kind != pieceData {
			break
		}
		b := c.pieces.run(p, at.Sub(p.seq))
		if uint32(len(b)) > left {
			b = b[:left]
		}
		o.Payload = append(o.Payload, b)
		at, left = at.Add(uint32(len(b))), left-uint32(len(b))
		if at == p.end() {
			i = p.next
		}
	}
	o.Len = int(at.Sub(seq))
	if o.Len == 0 {
		return 0
	}
	flags := packet.ACK
	if at == s.dataEnd() {
		flags |= packet.PSH
	}
	c.send(s, seq, flags, KindPayload, now, again)
	return at.Sub(seq)
}

// sendFIN closes our half.
func (c *Core) sendFIN(s *Session, now Time) {
	c.sendControl(s, s.snd.nxt, packet.FIN|packet.ACK, KindFIN, now, false)
	s.snd.nxt++
	if s.rec.board != 0 {
		c.board(s).send(s.snd.nxt, clock32(now))
	}
	s.snd.finSent, s.snd.finFirst = true, !s.rcv.fin
	s.state = Closing
	s.endAt = now + closeTimeout
	s.snd.armRTO(now)
}

func (c *Core) sendACK(s *Session, now Time) {
	c.sendControl(s, s.snd.nxt, packet.ACK, KindACK, now, false)
}

func (c *Core) sendRST(s *Session, now Time) {
	flags := packet.RST | packet.ACK
	if s.state == SynSent {
		flags = packet.RST
	}
	c.sendControl(s, s.snd.nxt, flags, KindRST, now, false)
}

func (c *Core) sendControl(s *Session, seq Seq, flags packet.Flags, kind Kind, now Time, again bool) {
	c.out.Payload, c.out.Len = nil, 0
	c.send(s, seq, flags, kind, now, again)
}

// send completes c.out, whose payload is set, and hands it to the sink. Every
// segment but a SYN or bare RST acknowledges what has been seen of the target.
func (c *Core) send(s *Session, seq Seq, flags packet.Flags, kind Kind, now Time, again bool) {
	o := &c.out
	o.Seq, o.Flags, o.Kind, o.Retransmit = uint32(seq), flags, kind, again
	o.Window, o.MSS = window, int(s.snd.mss)
	o.Ack, o.Options = 0, nil
	if flags&packet.ACK != 0 {
		o.Ack = uint32(s.rcv.nxt)
		s.rcv.unacked, s.rcv.ackNow, s.rcv.ackAt = 0, false, never
		if s.snd.tsOK {
			b := c.options[:12]
			b[0], b[1], b[2], b[3] = 1, 1, 8, 10 // RFC 7323, appendix A
			binary.BigEndian.PutUint32(b[4:], tsVal(now))
			binary.BigEndian.PutUint32(b[8:], s.rcv.tsRecent)
			o.Options = b
		}
	}
	c.deliver(s, o)
}

// sendSYN sends the SYN with the client's own options.
func (c *Core) sendSYN(s *Session, now Time, again bool) {
	b := c.options[:0]
	b = append(b, 2, 4, 0, 0)
	binary.BigEndian.PutUint16(b[2:], uint16(min(int(s.online.synMSS), c.maxMSS(s))))
	switch {
	case s.online.synSACK && s.online.synTS:
		b = append(b, 4, 2)
	case s.online.synSACK:
		b = append(b, 1, 1, 4, 2)
	case s.online.synTS:
		b = append(b, 1, 1)
	}
	if s.online.synTS {
		b = append(b, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0)
		binary.BigEndian.PutUint32(b[len(b)-8:], tsVal(now))
	}
	if s.online.synScale != packet.NoWindowScale {
		b = append(b, 1, 3, 3, s.online.synScale)
	}
	o := &c.out
	o.Seq, o.Ack, o.Flags, o.Kind, o.Retransmit = uint32(s.snd.iss), 0, packet.SYN, KindSYN, again
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
