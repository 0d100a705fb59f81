package reply

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// word is an address as two numbers, which compare faster than bytes.
type word struct{ hi, lo uint64 }

func wordOf(a *packet.Addr) word {
	return word{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

func (w word) less(v word) bool { return w.hi < v.hi || w.hi == v.hi && w.lo < v.lo }

// span is a range of addresses with both its ends, and who claims it.
type span struct {
	first, last word
	owner       *owner
	prefix      netip.Prefix
}

func (s span) overlaps(t span) bool { return !s.last.less(t.first) && !t.last.less(s.first) }

// spanOf converts p. IPv6 prefixes that are so short that they hold the mapped
// IPv4 addresses are not taken: they would claim every IPv4 reply too.
func spanOf(p netip.Prefix, o *owner) (span, error) {
	if !p.IsValid() {
		return span{}, fmt.Errorf("prefix %v is not ADDRESS/LENGTH", p)
	}
	a := packet.AddrFrom(p.Masked().Addr())
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	} else if p.Overlaps(mapped) {
		return span{}, fmt.Errorf("prefix %v holds the IPv4-mapped addresses %v: claim narrower prefixes", p, mapped)
	}
	s := span{first: wordOf(&a), owner: o, prefix: p}
	s.last = s.first
	switch {
	case bits <= 64:
		s.last.hi |= ^uint64(0) >> bits
		s.last.lo = ^uint64(0)
	default:
		s.last.lo |= ^uint64(0) >> (bits - 64)
	}
	return s, nil
}

var mapped = netip.MustParsePrefix("::ffff:0:0/96")

// spans is a table of spans in order, none of which overlap.
type spans []span

// makeSpans sorts all and leaves out those that lie within another: an owner
// may claim a prefix and a part of it.
func makeSpans(all []span) spans {
	slices.SortFunc(all, func(a, b span) int {
		if c := cmp.Or(cmp.Compare(a.first.hi, b.first.hi), cmp.Compare(a.first.lo, b.first.lo)); c != 0 {
			return c
		}
		return cmp.Compare(a.prefix.Bits(), b.prefix.Bits())
	})
	var t spans
	for _, s := range all {
		if len(t) == 0 || t[len(t)-1].last.less(s.first) {
			t = append(t, s)
		}
	}
	return t
}

// find returns who claims a, nil if nobody does.
func (t spans) find(a *packet.Addr) *owner {
	w := wordOf(a)
	i := sort.Search(len(t), func(i int) bool { return w.less(t[i].first) }) - 1
	if i < 0 || t[i].last.less(w) {
		return nil
	}
	return t[i].owner
}
