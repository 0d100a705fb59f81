package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// recovery is what the sender does about losses: it finds them by what the
// target has selectively acknowledged (RFC 6675) and by time (RACK-TLP, RFC
// 8985), and without selective acknowledgments by RFC 6582.
type recovery struct {
	board     ref // scoreboard; 0: all is well
	until     Seq // loss recovery ends here
	piece     ref // piece that was sent again last, or one before
	low       ref // piece that held una when that was sent again
	dupAcks   uint8
	active    bool
	byRTO     bool // it began by timeout: everything up to until is resent
	rescued   bool // the end was sent again in this recovery
	probed    bool // and by a probe, since una moved
	reordered bool // the path does not keep the order
	timerAt   Time // a tail loss probe, or bytes that may only be late are lost
}

const (
	// delayedACKs is what the targets' acknowledgments may be delayed by. Linux
	// waits 40 ms for a second segment; one segment alone may wait for 200 ms.
	// A probe that did not allow for it would repeat requests on healthy paths.
	delayedACKs = 50 * Millisecond
	loneACK     = 200 * Millisecond
	// minReorder is the least that bytes may be late where the path does not
	// keep the order: timers do not fire sooner.
	minReorder = Millisecond
)

// openBoard returns the session's scoreboard, which begins now if there is none.
func (c *Core) openBoard(s *Session) *scoreboard {
	if s.rec.board == 0 {
		s.rec.board = c.pieces.memory.alloc(boardSize)
		c.board(s).begin(s.snd.una, s.snd.nxt)
	}
	return c.board(s)
}

func (c *Core) board(s *Session) *scoreboard { return at[scoreboard](&c.pieces.memory, s.rec.board) }

func (c *Core) closeBoard(s *Session) {
	if s.rec.board != 0 {
		c.pieces.free(s.rec.board)
		s.rec.board = 0
	}
}

// resetRecovery begins anew with a connection.
func (c *Core) resetRecovery(s *Session) {
	c.closeBoard(s)
	s.rec = recovery{timerAt: never}
}

// acknowledged is the sender's half of RFC 9293, 3.10.7.4, with RFC 5681,
// 6298, 6582, 6675 and 8985.
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
	acked := ack.Sub(s.snd.una)
	if acked > 0 {
		c.advance(s, ack, acked, now)
	} else if r.Len == 0 && wnd == s.snd.wnd && wnd > 0 && s.snd.una != s.snd.nxt && r.Flags&packet.FIN == 0 {
		if s.rec.dupAcks < 255 {
			s.rec.dupAcks++
		}
	}
	if s.snd.wnd == 0 && wnd > 0 && s.snd.una != s.snd.nxt {
		// The window opens. What probed it was thrown away.
		c.openBoard(s).markAll(lost, 0)
		s.snd.backoff, s.snd.rtoAt = 0, now+s.snd.rto
	}
	s.snd.wnd = wnd
	if s.snd.sackOK && r.SACKCount > 0 {
		c.takeSACK(s, r.SACK[:r.SACKCount], now)
	}
	if s.rec.board != 0 || s.rec.dupAcks >= dupThresh {
		c.findLost(s, now)
	}
}

// dupThresh is how many segments beyond a hole make it a loss (RFC 6675, 2).
const dupThresh = 3

