package reply

import "fmt"

// What follows changes the router's tables; the caller holds its lock.

// owner returns the owner of that ID, nil if there is none.
func (r *Router) owner(id [16]byte) *owner {
	for _, o := range *r.owners.Load() {
		if o != nil && o.id == id {
			return o
		}
	}
	return nil
}

// present reports whether out still speaks for its owner: another connection may
// have taken its place, and the owner may be gone.
func (r *Router) present(out *Outlet) bool {
	outlets := *out.owner.outlets.Load()
	return out.index < len(outlets) && outlets[out.index] == out
}

// makeRoom sees that nobody else holds what o claims.
func (r *Router) makeRoom(o *owner, claims []span) error {
	var gone []*owner
	for _, other := range *r.owners.Load() {
		if other == nil || other == o {
			continue
		}
		a, b, overlap := firstOverlap(claims, other.claims)
		switch {
		case !overlap:
		case other.alive > 0:
			return fmt.Errorf("%v overlaps %v, which %s has claimed: give each tcpcopy addresses of its own", a.prefix, b.prefix, other.name)
		default:
			gone = append(gone, other)
		}
	}
	for _, other := range gone {
		r.free(other)
	}
	return nil
}

func firstOverlap(as, bs []span) (a, b span, ok bool) {
	for _, a := range as {
		for _, b := range bs {
			if a.overlaps(b) {
				return a, b, true
			}
		}
	}
	return a, b, false
}

// number enters o into the table of owners.
func (r *Router) number(o *owner) bool {
	old := *r.owners.Load()
	at := len(old)
	for i, other := range old {
		if other == nil {
			at = i
			break
		}
	}
	if at == MaxOwners {
		return false
	}
	owners := make([]*owner, max(len(old), at+1))
	copy(owners, old)
	owners[at] = o
	o.number = uint16(at)
	r.owners.Store(&owners)
	return true
}

// free takes o and all that it claimed out.
func (r *Router) free(o *owner) {
	r.flows.remove(func(f flowFact) bool { return f.owner == o.number })
	if len(o.claims) == 0 {
		r.flowOwners.Add(-1)
	}
	o.claims = nil
	owners := append([]*owner(nil), *r.owners.Load()...)
	owners[o.number] = nil
	r.owners.Store(&owners)
	r.buildSpans()
}

// buildSpans makes the table of prefixes anew.
func (r *Router) buildSpans() {
	var all []span
	for _, o := range *r.owners.Load() {
		if o != nil {
			all = append(all, o.claims...)
		}
	}
	t := makeSpans(all)
	r.spans.Store(&t)
}

// slot finds a number for an outlet.
func (r *Router) slot() int {
	for i, taken := range r.slots {
		if !taken {
			r.slots[i] = true
			return i
		}
	}
	r.slots = append(r.slots, true)
	return len(r.slots) - 1
}
