package session

import (
	"unsafe"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

const boardSize = int(unsafe.Sizeof(scoreboard{}))

// retransmit sends again what is lost, as far as the congestion window allows.
func (c *Core) retransmit(s *Session, now Time) {
	b := c.board(s)
	for i := 0; i < int(b.n) && b.lost > 0; i++ {
		if b.runs[i].state != lost {
			continue
		}
		seq := b.startOf(i)
		stop := s.resendLimit(b, seq, b.runs[i].end)
		if stop == seq {
			return
		}
		n := c.sendAgain(s, seq, stop, now)
		if n == 0 {
			return
		}
		b.lost -= n
		b.mark(seq, seq.Add(n), resent, clock32(now), nil)
		if r := &b.runs[i]; r.state == lost { // no room to tell a part of it
			b.lost -= min(b.lost, r.end.Sub(seq)-n)
			r.state, r.sentAt = resent, clock32(now)
		}
	}
	c.rescue(s, b, now)
}

// resendLimit is up to where the lost bytes of [seq, stop) may be sent again now:
// as much as the congestion window allows from una on, and in fast recovery
// beside what is on its way (RFC 6675, 5). Segments are not cut for it.
func (s *Session) resendLimit(b *scoreboard, seq, stop Seq) Seq {
	allowed := uint32(0)
	if limit := s.snd.una.Add(max(min(s.snd.cwnd, s.snd.wnd), 1)); seq.Before(limit) {
		allowed = limit.Sub(seq)
	}
	if edge := s.snd.una.Add(s.snd.wnd); s.rec.active && !s.rec.byRTO && seq.Before(edge) {
		allowed = max(allowed, min(s.room(b), edge.Sub(seq)))
	}
	if allowed >= stop.Sub(seq) {
		return stop
	}
	if seq != s.snd.una || allowed > uint32(s.snd.mss) {
		allowed -= allowed % uint32(s.snd.mss)
	}
	return seq.Add(allowed)
}

// room is what the congestion window allows beside what is on its way.
func (s *Session) room(b *scoreboard) uint32 {
	if pipe := b.pipe(); pipe < s.snd.cwnd {
		return s.snd.cwnd - pipe
	}
	return 0
}

// rescue sends the end of what is in flight again, once in a recovery, where
// nothing else is left to be sent: what comes after no selective acknowledgment
// would else wait for a timeout (RFC 6675, 4, NextSeg rule 4).
func (c *Core) rescue(s *Session, b *scoreboard, now Time) {
	if !s.rec.active || s.rec.byRTO || s.rec.rescued || b.lost > 0 || b.sacked == 0 || s.snd.nxt.Before(s.dataEnd()) {
		return
	}
	if last := b.runs[b.n-1].state; last == unknown && s.room(b) >= uint32(s.snd.mss) {
		s.rec.rescued = true
		c.repeatTail(s, b, now)
	}
}

// probeTail sends a segment because nothing is heard of the last ones: what the
// target says to it shows whether they were lost (RFC 8985, 7.3).
func (c *Core) probeTail(s *Session, now Time) {
	b := c.openBoard(s)
	s.rec.probed = true
	mss := uint32(s.snd.mss)
	fresh := min(s.dataEnd().Sub(s.snd.nxt), mss)
	if !s.snd.finSent && s.snd.nxt.Before(s.dataEnd()) && !s.snd.una.Add(s.snd.wnd).Before(s.snd.nxt.Add(fresh)) {
		s.snd.nxt = s.snd.nxt.Add(c.sendData(s, s.snd.nxt, fresh, now, false))
		b.send(s.snd.nxt, clock32(now))
	} else {
		c.repeatTail(s, b, now)
	}
	s.snd.rtoAt = now + s.snd.backedOff()
}

// repeatTail sends the last segment again, and our FIN with it.
func (c *Core) repeatTail(s *Session, b *scoreboard, now Time) {
	end := s.snd.nxt
	if s.snd.finSent {
		end--
	}
	seq := s.snd.una.Max(end - Seq(s.snd.mss))
	for seq.Before(s.snd.nxt) {
		n := c.sendAgain(s, seq, s.snd.nxt, now)
		if n == 0 {
			break
		}
		b.mark(seq, seq.Add(n), resent, clock32(now), nil)
		seq = seq.Add(n)
	}
	b.count()
}

// sendAgain repeats bytes from seq on, up to stop at most, or our FIN, and
// returns how many sequence numbers that took.
func (c *Core) sendAgain(s *Session, seq, stop Seq, now Time) (n uint32) {
	if s.snd.finSent && seq == s.snd.nxt-1 {
		c.sendControl(s, seq, packet.FIN|packet.ACK, KindFIN, now, true)
		return 1
	}
	if s.snd.finSent {
		stop = stop.Min(s.snd.nxt - 1)
	}
	n = c.sendData(s, seq, min(stop.Sub(seq), MaxPayload), now, true)
	s.snd.rttAt = never // Karn
	return n
}

// pieceAt finds the piece that holds seq, from the nearest one before it that is
// known. A list is not walked from its head for each retransmission.
func (c *Core) pieceAt(s *Session, seq Seq, again bool) ref {
	behind := func(r ref) bool { return r != 0 && !seq.Before(c.pieces.at(r).seq) }
	i := s.online.first
	switch {
	case !again && behind(s.snd.cursor):
		i = s.snd.cursor
	case !again:
	case behind(s.rec.piece):
		i = s.rec.piece
	case behind(s.rec.low):
		i = s.rec.low
	}
	for i != 0 && !seq.Before(c.pieces.at(i).end()) {
		i = c.pieces.at(i).next
	}
	if i == 0 || seq.Before(c.pieces.at(i).seq) {
		return 0
	}
	switch {
	case !again:
		s.snd.cursor = i
	case seq == s.snd.una:
		s.rec.low, s.rec.piece = i, i
	default:
		s.rec.piece = i
	}
	return i
}

// unpoint forgets that piece r is near something: it is about to be freed.
func (s *Session) unpoint(r ref) {
	if s.snd.cursor == r {
		s.snd.cursor = 0
	}
	if s.rec.low == r {
		s.rec.low = 0
	}
	if s.rec.piece == r {
		s.rec.piece = 0
	}
}
