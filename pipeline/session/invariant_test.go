package session

// invariants looks into a session after its Output.
func (w *world) invariants(c *copied) {
	if msg := invariants(w.core, &c.Session, w.now); msg != "" {
		w.fail("%v: %s: %+v", c.fl, msg, c.Session)
	}
}

// invariants names what is wrong with a session that has had its Output.
func invariants(c *Core, s *Session, now Time) string {
	d := s.Deadline(c)
	switch {
	case s.state == Closed:
		if s.online.first != 0 || s.online.ahead != 0 || s.online.last != 0 || s.turns.nextPiece != 0 {
			return "closed with payload"
		}
		return ""
	case d == never && !c.cfg.Replayed:
		return "no deadline"
	case s.online.ahead != 0 && s.online.holeAt == never, s.online.ahead == 0 && s.online.holeAt != never:
		return "hole and its timer disagree"
	case s.state == SynSent && s.snd.rtoAt == never:
		return "SYN without a timer"
	case (s.state == Closing || s.state == TimeWait) && s.endAt == never:
		return "closing without a timer"
	case s.state == Parked && (s.online.first != 0 || s.online.ended):
		return "parked with work to do"
	case s.state == Watching && s.online.first != 0:
		return "watching with payload"
	}
	if s.state != Established && s.state != Closing {
		return ""
	}
	switch {
	case s.snd.nxt.Before(s.snd.una):
		return "una is beyond nxt"
	case (s.turns.released + 1).Before(s.snd.nxt) && !s.snd.parking:
		return "nxt is beyond what was released"
	case s.rec.board != 0 && !s.boardHolds(c.board(s)):
		return "the scoreboard is not of what is in flight"
	case s.snd.una != s.snd.nxt && s.snd.rtoAt == never:
		return "bytes in flight without a timer"
	case s.state == Established && s.snd.nxt.Before(s.dataEnd()) && s.snd.rtoAt == never:
		return "bytes to be sent without a timer"
	case s.rcv.unacked > 0 && s.rcv.ackAt == never:
		return "an acknowledgment is owed without a timer"
	case s.state == Established && s.turns.nextPiece != 0 && s.snd.una == s.snd.nxt && (s.turns.waitAt == never || d > now+patience):
		return "a turn waits without a timer"
	}
	return ""
}

// boardHolds reports whether b is of the bytes between una and nxt.
func (s *Session) boardHolds(b *scoreboard) bool {
	var n [lost + 1]uint32
	for i, r := range b.runs[:b.n] {
		if !b.startOf(i).Before(r.end) {
			return false
		}
		n[r.state] += r.end.Sub(b.startOf(i))
	}
	return b.n > 0 && b.start == s.snd.una && b.end() == s.snd.nxt && n[sacked] == b.sacked && n[lost] == b.lost
}
