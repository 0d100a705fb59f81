// Package nexthop gives transfers the next hops towards their targets.
//
// It knows the kernel's routes and neighbours, by package ring. It does not know
// what is sent.
package nexthop

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Hops are the next hops of all transfers.
type Hops struct {
	out string // the interface to send by; "": as the route says
	all *ring.Hops
	log *slog.Logger
}

// New begins to follow the routes of the calling thread's namespace, until ctx
// ends.
func New(ctx context.Context, out string, log *slog.Logger) (*Hops, error) {
	all, err := ring.NewHops(ctx, out)
	return &Hops{out, all, log}, err
}

// Give gives each transfer of m that is not leaving its hop. undo removes those
// hops that are new.
func (h *Hops) Give(m *match.Matcher) (undo func(), err error) {
	var added []*ring.Hop
	undo = func() {
		for _, hop := range added {
			h.all.Remove(hop)
		}
	}
	known := map[netip.Addr]*ring.Hop{}
	for i := range m.Transfers {
		if t := &m.Transfers[i]; t.Hop != nil && !t.Hop.Static() {
			known[t.Target.Addr.Netip()] = t.Hop
		}
	}
	for i := range m.Transfers {
		t := &m.Transfers[i]
		addr := t.Target.Addr.Netip()
		switch {
		case t.Leaving:
		case t.Conf.NextHopMAC != nil:
			if t.Hop, err = ring.StaticHop(h.out, t.Conf.SourceMAC, t.Conf.NextHopMAC); err != nil {
				undo()
				return nil, err
			}
		case known[addr] == nil:
			// A route or neighbour that is missing may come: the hop becomes valid then.
			if known[addr], err = h.all.Add(addr); err != nil {
				h.log.Warn("target cannot be reached yet", "target", t.Conf.Target, "error", err)
			}
			added = append(added, known[addr])
			fallthrough
		default:
			t.Hop = known[addr]
		}
	}
	return undo, nil
}

// Prune removes the hops of m that no transfer of next has.
func (h *Hops) Prune(m, next *match.Matcher) {
	for _, t := range m.Transfers {
		if t.Hop != nil && !slices.ContainsFunc(next.Transfers, func(o match.Transfer) bool { return o.Hop == t.Hop }) {
			h.all.Remove(t.Hop)
		}
	}
}

// Len is how many hops follow a route.
func (h *Hops) Len() int { return h.all.Len() }
