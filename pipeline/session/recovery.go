package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// recovery is what the sender knows of losses (RFC 5681, 6582, 6675).
type recovery struct {
	next    Seq // next byte to retransmit; next == end: none
	end     Seq
	until   Seq // loss recovery ends here
	active  bool
	byRTO   bool // it began by timeout: everything up to until is resent
	dupAcks uint8
	sackedN uint8
	sacked  [packet.MaxSACK]block
}

// block is a run of bytes that the target has beyond the first that it lacks.
type block struct{ start, end Seq }

// acknowledged is the sender's half of RFC 9293, 3.10.7.4, with RFC 5681,
// 6298 and 6582.
func (c *Core) acknowledged(s *Session, r *packet.Reply, now Time) {
	ack := Seq(r.Ack)
	if s.snd.nxt.Before(ack) {
		s.rcv.ackNow = true
		return
	}
	wnd := uint32(r.Window) << s.snd.wndScale
	if ack.Before(s.snd.una) {
		return
	}
	if acked := ack.Sub(s.snd.una); acked > 0 {
		c.advance(s, ack, acked, now)
	} else if r.Len == 0 && wnd == s.snd.wnd && wnd > 0 && s.snd.una != s.snd.nxt && r.Flags&packet.FIN == 0 {
		if s.rec.dupAcks < 255 {
			s.rec.dupAcks++
		}
	}
	if s.snd.wnd == 0 && wnd > 0 && s.snd.una != s.snd.nxt {
		// The window opens. What probed it was thrown away.
		s.rec.next, s.rec.end = s.snd.una, s.snd.nxt
		s.snd.backoff, s.snd.rtoAt = 0, now+s.snd.rto
	}
	s.snd.wnd = wnd
	if s.snd.sackOK {
		s.rec.takeSACK(r.SACK[:r.SACKCount], s.snd.una, s.snd.nxt)
	}
	if !s.rec.active && s.snd.una != s.snd.nxt && (s.rec.dupAcks >= 3 || s.rec.sackedBytes() > 2*uint32(s.snd.mss)) {
		s.snd.ssthresh = max((s.snd.nxt.Sub(s.snd.una))/2, 2*uint32(s.snd.mss))
		s.snd.cwnd = s.snd.ssthresh
		s.rec.until, s.rec.active, s.rec.byRTO = s.snd.nxt, true, false
		s.rec.next, s.rec.end = s.snd.una, s.snd.una
		s.setLost()
	} else if s.rec.active && !s.rec.byRTO {
		s.setLost()
	}
}

// advance moves una over newly acknowledged bytes.
func (c *Core) advance(s *Session, ack Seq, acked uint32, now Time) {
	s.snd.una = ack
	s.rec.dupAcks, s.snd.backoff = 0, 0
	s.snd.progressAt = now
	if s.snd.rttAt != never && !ack.Before(s.snd.rttSeq) {
		s.snd.measure(now-s.snd.rttAt, c.cfg.RTT)
		s.snd.rttAt = never
	}
	if top := s.delivered(); s.snd.credited.Before(top) {
		c.Stats.Delivered += uint64(top.Sub(s.snd.credited))
		c.Stats.Buffered -= uint64(top.Sub(s.snd.credited))
		s.snd.credited = top
	}
	switch {
	case s.rec.active && !ack.Before(s.rec.until):
		s.rec.active, s.rec.byRTO = false, false
	case s.rec.active && !s.rec.byRTO:
	case s.snd.cwnd < s.snd.ssthresh:
		s.snd.cwnd += acked // RFC 3465
	default:
		s.snd.cwnd += max(1, uint32(uint64(s.snd.mss)*uint64(acked)/uint64(s.snd.cwnd)))
	}
	s.snd.cwnd = min(s.snd.cwnd, maxWindow)
	for s.rec.sackedN > 0 && !ack.Before(s.rec.sacked[0].end) {
		copy(s.rec.sacked[:], s.rec.sacked[1:s.rec.sackedN])
		s.rec.sackedN--
	}
	if s.snd.una == s.snd.nxt {
		s.snd.rtoAt = never
	} else {
		s.snd.rtoAt = now + s.snd.rto
	}
	c.forget(s)
}

// delivered is the sequence number behind the payload that is acknowledged.
func (s *Session) delivered() Seq {
	if s.snd.finSent && s.snd.una == s.snd.nxt {
		return s.snd.una - 1
	}
	return s.snd.una
}

// setLost marks what is to be retransmitted in fast recovery: all holes below
// the highest SACK, or one segment without it (RFC 6582).
func (s *Session) setLost() {
	if s.rec.sackedN > 0 {
		s.rec.end = s.rec.end.Max(s.rec.sacked[s.rec.sackedN-1].start)
		return
	}
	if !s.snd.una.Before(s.rec.next) {
		s.rec.next = s.snd.una
		s.rec.end = s.snd.una.Add(min(uint32(s.snd.mss), s.snd.nxt.Sub(s.snd.una)))
	}
}

// takeSACK merges a reply's blocks, as far as they lie between una and nxt, into
// the scoreboard, which is sorted.
func (r *recovery) takeSACK(blocks []packet.SACKBlock, una, nxt Seq) {
	for _, given := range blocks {
		b := block{Seq(given.Start), Seq(given.End)}
		if b.start.Before(una) || !b.start.Before(b.end) || nxt.Before(b.end) {
			continue // D-SACK (RFC 2883), or nonsense
		}
		n := 0
		for _, o := range r.sacked[:r.sackedN] {
			if b.end.Before(o.start) || o.end.Before(b.start) {
				r.sacked[n] = o
				n++
				continue
			}
			b.start, b.end = b.start.Min(o.start), b.end.Max(o.end)
		}
		if n == len(r.sacked) {
			continue // full: the target repeats its newest blocks
		}
		i := n
		for i > 0 && b.start.Before(r.sacked[i-1].start) {
			r.sacked[i] = r.sacked[i-1]
			i--
		}
		r.sacked[i] = b
		r.sackedN = uint8(n + 1)
	}
}

func (r *recovery) sackedBytes() (n uint32) {
	for _, b := range r.sacked[:r.sackedN] {
		n += b.end.Sub(b.start)
	}
	return n
}

// skipSACKed moves seq over a block that holds it and bounds stop by the next
// block; it reports whether it moved.
func (r *recovery) skipSACKed(seq, stop *Seq) bool {
	for _, b := range r.sacked[:r.sackedN] {
		if !seq.Before(b.start) && seq.Before(b.end) {
			*seq = b.end
			return true
		}
		if seq.Before(b.start) && b.start.Before(*stop) {
			*stop = b.start
		}
	}
	return false
}
