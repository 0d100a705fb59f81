package worker

import (
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// Segment implements source.Consumer: it takes a client's segment as far as its
// session, or to the worker that has it.
func (w *Worker) Segment(transfer int, g *packet.Segment) {
	if i := w.handover.owner(g.Src.Port); i != w.handover.index {
		w.handover.segment(i, w.matcher, transfer, g)
		return
	}
	if i := w.segment(transfer, g); i != 0 && g.Time != 0 {
		w.sender.lag.follow(w.table.at(i), g)
	}
}

// segment gives a client's segment to its session, which may be a new one, and
// to the further copies of it. It returns the session's index, or 0.
func (w *Worker) segment(transfer int, g *packet.Segment) uint32 {
	w.counter.Matched[transfer]++
	w.counter.MatchedBytes[transfer] += uint64(g.Len)
	i := w.table.find(g.Src, g.Dst)
	if i != 0 && w.core.Restarts(w.table.at(i), g) {
		w.supersede(i)
		i = 0
	}
	if i == 0 {
		d, ok := w.admission.admit(g, w.matcher.Transfers[transfer].Leaving, w.table.slab.Len(), w.core.Used(), w.now)
		if !ok {
			w.counter.Drop(d, g)
			return 0
		}
		i = w.begin(transfer, g)
	}
	w.counter.Accepted++
	s := w.table.at(i)
	w.core.Client(s, g, w.now)
	w.touch(i, s)
	copies := 1
	for k := w.table.nextCopy(i); k != 0; k = w.table.nextCopy(k) {
		s := w.table.at(k)
		w.core.Copy(s, g, w.now)
		w.touch(k, s)
		copies++
	}
	w.admission.bytes.take(float64(g.Len * copies))
	return i
}

// begin makes the sessions for the client that sent g, one for each copy, and
// returns the first.
func (w *Worker) begin(transfer int, g *packet.Segment) (first uint32) {
	w.counter.Clients++
	last := uint32(0)
	for range w.admission.copies {
		last = w.table.add(last)
		s := w.table.at(last)
		s.ClientEnd, s.OnlineEnd = g.Src, g.Dst
		s.Transfer = uint16(transfer)
		s.Target = w.matcher.Transfers[transfer].Target
		w.table.byTransfer[transfer]++
		w.core.Begin(s, w.now)
		if first == 0 {
			first = last
		}
	}
	w.table.attach(first)
	return first
}

// supersede lets all copies of a client, of which i is the first, come to
// their ends by themselves: it has begun anew.
func (w *Worker) supersede(i uint32) {
	for i != 0 {
		next := w.table.nextCopy(i)
		s := w.table.at(i)
		w.table.detach(i)
		w.core.Superseded(s, w.now)
		w.touch(i, s)
		i = next
	}
}

// ClientTime implements source.Consumer.
func (w *Worker) ClientTime(t session.Time) {
	w.core.ClientTime(t)
	w.timers.reached = t
}

// EndOfRecording implements source.Consumer. What the recording holds when it is
// replayed again begins other sessions.
func (w *Worker) EndOfRecording() {
	w.table.each(func(i uint32, _ *session.Session) { w.table.detach(i) })
	w.Sessions(func(s *session.Session) { w.core.Finish(s, w.now) })
}

// Refuse implements source.Consumer: tcpcopy is ending.
func (w *Worker) Refuse(g *packet.Segment) { w.counter.Drop(account.ShuttingDown, g) }

// takeReplies takes what the targets answered, and what other workers handed
// over of it.
func (w *Worker) takeReplies() int {
	n := w.replies.Take(PassSize, w.take)
	for _, q := range w.handover.replies {
		for k := 0; k < PassSize; k++ {
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

// takeBatch takes replies. All are this worker's as long as each worker reads one
// link and all links are up.
func (w *Worker) takeBatch(batch []packet.Reply) {
	for k := range batch {
		r := &batch[k]
		if to := w.handover.owner(r.Dst.Port); to != w.handover.index {
			w.handover.reply(to, r)
			continue
		}
		w.reply(r)
	}
}

// reply gives a reply to its session.
func (w *Worker) reply(r *packet.Reply) {
	w.counter.Replies++
	i := w.endpoints.find(r.Dst)
	if i == 0 || w.table.at(i).Target != r.Src {
		w.counter.RepliesNoSession++
		return
	}
	s := w.table.at(i)
	w.core.Reply(s, r, w.now)
	w.touch(i, s)
}
