package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// delayedACK is how long an acknowledgment waits for payload to travel with
// (RFC 9293, 3.8.6.3: at most 500 ms).
const delayedACK = 40 * Millisecond

// receiver is the half of the connection that the target sends. Only headers
// of it are seen.
type receiver struct {
	nxt      Seq
	unacked  uint32 // bytes received since the last acknowledgment was sent
	tsRecent uint32
	ackNow   bool
	fin      bool // the target has closed
	spoke    bool // since the client had reacted to all: see settle
	ackAt    Time
	heardAt  Time // last segment from the target
}

// receive takes note of the target's data. A hole in it cannot be told from a
// reply lost on the way to intercept, and nobody reads it here: all that was
// seen to be sent is acknowledged, so the target never stalls.
func (c *Core) receive(s *Session, r *packet.Reply, now Time) {
	fin := r.Flags&packet.FIN != 0
	if r.Len == 0 && !fin {
		return
	}
	end := Seq(r.Seq).Add(r.Len)
	if fin {
		end++
	}
	if !s.rcv.nxt.Before(end) {
		s.rcv.ackNow = true // it repeats what it sent: an acknowledgment was lost
		return
	}
	late := r.Flags&packet.ACK != 0 && !s.turns.begunAt.Before(Seq(r.Ack)) && !c.cfg.NoWait
	if r.Len > 0 && s.turns.open > 0 && !s.wasAnswered() && !late {
		c.Stats.FirstByte.Observe(int64(now - s.turns.askedAt))
	}
	n := end.Sub(s.rcv.nxt)
	s.rcv.unacked += n
	s.rcv.nxt = end
	s.turns.pushed = fin || r.Flags&packet.PSH != 0
	s.rcv.spoke = true
	if fin {
		s.rcv.fin = true
		n--
	}
	if late {
		c.late(s, n)
	}
	if fin && s.wasAnswered() {
		c.closed(s) // it has answered before it closed
	}
	switch {
	case fin && s.snd.finSent: // else our FIN mostly follows soon, and tells it
		s.rcv.ackNow = true
	case s.rcv.unacked >= 2*uint32(s.snd.mss):
		s.rcv.ackNow = true
	case s.rcv.ackAt == never:
		s.rcv.ackAt = now + delayedACK
	}
}
