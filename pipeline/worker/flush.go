package worker

import "github.com/tcpcopy-go/tcpcopy/pipeline/session"

// touch remembers that the session wants its Output.
func (w *Worker) touch(i uint32, s *session.Session) {
	if !s.Dirty {
		s.Dirty = true
		w.table.dirty = append(w.table.dirty, i)
	}
}

// fire is called by the timers: a deadline of session i may have come.
func (w *Worker) fire(i uint32) {
	s := w.table.at(i)
	if w.timers.due(s, w.core, w.now) {
		w.core.Timer(s, w.now)
	}
	w.touch(i, s)
}

// flush lets the sessions that were touched send, once for all that came in this
// pass, and follows what became of them. It reports whether many of them wait
// for an answer that production has given already.
func (w *Worker) flush() (behind bool) {
	t := &w.table
	late := 0
	for k := 0; k < len(t.dirty); k++ {
		i := t.dirty[k]
		s := t.at(i)
		w.core.Output(s, w.now)
		if s.State() == session.Opening {
			w.connect(i, s)
		}
		s.Dirty = false
		if !s.Connected() {
			w.endpoints.release(i, s, w.now)
		}
		t.count(i, s)
		if s.State() == session.Closed {
			w.timers.disarm(i)
			t.remove(i, s)
			continue
		}
		if w.core.Late(s) {
			late++
		}
		w.timers.arm(i, s, w.core)
	}
	behind = late > len(t.dirty)/behindShare
	t.dirty = t.dirty[:0]
	return behind
}

// connect opens, or opens again, the session's connection to its target.
func (w *Worker) connect(i uint32, s *session.Session) {
	if !w.endpoints.assign(i, s, w.table.entries[i].copy, w.now) {
		w.core.Abort(s, session.NoEndpoint, w.now)
		return
	}
	s.MTU = w.matcher.Transfers[s.Transfer].MTU()
	w.core.Connect(s, w.now)
}