// advance moves una over newly acknowledged bytes.
func (c *Core) advance(s *Session, ack Seq, acked uint32, now Time) {
	s.snd.una = ack
	s.rec.dupAcks, s.snd.backoff = 0, 0
	s.rec.probed = false
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
	if s.rec.board != 0 {
		c.advanceBoard(s, now)
	}
	if s.snd.una == s.snd.nxt {
		s.snd.rtoAt, s.rec.timerAt = never, never
	} else {
		s.snd.rtoAt = now + s.snd.rto
		s.armProbe(now)
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

// advanceBoard drops what una has passed, and the board with the last trouble.
func (c *Core) advanceBoard(s *Session, now Time) {
	b := c.board(s)
	top := b.highest()
	b.advance(s.snd.una, func(r run) { s.deliver(b, r, top, now) })
	if b.n == 0 {
		c.closeBoard(s)
		return
	}
	b.count()
	if !s.rec.active && b.sacked == 0 && b.lost == 0 {
		c.closeBoard(s)
	}
}

// takeSACK enters blocks into the scoreboard.
func (c *Core) takeSACK(s *Session, blocks []packet.SACKBlock, now Time) {
	top := s.snd.una
	if s.rec.board != 0 {
		top = c.board(s).highest()
	}
	for _, given := range blocks {
		start, end := Seq(given.Start), Seq(given.End)
		if start.Before(s.snd.una) || !start.Before(end) || s.snd.nxt.Before(end) {
			continue // D-SACK (RFC 2883), or nonsense
		}
		b := c.openBoard(s)
		if b.sacked == 0 {
			b.seenAt = clock32(now)
		}
		b.mark(start, end, sacked, 0, func(r run) { s.deliver(b, r, top, now) })
		b.count()
	}
}

// deliver takes note of a run that has arrived. One that arrives later than what
// was sent after it, though it was not sent again, shows that the path does not
// keep the order; so does one that was sent again needlessly.
func (s *Session) deliver(b *scoreboard, r run, top Seq, now Time) {
	overtaken := (r.state == unknown || r.state == flying) && r.end.Before(top)
	if !b.deliver(r, clock32(now), s.snd.srtt/2) || overtaken {
		s.rec.reordered = true
	}
}

// findLost marks what is lost, and begins to recover from it.
func (c *Core) findLost(s *Session, now Time) {
	if s.snd.una == s.snd.nxt {
		return
	}
	b := c.openBoard(s)
	reorder := Time(0)
	if s.rec.reordered {
		reorder = max(Time(s.snd.srtt)/4, minReorder)
	}
	many := s.rec.dupAcks >= dupThresh || b.sacked > (dupThresh-1)*uint32(s.snd.mss)
	found, wait := false, uint32(0)
	if s.snd.sackOK && (b.sacked > 0 || b.fresh) {
		found, wait = b.findLost(many || s.rec.active || s.rec.reordered, uint32(reorder), clock32(now))
	} else if (many || s.rec.active && !s.rec.byRTO) && b.runs[0].state <= flying {
		// Without selective acknowledgments: one segment (RFC 6582).
		b.mark(b.start, b.start.Add(min(uint32(s.snd.mss), s.snd.nxt.Sub(b.start))), lost, 0, nil)
		b.count()
		found = true
	}
	if found && !s.rec.active {
		s.snd.ssthresh = max(s.snd.nxt.Sub(s.snd.una)/2, 2*uint32(s.snd.mss))
		s.snd.cwnd = s.snd.ssthresh
		s.rec.until, s.rec.active, s.rec.byRTO, s.rec.rescued = s.snd.nxt, true, false, false
	}
	switch {
	case wait > 0:
		s.rec.timerAt = now + max(Time(wait), minReorder)
	case b.sacked > 0 || s.rec.active:
		s.rec.timerAt = never
	}
}

// armProbe sets when the end of what is in flight counts as lost because nothing
// is heard of it (RFC 8985, 7.2), if that is sooner than the timeout.
func (s *Session) armProbe(now Time) {
	if !s.snd.sackOK || s.rec.active || s.rec.board != 0 || s.rec.probed || s.snd.wnd == 0 {
		return
	}
	delay := delayedACKs
	if s.snd.nxt.Sub(s.snd.una) <= uint32(s.snd.mss) {
		delay = loneACK
	}
	at := now + 2*Time(s.snd.srtt) + delay
	if s.rec.timerAt = never; at < s.snd.rtoAt {
		s.rec.timerAt = at
	}
}

// lossTimer does what recovery's timer was set for.
func (c *Core) lossTimer(s *Session, now Time) {
	s.rec.timerAt = never
	switch {
	case s.snd.una == s.snd.nxt:
	case s.rec.board != 0:
		c.findLost(s, now)
	default:
		c.probeTail(s, now)
	}
}

// timeout takes everything for lost that is in flight (RFC 5681, 3.1; RFC 6298,
// 5.4 to 5.7), what the target has by SACK as well: it may have reneged (RFC
// 6675, 5.1).
func (c *Core) timeout(s *Session, now Time) {
	c.closeBoard(s)
	c.openBoard(s).markAll(lost, 0)
	s.snd.ssthresh = max(s.snd.nxt.Sub(s.snd.una)/2, 2*uint32(s.snd.mss))
	s.snd.cwnd = uint32(s.snd.mss)
	s.rec.until, s.rec.active, s.rec.byRTO = s.snd.nxt, true, true
	s.rec.dupAcks, s.rec.timerAt = 0, never
	s.snd.rttAt = never
	s.snd.backoff = min(s.snd.backoff+1, 10)
	s.snd.rtoAt = now + s.snd.backedOff()
}
