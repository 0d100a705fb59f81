// Package reply brings the target's replies to the tcpcopy whose session they
// belong to: Capture reads them from the interfaces, Router knows whose they
// are, a Sink takes them away. It serves intercept, where a sink is a link, and
// tcpcopy itself, where the replies come home without an intercept.
package reply

import (
	"net/netip"
	"sync/atomic"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// Sink takes replies. Deliver may be called from several goroutines at once;
// batch is valid during the call. It neither waits nor fails: what it cannot
// pass on it drops and counts.
type Sink interface {
	Deliver(batch []packet.Reply)
}

// Member is one lane of an owner as it presents itself. A tcpcopy is an owner;
// each of its links is a lane.
type Member struct {
	ID     [16]byte // of the owner
	Name   string   // of the owner, for messages
	Index  int      // which of its Count lanes
	Count  int
	Claims []netip.Prefix // of the owner, all of them; masked
}

// Lane is a sink in the router, from Join to Leave.
type Lane struct {
	sink  Sink
	owner *owner
	index int
	slot  int // small number that no other present lane has, for tables of captures
	sync  uint32
	hurry atomic.Bool
}

// Hurry says whether who is behind the lane waits for its replies. Then a
// capture does not keep them for the sake of others.
func (l *Lane) Hurry(on bool) { l.hurry.Store(on) }

// Hurrying reports what Hurry said last.
func (l *Lane) Hurrying() bool { return l.hurry.Load() }

// owner is who claims endpoints. The router's lock guards it, but for lanes.
type owner struct {
	id     [16]byte
	name   string
	number uint16 // its index in Router.owners
	lanes  atomic.Pointer[[]*Lane]
	alive  int   // lanes that are there
	left   int64 // when the last lane left, ns
	claims []span
}

// lane is the lane that replies to port go through: the one that Shard names,
// so that the replies of a connection stay in order, or the next while that is
// away. nil if none is there.
func (o *owner) lane(port uint16) *Lane {
	lanes := *o.lanes.Load()
	n := len(lanes)
	at := packet.Shard(port, n)
	for range n {
		if l := lanes[at]; l != nil {
			return l
		}
		if at++; at == n {
			at = 0
		}
	}
	return nil
}

// setLane puts l, which may be nil, at index among n lanes.
func (o *owner) setLane(index, n int, l *Lane) {
	lanes := make([]*Lane, n)
	copy(lanes, *o.lanes.Load())
	lanes[index] = l
	o.lanes.Store(&lanes)
	o.alive = 0
	for _, l := range lanes {
		if l != nil {
			o.alive++
		}
	}
}
