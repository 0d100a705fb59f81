package worker

import (
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
)

// handover is the queues between workers, for what reached another worker than
// its session's.
type handover struct {
	index    int
	counter  *account.Counters
	parcels  *source.Parcels
	peers    []*Worker
	woken    []bool                       // peers that got something in this pass
	segments []*queue.SPSC[source.Parcel] // from worker i
	replies  []*queue.SPSC[packet.Reply]  // from worker i; none where all come to the right worker
}

func newHandover(c *Config, index int) handover {
	n := len(c.Counters)
	h := handover{index: index, counter: c.Counters[index], parcels: c.Parcels, woken: make([]bool, n)}
	for k := range n {
		segments, replies := 0, 0 // a worker hands itself nothing
		if k != index {
			segments = segmentsLen
			if len(c.Conf.Intercepts) > 0 { // any link may bring them; captured here they come sorted
				replies = repliesLen
			}
		}
		h.segments = append(h.segments, queue.New[source.Parcel](segments))
		h.replies = append(h.replies, queue.New[packet.Reply](replies))
	}
	return h
}

// count is how many workers there are.
func (h *handover) count() int { return len(h.woken) }

// owner is the worker that owns the port of a client, or of a session.
func (h *handover) owner(port uint16) int { return packet.Shard(port, len(h.woken)) }

// segment passes a segment to its owner. That is the exception: the kernel's fanout
// program puts packets into their owner's ring, except for moments in which an
// interface comes up.
func (h *handover) segment(to int, m *match.Matcher, transfer int, g *packet.Segment) {
	p := h.parcels.Pack(m, transfer, g)
	if h.peers[to].handover.segments[h.index].Push(p) == 0 {
		h.parcels.Free(&p)
		h.counter.Drop(account.HandoverFull, g)
		return
	}
	h.counter.HandedOver++
	h.woken[to] = true
}

// reply passes a reply to its owner.
func (h *handover) reply(to int, r *packet.Reply) {
	if h.peers[to].handover.replies[h.index].Push(*r) == 0 {
		h.counter.RepliesLost++
		return
	}
	h.woken[to] = true
}

// wakePeers wakes those that got something in this pass.
func (h *handover) wakePeers() {
	for i, woken := range h.woken {
		if woken {
			h.woken[i] = false
			h.peers[i].Wake()
		}
	}
}

// waiting reports whether another worker handed something over.
func (h *handover) waiting() bool {
	for i := range h.segments {
		if h.segments[i].Len() > 0 || h.replies[i].Len() > 0 {
			return true
		}
	}
	return false
}

// queued is how many replies wait. Any goroutine may call it.
func (h *handover) queued() (n int) {
	for _, q := range h.replies {
		n += q.Len()
	}
	return n
}

// takeHanded takes the segments that other workers handed over.
func (w *Worker) takeHanded() (n int) {
	h := &w.handover
	for _, q := range h.segments {
		for p := q.Peek(); p != nil && n < PassSize; p = q.Peek() {
			w.counter.TakenOver++
			if p.Of(w.matcher) {
				w.segment(p.Transfer, &p.Segment)
			} else {
				w.counter.Drop(account.TransferRemoved, &p.Segment)
			}
			h.parcels.Free(p)
			q.Drop()
			n++
		}
	}
	return n
}
