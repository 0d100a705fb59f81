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
		if s.first != 0 || s.ahead != 0 || s.last != 0 || s.nextPiece != 0 {
			return "closed with payload"
		}
		return ""
	case d == never && !c.cfg.Replayed:
		return "no deadline"
	case s.ahead != 0 && s.holeAt == never, s.ahead == 0 && s.holeAt != never:
		return "hole and its timer disagree"
	case s.state == SynSent && s.rtoAt == never:
		return "SYN without a timer"
	case (s.state == Closing || s.state == TimeWait) && s.endAt == never:
		return "closing without a timer"
	case s.state == Parked && (s.first != 0 || s.inEnded):
		return "parked with work to do"
	case s.state == Watching && s.first != 0:
		return "watching with payload"
	}
	if s.state != Established && s.state != Closing {
		return ""
	}
	switch {
	case before(s.nxt, s.una):
		return "una is beyond nxt"
	case before(s.released+1, s.nxt) && !s.parking:
		return "nxt is beyond what was released"
	case s.una != s.nxt && s.rtoAt == never:
		return "bytes in flight without a timer"
	case s.state == Established && before(s.nxt, s.dataEnd()) && s.rtoAt == never:
		return "bytes to be sent without a timer"
	case s.unacked > 0 && s.ackAt == never:
		return "an acknowledgment is owed without a timer"
	case s.state == Established && s.nextPiece != 0 && s.una == s.nxt && (s.turnAt == never || d > now+patience):
		return "a turn waits without a timer"
	}
	return ""
}
