package pipeline

import (
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// takeFrames reads the rings: a round at most of each.
func (w *worker) takeFrames() (n int) {
	var f ring.Frame
	for i, r := range w.rings {
		bytes := 0
		for k := 0; k < round && r.Next(&f); k++ {
			bytes += f.Wire
			w.frame(&f)
			n++
		}
		if bytes > 0 {
			w.ringBytes[i].Add(uint64(bytes))
		}
	}
	return n
}

// frame takes a captured packet as far as its session, or to the worker that
// has it.
func (w *worker) frame(f *ring.Frame) {
	c := &w.counter
	c.Captured++
	var g packet.Segment
	t, d, ok := w.set.take(f, &g)
	if !ok {
		c.drop(d, &g)
		return
	}
	if i := packet.Shard(g.Src.Port, len(w.peers)); i != w.index {
		w.hand(i, t, &g)
		return
	}
	if i := w.segment(t, &g); i != 0 {
		w.lag.follow(w.slab.At(i), &g, f.Time)
	}
}

// hand passes a segment to the worker that owns it. That is the exception:
// the fanout program sends packets to the right ring, but for moments in which
// an interface comes up.
func (w *worker) hand(to, t int, g *packet.Segment) {
	p := w.set.pack(t, g)
	if w.peers[to].handover[w.index].Push(p) == 0 {
		w.set.parcels.Put(p.buf)
		w.counter.drop(HandoverFull, g)
		return
	}
	w.counter.HandedOver++
	w.woken[to] = true
}

// pack makes a parcel of a segment. It goes back to parcels.
func (s *settings) pack(t int, g *packet.Segment) parcel {
	p := parcel{segment: *g, transfer: t, buf: s.parcels.Get()}
	p.buf.B = append(append(p.buf.B[:0], g.Options...), g.Payload...)
	p.segment.Options = p.buf.B[:len(g.Options)]
	p.segment.Payload = p.buf.B[len(g.Options):]
	return p
}

func (w *worker) wakePeers() {
	for i, woken := range w.woken {
		if woken {
			w.woken[i] = false
			w.peers[i].wake()
		}
	}
}

func (w *worker) takeParcels() (n int) {
	for i, q := range w.handover {
		if i == w.index {
			continue
		}
		for p := q.Peek(); p != nil && n < round; p = q.Peek() {
			w.counter.TakenOver++
			w.segment(p.transfer, &p.segment)
			w.set.parcels.Put(p.buf)
			*p = parcel{}
			q.Drop()
			n++
		}
	}
	return n
}

// segment gives a client's segment to its session, which may be a new one, and
// to the further copies of it. It returns the session's index, or 0.
func (w *worker) segment(t int, g *packet.Segment) uint32 {
	w.counter.Matched[t]++
	w.counter.MatchedBytes[t] += uint64(g.Len)
	i := w.clientSession(g)
	if i != 0 && w.core.Restarts(w.slab.At(i), g) {
		w.supersede(i)
		i = 0
	}
	if i == 0 {
		d, ok := w.admit(t, g)
		if !ok {
			w.counter.drop(d, g)
			return 0
		}
		i = w.begin(t, g)
	}
	w.counter.Accepted++
	s := w.slab.At(i)
	w.core.Client(s, g, w.now)
	w.touch(i, s)
	copies := 1
	for k := w.extra[i].next; k != 0; k = w.extra[k].next {
		s := w.slab.At(k)
		w.core.Copy(s, g, w.now)
		w.touch(k, s)
		copies++
	}
	w.admission.bytes.take(float64(g.Len * copies))
	return i
}

// takeReplies reads what the links brought: of each what one read gives.
func (w *worker) takeReplies() (n int) {
	for i := 0; i < len(w.inlets); {
		in := w.inlets[i]
		k, open := in.Read(w.take)
		n += k
		if !open {
			w.thread.Load().poller.Forget(in.FD())
			w.inlets = slices.Delete(w.inlets, i, i+1)
			continue
		}
		i++
	}
	for _, q := range w.replies {
		if q == nil {
			continue
		}
		for k := 0; k < round; k++ {
			r := q.Peek()
			if r == nil {
				break
			}
			w.reply(r)
			q.Drop()
			n++
		}
	}
	return n
}

// takeBatch takes replies of a link. It has only this worker's, where each
// worker reads one link and all are up.
func (w *worker) takeBatch(batch []packet.Reply) {
	for k := range batch {
		r := &batch[k]
		to := packet.Shard(r.Dst.Port, len(w.peers))
		switch {
		case to == w.index:
			w.reply(r)
		case w.peers[to].replies[w.index].Push(*r) == 0:
			w.counter.RepliesLost++
		default:
			w.woken[to] = true
		}
	}
}

func (w *worker) reply(r *packet.Reply) {
	w.counter.Replies++
	i := w.endSession(r.Dst)
	if i == 0 || w.slab.At(i).Target != r.Src {
		w.counter.RepliesNoSession++
		return
	}
	s := w.slab.At(i)
	w.core.Reply(s, r, w.now)
	w.touch(i, s)
}

// fire is the wheel's: a session's deadline may have come.
func (w *worker) fire(i uint32) {
	s := w.slab.At(i)
	if w.now >= s.Deadline(w.core) || w.feed != nil && w.feed.clients >= s.ClientDeadline(w.core) {
		w.core.Timer(s, w.now)
	}
	w.touch(i, s)
}

// touch remembers that the session wants its Output.
func (w *worker) touch(i uint32, s *session.Session) {
	if !s.Dirty {
		s.Dirty = true
		w.dirty = append(w.dirty, i)
	}
}
