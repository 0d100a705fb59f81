// Package verdict judges a copy: it compares the access logs of production's
// servers with those of the target's, request by request.
package verdict

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// A Server is one server's access log.
type Server struct {
	Name string
	Log  []web.Entry
}

// Rules say what of two sides can be compared.
type Rules struct {
	// AfterFirst: connections may be older than the copy; on each, what came
	// before its first copied request is no loss.
	AfterFirst bool
	// Between the gateway's two sides connections have nothing in common, and
	// headers differ: a proxy stands between.
	Proxied bool
	// Window, where its end is not 0, limits what must have been copied to
	// what production answered at that time, in seconds since the epoch.
	Window [2]float64
}

// Result counts what became of production's requests. Only the first two are
// not faults.
type Result struct {
	Online, Target int // requests judged; requests at the target
	Before         int // older than the copy (Rules.AfterFirst)
	Missing        int // at production, not at the target
	Duplicated     int // more often at the target than at production
	OutOfOrder     int // after a later request of the same connection
	Foreign        int // at the target, never at production
	Altered        int // with another length or body
	Mixed          int // connections at the target with requests of several of production's
	Examples       []string
}

// Exact reports whether every request was copied exactly once, in order, and
// nothing else.
func (r *Result) Exact() bool {
	return r.Online > 0 && r.Missing+r.Duplicated+r.OutOfOrder+r.Foreign+r.Altered+r.Mixed == 0
}

// Ratio is the share of production's requests that reached the target.
func (r *Result) Ratio() float64 {
	return float64(r.Online-r.Missing) / float64(max(1, r.Online))
}

func (r *Result) String() string {
	s := fmt.Sprintf("%d at production, %d at the target: %.4f %% copied; %d before the copy, %d missing, %d duplicated, %d out of order, %d foreign, %d altered, %d mixed",
		r.Online, r.Target, 100*r.Ratio(), r.Before, r.Missing, r.Duplicated, r.OutOfOrder, r.Foreign, r.Altered, r.Mixed)
	for _, e := range r.Examples {
		s += "\n  " + e
	}
	return s
}

// maxExamples bounds Result.Examples.
const maxExamples = 12

func (r *Result) fault(n *int, format string, args ...any) {
	*n++
	// The first of each kind tell most.
	if *n <= 3 && len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// place is where a request was seen: server, connection, place on it.
type place struct {
	*web.Entry
	server int
}

// connection names a connection of one side. A server that was started again
// begins its numbers again.
type connection struct {
	server int
	id     uint64
	remote string
}

// Compare judges target's logs by online's.
func Compare(online, target []Server, rules Rules) *Result {
	r := &Result{}
	copies := map[string][]place{} // by URI, in order of time
	for s := range target {
		r.Target += len(target[s].Log)
		for i := range target[s].Log {
			e := &target[s].Log[i]
			copies[e.URI] = append(copies[e.URI], place{e, s})
		}
	}
	conns := map[connection][]*web.Entry{}
	seen := map[string]int{}
	for s := range online {
		for i := range online[s].Log {
			e := &online[s].Log[i]
			seen[e.URI]++
			c := connection{s, e.Conn, e.Remote}
			conns[c] = append(conns[c], e)
		}
	}
	r.foreign(target, seen)
	origin := map[connection]connection{} // of target's connections
	for _, c := range sorted(conns) {
		entries := conns[c]
		slices.SortStableFunc(entries, func(a, b *web.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
		r.follow(c, online[c.server].Name, entries, copies, seen, origin, rules)
	}
	return r
}

// foreign counts what the target got and production did not.
func (r *Result) foreign(target []Server, seen map[string]int) {
	for _, s := range target {
		for _, e := range s.Log {
			if seen[e.URI] == 0 {
				r.fault(&r.Foreign, "foreign: %s at %s, connection %d", e.URI, s.Name, e.Conn)
			}
		}
	}
}

// follow judges one of production's connections from its first request to its
// last.
func (r *Result) follow(c connection, name string, entries []*web.Entry, copies map[string][]place, seen map[string]int, origin map[connection]connection, rules Rules) {
	var last *place
	for i, e := range entries {
		got := copies[e.URI]
		if rules.AfterFirst && last == nil && len(got) == 0 {
			r.Before++
			continue
		}
		if w := rules.Window; w[1] > 0 && (e.Time < w[0] || e.Time >= w[1]) {
			continue
		}
		r.Online++
		if len(got) == 0 {
			r.fault(&r.Missing, "missing: %s, request %d of %d on connection %d of %s", e.URI, i+1, len(entries), c.id, name)
			continue
		}
		for range len(got) - seen[e.URI] {
			r.fault(&r.Duplicated, "duplicated: %s, %d times", e.URI, len(got))
		}
		at := got[0]
		if !rules.Proxied {
			r.match(c, e, at, last, origin)
		}
		last = &at
	}
}

// match compares a request with its copy at, whose predecessor's copy is last.
func (r *Result) match(c connection, e *web.Entry, at place, last *place, origin map[connection]connection) {
	if e.SHA256 != at.SHA256 || e.Length != at.Length {
		r.fault(&r.Altered, "altered: %s, length %d for %d, SHA-256 %s for %s", e.URI, at.Length, e.Length, at.SHA256, e.SHA256)
	}
	tc := connection{at.server, at.Conn, at.Remote}
	if first, ok := origin[tc]; ok && first != c {
		r.fault(&r.Mixed, "mixed: connection %d of target %d has requests of several connections, %s among them", at.Conn, at.server+1, e.URI)
	}
	origin[tc] = c
	if last == nil {
		return
	}
	same := last.server == at.server && last.Conn == at.Conn && last.Remote == at.Remote
	// A copied connection may have been opened again: then time tells.
	if same && at.Seq <= last.Seq || !same && at.Time < last.Time {
		r.fault(&r.OutOfOrder, "out of order: %s before %s", e.URI, last.URI)
	}
}

func sorted(conns map[connection][]*web.Entry) []connection {
	keys := make([]connection, 0, len(conns))
	for c := range conns {
		keys = append(keys, c)
	}
	slices.SortFunc(keys, func(a, b connection) int {
		return cmp.Or(cmp.Compare(a.server, b.server), cmp.Compare(a.id, b.id), cmp.Compare(a.remote, b.remote))
	})
	return keys
}
