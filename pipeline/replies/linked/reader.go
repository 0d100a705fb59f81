package linked

import (
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Reader is the links that one worker reads. It belongs to the worker.
type Reader struct {
	urgency *replies.Urgency
	inlets  []*link.Inlet
	claims  []*link.Client // that are told of the endpoints that come and go
	poller  *ring.Poller   // that watches the inlets
}

var _ replies.Replies = (*Reader)(nil)

// open makes the worker the owner of an inlet.
func (r *Reader) open(in *link.Inlet) {
	r.inlets = append(r.inlets, in)
	r.poller.Watch(in.FD())
}

func (r *Reader) claimAt(all []*intercept) {
	r.claims = nil
	for _, x := range all {
		r.claims = append(r.claims, x.Client)
	}
}

// Take implements replies.Replies: of each link it takes what one read gives.
func (r *Reader) Take(_ int, give func([]packet.Reply)) (n int) {
	for i := 0; i < len(r.inlets); {
		in := r.inlets[i]
		k, open := in.Read(give)
		n += k
		if !open {
			r.poller.Forget(in.FD())
			r.inlets = slices.Delete(r.inlets, i, i+1)
			continue
		}
		i++
	}
	return n
}

// Claim implements replies.Replies.
func (r *Reader) Claim(added, removed []packet.Endpoint) {
	for _, c := range r.claims {
		if len(added) > 0 {
			c.AddFlows(added)
		}
	}
	for _, c := range r.claims {
		if len(removed) > 0 {
			c.DelFlows(removed)
		}
	}
}

// Urgent implements replies.Replies.
func (r *Reader) Urgent(urgent bool) { r.urgency.Change(urgent) }

// Attach implements replies.Replies.
func (r *Reader) Attach(p *ring.Poller) {
	r.poller = p
	for _, in := range r.inlets {
		p.Watch(in.FD())
	}
}

// Detach implements replies.Replies.
func (r *Reader) Detach() {
	for _, in := range r.inlets {
		r.poller.Forget(in.FD())
	}
}

// Waiting implements replies.Replies: the poller sees what links bring.
func (r *Reader) Waiting() bool { return false }

// Queued implements replies.Replies: links are read as they bring something.
func (r *Reader) Queued() int { return 0 }
