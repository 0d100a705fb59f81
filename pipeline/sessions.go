package pipeline

import (
	"slices"
	"unsafe"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// The keys of sessions. A client may talk to several online endpoints from
// one port, so both ends count.
func (w *worker) clientHash(client, online packet.Endpoint) uint64 {
	return client.Hash(w.set.seed) ^ online.Hash(w.set.seed)>>1
}

// clientSession finds the session of the client that sent g, or 0.
func (w *worker) clientSession(g *packet.Segment) uint32 {
	return w.clients.Find(w.clientHash(g.Src, g.Dst), func(i uint32) bool {
		s := w.slab.At(i)
		return s.ClientEnd == g.Src && s.OnlineEnd == g.Dst
	})
}

// endSession finds the session that shows this endpoint to its target, or 0.
func (w *worker) endSession(e packet.Endpoint) uint32 {
	return w.ends.Find(e.Hash(w.set.seed), func(i uint32) bool { return w.slab.At(i).Endpoint == e })
}

// begin makes the sessions for the client that sent g, one for each copy, and
// returns the first.
func (w *worker) begin(t int, g *packet.Segment) uint32 {
	w.counter.Clients++
	first, last := uint32(0), uint32(0)
	for k := range w.admission.copies {
		i := w.slab.Alloc()
		for int(i) >= len(w.extra) {
			w.extra = append(w.extra, extra{})
		}
		s := w.slab.At(i)
		s.ClientEnd, s.OnlineEnd = g.Src, g.Dst
		s.Transfer = uint16(t)
		s.Target = w.set.matcher.transfers[t].target
		w.core.Begin(s, w.now)
		w.sessionsOf[t]++
		w.extra[i] = extra{live: true, copy: uint16(k), prev: last}
		if last == 0 {
			first = i
		} else {
			w.extra[last].next = i
		}
		last = i
	}
	w.key(first)
	return first
}

// key makes i, the first of its client's copies, what its client is found by.
func (w *worker) key(i uint32) {
	s := w.slab.At(i)
	w.clients.Insert(w.clientHash(s.ClientEnd, s.OnlineEnd), i)
	w.extra[i].keyed = true
}

// unkey takes the session out of the copies of its client. If it was the
// first, the next one takes its place.
func (w *worker) unkey(i uint32) {
	x := &w.extra[i]
	if x.next != 0 {
		w.extra[x.next].prev = x.prev
	}
	if x.prev != 0 {
		w.extra[x.prev].next = x.next
	}
	if x.keyed {
		s := w.slab.At(i)
		w.clients.Delete(w.clientHash(s.ClientEnd, s.OnlineEnd), i)
		if x.next != 0 {
			w.key(x.next)
		}
	}
	x.keyed, x.next, x.prev = false, 0, 0
}

// supersede lets all copies of a client, of which i is the first, come to
// their ends by themselves: it has begun anew.
func (w *worker) supersede(i uint32) {
	for i != 0 {
		next := w.extra[i].next
		s := w.slab.At(i)
		w.unkey(i)
		w.core.Superseded(s, w.now)
		w.touch(i, s)
		i = next
	}
}

// unmap gives the session's endpoint back.
func (w *worker) unmap(i uint32, s *session.Session) {
	x := &w.extra[i]
	if !x.mapped {
		return
	}
	x.mapped = false
	w.ends.Delete(s.Endpoint.Hash(w.set.seed), i)
	if s.TargetWaits() {
		w.resting.Add(s.Endpoint, w.ms())
	}
	if w.flows != nil && !cancel(&w.claim, s.Endpoint) {
		w.unclaim = append(w.unclaim, s.Endpoint)
	}
}

// cancel removes e from a list of this round, where the opposite is wanted now.
func cancel(list *[]packet.Endpoint, e packet.Endpoint) bool {
	i := slices.Index(*list, e)
	if i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
	return i >= 0
}

// connect opens, or opens again, the session's connection to its target.
func (w *worker) connect(i uint32, s *session.Session) {
	again := s.Endpoint != packet.Endpoint{}
	w.unmap(i, s)
	choose := func(used func(packet.Endpoint) bool) (packet.Endpoint, bool) {
		return w.free.Choose(s.ClientEnd, w.extra[i].copy, s.Target.Addr, again, used)
	}
	e, ok := choose(func(e packet.Endpoint) bool { return w.endSession(e) != 0 || w.resting.Has(e) })
	if !ok { // sooner than it should rather than not at all
		e, ok = choose(func(e packet.Endpoint) bool { return w.endSession(e) != 0 })
	}
	if !ok {
		w.core.Abort(s, session.NoEndpoint, w.now)
		return
	}
	s.Endpoint = e
	s.MTU = w.set.matcher.transfers[s.Transfer].mtuFor()
	w.ends.Insert(e.Hash(w.set.seed), i)
	w.extra[i].mapped = true
	if w.flows != nil && !cancel(&w.unclaim, e) {
		w.claim = append(w.claim, e)
	}
	w.core.Connect(s, w.now)
}

// tableBytes is the memory that sessions take beside what their core holds.
func (w *worker) tableBytes() int64 {
	columns := int64(cap(w.extra)) * int64(unsafe.Sizeof(extra{}))
	return w.slab.Bytes() + columns + w.clients.Bytes() + w.ends.Bytes() + w.wheel.Bytes()
}

// settle lets the sessions that were touched send, and follows what became of
// them.
func (w *worker) settle() {
	late := 0
	for k := 0; k < len(w.dirty); k++ {
		i := w.dirty[k]
		s := w.slab.At(i)
		w.core.Output(s, w.now)
		if s.State() == session.Opening {
			w.connect(i, s)
		}
		s.Dirty = false
		if !s.Connected() {
			w.unmap(i, s)
		}
		w.count(i, s.State())
		if s.State() == session.Closed {
			w.remove(i, s)
			continue
		}
		if w.core.Late(s) {
			late++
		}
		w.wheel.Arm(i, roundUp(s.Deadline(w.core)))
		if w.feed != nil {
			w.feed.follow(i, s, w.core)
		}
	}
	w.late = late > len(w.dirty)/8
	w.dirty = w.dirty[:0]
}

// roundUp is the tick of a wheel by which d has come.
func roundUp(d session.Time) int64 { return int64((d-1)/session.Millisecond) + 1 }

// count keeps the number of sessions in each state.
func (w *worker) count(i uint32, state session.State) {
	x := &w.extra[i]
	if x.counted {
		w.counter.Sessions[x.state]--
	}
	x.state, x.counted = state, true
	w.counter.Sessions[state]++
}

func (w *worker) remove(i uint32, s *session.Session) {
	w.unkey(i)
	w.wheel.Disarm(i)
	if w.feed != nil {
		w.feed.leave(i)
	}
	w.counter.Sessions[w.extra[i].state]--
	w.sessionsOf[s.Transfer]--
	w.extra[i] = extra{}
	w.slab.Free(i)
}

// each calls f for every session, which is touched.
func (w *worker) each(f func(s *session.Session)) {
	for i := uint32(1); int(i) < len(w.extra); i++ {
		if x := w.extra[i]; x.live {
			s := w.slab.At(i)
			f(s)
			w.touch(i, s)
		}
	}
}

// finish tells all sessions that the recording is over. What it holds when it
// is replayed again begins other sessions.
func (w *worker) finish() {
	for i := uint32(1); int(i) < len(w.extra); i++ {
		if w.extra[i].live {
			w.unkey(i)
		}
	}
	w.each(func(s *session.Session) { w.core.Finish(s, w.now) })
}

// drain stops new sessions and closes the idle ones.
func (w *worker) drain() {
	w.stopping = true
	if w.feed != nil {
		w.refuseFeed()
	}
	w.each(func(s *session.Session) { w.core.Drain(s, w.now) })
}

// abort resets what is left.
func (w *worker) abort() {
	w.each(func(s *session.Session) { w.core.Abort(s, session.Shutdown, w.now) })
}

// liveFlows appends the endpoints in use to es.
func (w *worker) liveFlows(es []packet.Endpoint) []packet.Endpoint {
	for i := uint32(1); int(i) < len(w.extra); i++ {
		if w.extra[i].mapped {
			es = append(es, w.slab.At(i).Endpoint)
		}
	}
	return es
}
