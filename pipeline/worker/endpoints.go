package worker

import (
	"net/netip"
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/flow"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// endpoints are those that sessions show to their targets.
type endpoints struct {
	seed     uint64
	sessions *flow.Slab[session.Session]
	used     flow.Table // sessions by endpoint
	mapped   indexSet   // sessions that are in used, by index
	free     *flow.Endpoints
	resting  *flow.Rest // endpoints that the target may keep in TIME-WAIT

	claim   bool              // each endpoint has to be claimed
	added   []packet.Endpoint // of this pass
	removed []packet.Endpoint
}

func newEndpoints(c *Config, index int) endpoints {
	var pool4, pool6 []packet.Addr
	if c.Conf.Clients != nil {
		pool4, pool6 = addrs(c.Conf.Clients.Addrs4()), addrs(c.Conf.Clients.Addrs6())
	}
	return endpoints{
		seed:    c.seed,
		free:    flow.NewEndpoints(index, len(c.Counters), pool4, pool6, c.seed),
		resting: flow.NewRest(timeWait, c.seed),
		claim:   c.Conf.Clients == nil,
	}
}

func addrs(in []netip.Addr) []packet.Addr {
	out := make([]packet.Addr, len(in))
	for i, a := range in {
		out[i] = packet.AddrFrom(a)
	}
	return out
}

// find returns the session that shows e to its target, or 0.
func (p *endpoints) find(e packet.Endpoint) uint32 {
	return p.used.Find(e.Hash(p.seed), func(i uint32) bool { return p.sessions.At(i).Endpoint == e })
}

// assign gives session i an endpoint that its target does not know, and reports
// whether there is one. copy is its number among the copies of its client.
func (p *endpoints) assign(i uint32, s *session.Session, copy uint16, now session.Time) bool {
	again := s.Endpoint != packet.Endpoint{}
	p.release(i, s, now)
	choose := func(used func(packet.Endpoint) bool) (packet.Endpoint, bool) {
		return p.free.Choose(s.ClientEnd, copy, s.Target.Addr, again, used)
	}
	e, ok := choose(func(e packet.Endpoint) bool { return p.find(e) != 0 || p.resting.Has(e) })
	if !ok { // rather one that still rests than none
		e, ok = choose(func(e packet.Endpoint) bool { return p.find(e) != 0 })
	}
	if !ok {
		return false
	}
	s.Endpoint = e
	p.used.Insert(e.Hash(p.seed), i)
	p.mapped.add(i)
	if p.claim && !cancel(&p.removed, e) {
		p.added = append(p.added, e)
	}
	return true
}

// release takes the session's endpoint back, if it has one.
func (p *endpoints) release(i uint32, s *session.Session, now session.Time) {
	if !p.mapped.has(i) {
		return
	}
	p.mapped.remove(i)
	p.used.Delete(s.Endpoint.Hash(p.seed), i)
	if s.TargetWaits() {
		p.resting.Add(s.Endpoint, millis(now))
	}
	if p.claim && !cancel(&p.added, s.Endpoint) {
		p.removed = append(p.removed, s.Endpoint)
	}
}

// cancel takes e out of the list of what was to be told of this pass, if it is
// there: the opposite has happened since. It reports whether it was.
func cancel(list *[]packet.Endpoint, e packet.Endpoint) bool {
	i := slices.Index(*list, e)
	if i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
	return i >= 0
}

// announce tells which endpoints came into use in this pass, before the SYNs go
// out, and which went out of it.
func (p *endpoints) announce(to replies.Replies) {
	if len(p.added)+len(p.removed) > 0 {
		to.Claim(p.added, p.removed)
		p.added, p.removed = p.added[:0], p.removed[:0]
	}
}

// expire gives endpoints free that have rested long enough.
func (p *endpoints) expire(now session.Time) { p.resting.Expire(millis(now)) }

// appendTo appends the endpoints in use to es.
func (p *endpoints) appendTo(es []packet.Endpoint) []packet.Endpoint {
	p.mapped.each(func(i uint32) { es = append(es, p.sessions.At(i).Endpoint) })
	return es
}

// bytes is the memory that the endpoints in use take.
func (p *endpoints) bytes() int64 { return p.used.Bytes() + 8*int64(cap(p.mapped)) }
