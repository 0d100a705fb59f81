package reply

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// Limits of a router.
const (
	MaxOwners = 1024
	MaxFlows  = 4 << 20
)

// Router knows which outlet a reply belongs to. Owners claim prefixes, which it
// looks up in a sorted table, or single endpoints, which it keeps in a hash
// table; readers take no lock on either. It is made by NewRouter.
type Router struct {
	grace  time.Duration
	spans  atomic.Pointer[spans]
	owners atomic.Pointer[[]*owner] // by number; nil where a number is free
	flows  flows
	delay  delayTable

	flowOwners atomic.Int32  // owners that claim no prefixes, so that a claim may yet come
	released   atomic.Uint64 // held replies that were delivered after all

	mu    sync.Mutex // held by whoever changes the above
	slots []bool     // of outlets, in use
	syncs uint32     // lists of flows begun
}

// NewRouter makes a router that keeps the claims of an owner without outlets for
// grace, and holds up to delay replies whose claims are on their way.
func NewRouter(grace time.Duration, delay int) *Router {
	r := &Router{grace: grace, delay: delayTable{size: delay}}
	r.spans.Store(&spans{})
	r.owners.Store(&[]*owner{})
	r.flows.init()
	return r
}

// Join puts an outlet into the router. m's claims replace those that its owner made
// before. They may not overlap those of another owner, unless that one has no
// outlet any more: then it loses what it had claimed. An error is one line for
// the peer.
func (r *Router) Join(m Member, sink Sink) (*Outlet, error) {
	if m.Count < 1 || m.Index < 0 || m.Index >= m.Count {
		return nil, fmt.Errorf("connection %d of %d does not exist", m.Index, m.Count)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.owner(m.ID)
	if o != nil && len(*o.outlets.Load()) != m.Count {
		if o.alive > 0 {
			return nil, fmt.Errorf("%s has %d connections here, not %d", o.name, len(*o.outlets.Load()), m.Count)
		}
		r.free(o)
		o = nil
	}
	fresh := o == nil
	if fresh {
		o = &owner{id: m.ID}
		o.outlets.Store(&[]*Outlet{})
	}
	claims := make([]span, 0, len(m.Claims))
	for _, p := range m.Claims {
		s, err := spanOf(p, o)
		if err != nil {
			return nil, err
		}
		claims = append(claims, s)
	}
	if err := r.makeRoom(o, claims); err != nil {
		return nil, err
	}
	if fresh {
		if !r.number(o) {
			return nil, fmt.Errorf("%d tcpcopys are served already", MaxOwners)
		}
	} else if len(o.claims) == 0 {
		r.flowOwners.Add(-1)
	}
	if len(claims) == 0 {
		r.flowOwners.Add(1)
	}
	o.name, o.claims = m.Name, claims
	out := &Outlet{sink: sink, owner: o, index: m.Index, slot: r.slot()}
	if old := *o.outlets.Load(); m.Index < len(old) && old[m.Index] != nil {
		r.slots[old[m.Index].slot] = false
	}
	o.setOutlet(m.Index, m.Count, out)
	r.buildSpans()
	return out, nil
}

// Leave removes an outlet. The owner's claims stay for the grace.
func (r *Router) Leave(out *Outlet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.present(out) {
		return
	}
	r.slots[out.slot] = false
	out.owner.setOutlet(out.index, len(*out.owner.outlets.Load()), nil)
	out.owner.left = time.Now().UnixNano()
}

// Sweep drops what has run out: held replies, claims of owners that are gone.
// It is to be called a few times a second.
func (r *Router) Sweep(now time.Time) {
	r.delay.expire(now.UnixNano())
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range *r.owners.Load() {
		if o != nil && o.alive == 0 && now.UnixNano()-o.left > int64(r.grace) {
			r.free(o)
		}
	}
}

// AddFlows claims es for l's owner and returns how many it does not get,
// because another owner has them or the table is full.
func (r *Router) AddFlows(out *Outlet, es []packet.Endpoint) (refused int) {
	r.mu.Lock()
	if !r.present(out) {
		r.mu.Unlock()
		return len(es)
	}
	owners := *r.owners.Load()
	table := *r.spans.Load()
	for i := range es {
		e := &es[i]
		if n, ok := r.flows.find(e); ok && owners[n] != out.owner && owners[n].alive > 0 {
			refused++
			continue
		}
		switch o := table.find(&e.Addr); {
		case o == out.owner:
			continue // its prefix covers it
		case o != nil && o.alive > 0:
			refused++
			continue
		}
		if r.flows.live.Load() >= MaxFlows {
			refused++
			continue
		}
		r.flows.set(e, flowFact{owner: out.owner.number, outlet: uint8(out.index), sync: out.sync})
	}
	r.mu.Unlock()
	// Always under the table's lock: a capture that did not find the claim may
	// be about to put its reply there.
	r.deliverHeld(out, es)
	return refused
}

// DelFlows gives back what AddFlows claimed.
func (r *Router) DelFlows(out *Outlet, es []packet.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.present(out) {
		return
	}
	for i := range es {
		if s := r.flows.slot(&es[i]); s != nil && s.fact().owner == out.owner.number {
			s.drop()
			r.flows.live.Add(-1)
		}
	}
}

// BeginList says that out is about to name all its flows; EndList that it has.
// Those that an earlier connection had claimed and this list did not are gone
// then.
func (r *Router) BeginList(out *Outlet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.syncs++
	out.sync = r.syncs
}

// EndList ends what BeginList began.
func (r *Router) EndList(out *Outlet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.present(out) {
		return
	}
	r.flows.remove(func(f flowFact) bool {
		return f.owner == out.owner.number && int(f.outlet) == out.index && f.sync != out.sync
	})
}

// Claims yields the prefixes that are claimed now, each with its owner's name,
// and the zero Prefix where single endpoints are claimed.
func (r *Router) Claims(yield func(p netip.Prefix, owner string) bool) {
	for _, s := range *r.spans.Load() {
		if !yield(s.prefix, s.owner.name) {
			return
		}
	}
	if r.flows.live.Load() > 0 {
		yield(netip.Prefix{}, "those that claim clients' own addresses")
	}
}

// RouterStats are a router's gauges, and what became of the replies that its
// captures count as Held:
//
//	Counts.Held = Held + Released + Expired
type RouterStats struct {
	Claims, Flows int
	Held          int    // wait now
	Released      uint64 // were delivered when their claim came
	Expired       uint64 // waited in vain, or gave way to others
}

// Stats may be called from any goroutine.
func (r *Router) Stats() RouterStats {
	return RouterStats{
		Claims:   len(*r.spans.Load()),
		Flows:    int(r.flows.live.Load()),
		Held:     int(r.delay.held.Load()),
		Released: r.released.Load(),
		Expired:  r.delay.expired.Load(),
	}
}

// outcome is what became of a reply in the router.
type outcome uint8

const (
	routed    outcome = iota
	noSession         // nobody claims its destination
	linkDown          // its owner has no outlet at present
)

// route finds the outlet of a reply to e. Any goroutine may call it.
func (r *Router) route(e *packet.Endpoint) (*Outlet, outcome) {
	var o *owner
	if n, ok := r.flows.find(e); ok {
		// Between find and here the owner may have gone.
		if owners := *r.owners.Load(); int(n) < len(owners) {
			o = owners[n]
		}
	} else {
		o = r.spans.Load().find(&e.Addr)
	}
	if o == nil {
		return nil, noSession
	}
	if out := o.outlet(e.Port); out != nil {
		return out, routed
	}
	return nil, linkDown
}

// hold keeps p, which nobody claims, if it may be the first of a session whose
// claim is on its way: the answer to a SYN. If the claim came in this moment,
// its outlet is returned.
func (r *Router) hold(p *packet.Reply, now int64) (out *Outlet, kept bool) {
	if p.Flags&(packet.SYN|packet.RST) == 0 || r.flowOwners.Load() == 0 || r.delay.size == 0 {
		return nil, false
	}
	r.delay.mu.Lock()
	defer r.delay.mu.Unlock()
	// AddFlows first fills the table and then looks here, so a claim is seen
	// by one of both.
	if out, _ := r.route(&p.Dst); out != nil {
		return out, false
	}
	r.delay.put(p, now)
	return nil, true
}

// deliverHeld delivers to out what was held for es.
func (r *Router) deliverHeld(out *Outlet, es []packet.Endpoint) {
	var batch []packet.Reply
	r.delay.mu.Lock()
	for _, e := range es {
		if to, _ := r.route(&e); to != nil && to.owner == out.owner {
			batch = r.delay.remove(e, batch)
		}
	}
	r.delay.mu.Unlock()
	if len(batch) > 0 {
		r.released.Add(uint64(len(batch)))
		out.sink.Deliver(batch)
	}
}
