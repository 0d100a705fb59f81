package local

import (
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Reader is the queue of one worker's replies.
type Reader struct {
	all   *Replies
	queue *queue.SPSC[packet.Reply]
}

var _ replies.Replies = (*Reader)(nil)

func newReader(l *Replies) *Reader { return &Reader{l, queue.New[packet.Reply](queueLen)} }

// Deliver implements reply.Sink: it gives a batch to the workers that own the
// sessions and wakes each of them once.
func (l *Replies) Deliver(batch []packet.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var touched uint64
	for i := range batch {
		k := packet.Shard(batch[i].Dst.Port, len(l.readers))
		if l.readers[k].queue.Push(batch[i]) == 0 {
			l.lost.Add(1)
		}
		touched |= 1 << (k % 64)
	}
	for k, w := range l.workers {
		if touched&(1<<(k%64)) != 0 {
			w.Wake()
		}
	}
}

// Take implements replies.Replies.
func (r *Reader) Take(max int, give func([]packet.Reply)) (n int) {
	for n < max {
		batch := r.queue.Batch(max - n)
		if len(batch) == 0 {
			break
		}
		give(batch)
		r.queue.DropBatch(len(batch))
		n += len(batch)
	}
	return n
}

// Waiting implements replies.Replies.
func (r *Reader) Waiting() bool { return r.queue.Len() > 0 }

// Queued implements replies.Replies.
func (r *Reader) Queued() int { return r.queue.Len() }

// Claim implements replies.Replies. No other owner can refuse one.
func (r *Reader) Claim(added, removed []packet.Endpoint) {
	if len(added) > 0 {
		r.all.router.AddFlows(r.all.outlet, added)
	}
	if len(removed) > 0 {
		r.all.router.DelFlows(r.all.outlet, removed)
	}
}

// Urgent implements replies.Replies.
func (r *Reader) Urgent(urgent bool) { r.all.urgency.Change(urgent) }

// Attach implements replies.Replies: who delivers wakes the worker.
func (r *Reader) Attach(*ring.Poller) {}

// Detach implements replies.Replies.
func (r *Reader) Detach() {}
