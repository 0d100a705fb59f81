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

// Router knows which lane a reply belongs to. Owners claim prefixes, which it
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
	slots []bool     // of lanes, in use
	syncs uint32     // lists of flows begun
}

// NewRouter makes a router that keeps the claims of an owner without lanes for
// grace, and holds up to delay replies whose claims are on their way.
func NewRouter(grace time.Duration, delay int) *Router {
	r := &Router{grace: grace, delay: delayTable{size: delay}}
	r.spans.Store(&spans{})
	r.owners.Store(&[]*owner{})
	r.flows.init()
	return r
}

// Join puts a lane into the router. m's claims replace those that its owner made
// before. They may not overlap those of another owner, unless that one has no
// lane any more: then it loses what it had claimed. An error is one line for
// the peer.
func (r *Router) Join(m Member, sink Sink) (*Lane, error) {
	if m.Count < 1 || m.Index < 0 || m.Index >= m.Count {
		return nil, fmt.Errorf("connection %d of %d does not exist", m.Index, m.Count)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.owner(m.ID)
	if o != nil && len(*o.lanes.Load()) != m.Count {
		if o.alive > 0 {
			return nil, fmt.Errorf("%s has %d connections here, not %d", o.name, len(*o.lanes.Load()), m.Count)
		}
		r.free(o)
		o = nil
	}
	fresh := o == nil
	if fresh {
		o = &owner{id: m.ID}
		o.lanes.Store(&[]*Lane{})
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
	l := &Lane{sink: sink, owner: o, index: m.Index, slot: r.slot()}
	if old := *o.lanes.Load(); m.Index < len(old) && old[m.Index] != nil {
		r.slots[old[m.Index].slot] = false
	}
	o.setLane(m.Index, m.Count, l)
	r.buildSpans()
	return l, nil
}

// Leave takes l out. The owner's claims stay for the grace.
func (r *Router) Leave(l *Lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.present(l) {
		return
	}
	r.slots[l.slot] = false
	l.owner.setLane(l.index, len(*l.owner.lanes.Load()), nil)
	l.owner.left = time.Now().UnixNano()
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
func (r *Router) AddFlows(l *Lane, es []packet.Endpoint) (refused int) {
	r.mu.Lock()
	if !r.present(l) {
		r.mu.Unlock()
		return len(es)
	}
	owners := *r.owners.Load()
	table := *r.spans.Load()
	for i := range es {
		e := &es[i]
		if n, ok := r.flows.find(e); ok && owners[n] != l.owner && owners[n].alive > 0 {
			refused++
			continue
		}
		switch o := table.find(&e.Addr); {
		case o == l.owner:
			continue // its prefix covers it
		case o != nil && o.alive > 0:
			refused++
			continue
		}
		if r.flows.live.Load() >= MaxFlows {
			refused++
			continue
		}
		r.flows.set(e, flowFact{owner: l.owner.number, lane: uint8(l.index), sync: l.sync})
	}
	r.mu.Unlock()
	// Always under the table's lock: a capture that did not find the claim may
	// be about to put its reply there.
	r.release(l, es)
	return refused
}

// DelFlows gives back what AddFlows claimed.
func (r *Router) DelFlows(l *Lane, es []packet.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.present(l) {
		return
	}
	for i := range es {
		if s := r.flows.slot(&es[i]); s != nil && s.fact().owner == l.owner.number {
			s.drop()
			r.flows.live.Add(-1)
		}
	}
}

// BeginList says that l is about to name all its flows; EndList that it has.
// Those that an earlier connection had claimed and this list did not are gone
// then.
func (r *Router) BeginList(l *Lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.syncs++
	l.sync = r.syncs
}

// EndList ends what BeginList began.
func (r *Router) EndList(l *Lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.present(l) {
		return
	}
	r.flows.remove(func(f flowFact) bool {
		return f.owner == l.owner.number && int(f.lane) == l.index && f.sync != l.sync
	})
}

// Claim is a prefix that an owner claims.
type Claim struct {
	Prefix netip.Prefix
	Owner  string
}

// Claims returns the prefixes that are claimed now.
func (r *Router) Claims() []Claim {
	table := *r.spans.Load()
	cs := make([]Claim, len(table))
	for i, s := range table {
		cs[i] = Claim{s.prefix, s.owner.name}
	}
	return cs
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
	linkDown          // its owner has no lane at present
)

// route finds the lane of a reply to e. Any goroutine may call it.
func (r *Router) route(e *packet.Endpoint) (*Lane, outcome) {
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
	if l := o.lane(e.Port); l != nil {
		return l, routed
	}
	return nil, linkDown
}

// hold keeps p, which nobody claims, if it may be the first of a session whose
// claim is on its way: the answer to a SYN. If the claim came in this moment,
// its lane is returned.
func (r *Router) hold(p *packet.Reply, now int64) (l *Lane, kept bool) {
	if p.Flags&(packet.SYN|packet.RST) == 0 || r.flowOwners.Load() == 0 || r.delay.size == 0 {
		return nil, false
	}
	r.delay.mu.Lock()
	defer r.delay.mu.Unlock()
	// AddFlows first fills the table and then looks here, so a claim is seen
	// by one of both.
	if l, _ := r.route(&p.Dst); l != nil {
		return l, false
	}
	r.delay.put(p, now)
	return nil, true
}

// release delivers to l what was held for es.
func (r *Router) release(l *Lane, es []packet.Endpoint) {
	var batch []packet.Reply
	r.delay.mu.Lock()
	for _, e := range es {
		if to, _ := r.route(&e); to != nil && to.owner == l.owner {
			batch = r.delay.take(e, batch)
		}
	}
	r.delay.mu.Unlock()
	if len(batch) > 0 {
		r.released.Add(uint64(len(batch)))
		l.sink.Deliver(batch)
	}
}
