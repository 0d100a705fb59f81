package flow

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// Rest remembers each endpoint that is added for the same time: those that the
// target may keep in TIME-WAIT, or those of clients that were refused. It is
// bounded; the oldest are forgotten first.
type Rest struct {
	period int64 // ms
	seed   uint64
	ring   []resting // a power of two
	first  uint64    // number of the oldest; endpoints are numbered as they are added
	next   uint64    // number of the next one
	table  Table     // numbers by endpoint, as index makes them
}

type resting struct {
	endpoint packet.Endpoint
	until    int64
}

// maxRest bounds a Rest: a minute at more than 4,000 a second.
const maxRest = 1 << 18

// NewRest makes a Rest that remembers for period milliseconds.
func NewRest(period int64, seed uint64) *Rest {
	return &Rest{period: period, seed: seed, ring: make([]resting, 64)}
}

func (r *Rest) at(n uint64) *resting { return &r.ring[n&uint64(len(r.ring)-1)] }

// index is what the table holds for number n.
func index(n uint64) uint32 { return uint32(n&(1<<31-1)) + 1 }

// Add remembers e from now on, ms.
func (r *Rest) Add(e packet.Endpoint, now int64) {
	if r.next-r.first == maxRest {
		r.drop()
	}
	if r.next-r.first == uint64(len(r.ring)) {
		ring := make([]resting, 2*len(r.ring))
		for n := r.first; n != r.next; n++ {
			ring[n&uint64(len(ring)-1)] = *r.at(n)
		}
		r.ring = ring
	}
	*r.at(r.next) = resting{e, now + r.period}
	r.table.Insert(e.Hash(r.seed), index(r.next))
	r.next++
}

// Has reports whether e is remembered.
func (r *Rest) Has(e packet.Endpoint) bool {
	return r.table.Find(e.Hash(r.seed), func(i uint32) bool {
		return r.at(uint64(i-1)).endpoint == e
	}) != 0
}

// Expire forgets what was added a period ago.
func (r *Rest) Expire(now int64) {
	for r.first != r.next && r.at(r.first).until <= now {
		r.drop()
	}
}

func (r *Rest) drop() {
	r.table.Delete(r.at(r.first).endpoint.Hash(r.seed), index(r.first))
	r.first++
}
