// Package reply brings the target's replies to the tcpcopy whose session they
// belong to: Capture reads them from the interfaces, Router knows whose they
// are, a Sink carries them off. It serves intercept, where a sink is a link, and
// tcpcopy itself, where replies are captured without an intercept. It knows
// who claims which addresses and endpoints. It does not know sessions, links,
// or where an interface's packets come from when it went away and came back.
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

// Member is one outlet of an owner as it presents itself. A tcpcopy is an owner;
// each of its links is an outlet.
type Member struct {
	ID     [16]byte // of the owner
	Name   string   // of the owner, for messages
	Index  int      // which of its Count outlets
	Count  int
	Claims []netip.Prefix // of the owner, all of them; masked
}

// Outlet is a sink in the router, from Join to Leave.
type Outlet struct {
	sink   Sink
	owner  *owner
	index  int
	slot   int // small number that no other present outlet has, for tables of captures
	sync   uint32
	urgent atomic.Bool
}

// SetUrgent says whether who is behind the outlet waits for its replies. Then a
// capture does not keep them for the sake of others.
func (out *Outlet) SetUrgent(on bool) { out.urgent.Store(on) }

// Urgent reports what SetUrgent said last.
func (out *Outlet) Urgent() bool { return out.urgent.Load() }

// owner is who claims endpoints. The router's lock guards it, but for outlets.
type owner struct {
	id      [16]byte
	name    string
	number  uint16 // its index in Router.owners
	outlets atomic.Pointer[[]*Outlet]
	alive   int   // outlets that are there
	left    int64 // when the last outlet left, ns
	claims  []span
}

// outlet is the outlet that replies to port go through: the one that Shard names,
// so that the replies of a connection stay in order, or the next while that is
// away. nil if none is there.
func (o *owner) outlet(port uint16) *Outlet {
	outlets := *o.outlets.Load()
	n := len(outlets)
	at := packet.Shard(port, n)
	for range n {
		if out := outlets[at]; out != nil {
			return out
		}
		if at++; at == n {
			at = 0
		}
	}
	return nil
}

// setOutlet puts out, which may be nil, at index among n outlets.
func (o *owner) setOutlet(index, n int, out *Outlet) {
	outlets := make([]*Outlet, n)
	copy(outlets, *o.outlets.Load())
	outlets[index] = out
	o.outlets.Store(&outlets)
	o.alive = 0
	for _, out := range outlets {
		if out != nil {
			o.alive++
		}
	}
}
