package conf

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// poolBits is the size of the largest pool of a family as host bits: 65,536
// addresses, which is every port of theirs for four thousand million
// connections. The C tool stops at 4,096.
const poolBits = 16

// Pool is the set of addresses that sessions show to the target in place of
// their clients' (-c).
type Pool struct {
	prefixes []netip.Prefix // masked, their used parts disjoint; single addresses are /32 or /128
	excluded []netip.Addr
}

// ParsePool reads the items of -c: an address, a.b.c.x for the /24, or a CIDR
// prefix. An IPv4 prefix may hold 65,536 addresses; of a larger IPv6 prefix the
// first 65,536 are used.
func ParsePool(items []string) (*Pool, error) {
	p := new(Pool)
	for _, s := range items {
		prefix, err := parsePrefix(s)
		if err != nil {
			return nil, err
		}
		p.add(prefix)
	}
	if len(p.prefixes) == 0 {
		return nil, fmt.Errorf("the list of client addresses is empty; write one such as 10.1.3.x, or leave it out")
	}
	for _, is4 := range []bool{true, false} {
		if n := p.size(is4); n > 1<<poolBits {
			return nil, fmt.Errorf("%s are %d addresses; at most %d of a family are used, name fewer", p, n, 1<<poolBits)
		}
	}
	return p, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	var none netip.Prefix
	if head, ok := strings.CutSuffix(s, ".x"); ok {
		s = head + ".0/24"
	}
	if !strings.Contains(s, "/") {
		a, err := parseAddr(s)
		if err != nil {
			return none, fmt.Errorf("%q is neither an address, nor 10.1.3.x, nor a prefix such as 10.1.3.0/24 or fd00:3::/64", s)
		}
		return checkPrefix(netip.PrefixFrom(a, a.BitLen()))
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return none, fmt.Errorf("%q is neither an address, nor 10.1.3.x, nor a prefix such as 10.1.3.0/24 or fd00:3::/64", s)
	}
	if p.Addr().Is4In6() {
		return none, fmt.Errorf("%q holds IPv4 addresses; write them as IPv4", s)
	}
	if p.Masked() != p {
		return none, fmt.Errorf("%q has bits behind its prefix length; write %v or %v", s, p.Masked(), p.Addr())
	}
	return checkPrefix(p)
}

// notForClients are the addresses that no packet of a client can have, or
// whose answers no router forwards.
var notForClients = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/80"), // unspecified, loopback, compatible and mapped IPv4
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

func checkPrefix(p netip.Prefix) (netip.Prefix, error) {
	if p.Addr().Is4() && p.Bits() < 32-poolBits {
		return p, fmt.Errorf("%v is too large; the largest IPv4 prefix is a /%d", p, 32-poolBits)
	}
	for _, bad := range notForClients {
		if bad.Overlaps(used(p)) {
			return p, fmt.Errorf("%s holds addresses of %v, which no client can have; choose another", item(p), bad)
		}
	}
	return p, nil
}

// used is the part of p that addresses are taken from.
func used(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr(), max(p.Bits(), p.Addr().BitLen()-poolBits))
}

// add joins q to the set. What is used of two prefixes is nested or disjoint.
func (p *Pool) add(q netip.Prefix) {
	inside := func(in, out netip.Prefix) bool {
		in, out = used(in), used(out)
		return out.Bits() <= in.Bits() && out.Contains(in.Addr())
	}
	if slices.ContainsFunc(p.prefixes, func(o netip.Prefix) bool { return inside(q, o) }) {
		return
	}
	p.prefixes = slices.DeleteFunc(p.prefixes, func(o netip.Prefix) bool { return inside(o, q) })
	p.prefixes = append(p.prefixes, q)
}

func (p *Pool) size(is4 bool) (n int) {
	for _, q := range p.prefixes {
		if q.Addr().Is4() == is4 {
			n += 1 << (q.Addr().BitLen() - used(q).Bits())
		}
	}
	return n
}

// Exclude takes a from the pool and reports whether it was in it.
func (p *Pool) Exclude(a netip.Addr) bool {
	a = a.Unmap()
	if slices.Contains(p.excluded, a) || !slices.ContainsFunc(p.prefixes, func(q netip.Prefix) bool { return host(q, a) }) {
		return false
	}
	p.excluded = append(p.excluded, a)
	return true
}

// host reports whether a is an address of q for a host: within the used part,
// neither the network's address and the broadcast address of IPv4 nor the
// subnet-router anycast address of IPv6 (RFC 4291, 2.6.1). Prefixes of two
// addresses have neither (RFC 3021, RFC 6164).
func host(q netip.Prefix, a netip.Addr) bool {
	u := used(q)
	if !u.Contains(a) {
		return false
	}
	if q.Bits() >= q.Addr().BitLen()-1 {
		return true
	}
	return a != q.Addr() && (a.Is6() || u.Contains(a.Next()))
}

// Addrs4 returns the IPv4 addresses of the pool.
func (p *Pool) Addrs4() []netip.Addr { return slices.Collect(p.all(true)) }

// Addrs6 returns the IPv6 addresses of the pool.
func (p *Pool) Addrs6() []netip.Addr { return slices.Collect(p.all(false)) }

func (p *Pool) all(is4 bool) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, q := range p.prefixes {
			if q.Addr().Is4() != is4 {
				continue
			}
			u := used(q)
			for a := u.Addr(); u.Contains(a); a = a.Next() {
				if host(q, a) && !slices.Contains(p.excluded, a) && !yield(a) {
					return
				}
			}
		}
	}
}

// count is how many addresses of the family there are.
func (p *Pool) count(is4 bool) (n int) {
	for range p.all(is4) {
		n++
	}
	return n
}

// Prefixes returns what the pool claims on the link: the used part of each
// prefix, a /32 or /128 for a single address.
func (p *Pool) Prefixes() []netip.Prefix {
	out := make([]netip.Prefix, len(p.prefixes))
	for i, q := range p.prefixes {
		out[i] = used(q)
	}
	return out
}

// items returns the pool as ParsePool reads it.
func (p *Pool) items() []string {
	out := make([]string, len(p.prefixes))
	for i, q := range p.prefixes {
		out[i] = item(q)
	}
	return out
}

func item(q netip.Prefix) string {
	if q.IsSingleIP() {
		return q.Addr().String()
	}
	return q.String()
}

func (p *Pool) String() string { return strings.Join(p.items(), ",") }

// RefuseHosts tells of hosts in next that have an address of the pool, which is
// what copies show to targets. A nil pool has none.
func (p *Pool) RefuseHosts(next *Tcpcopy) error {
	if p == nil {
		return nil
	}
	var hosts []netip.Addr
	for _, t := range next.Transfers {
		hosts = append(hosts, t.Target.Addr(), t.Online.Addr())
	}
	for _, a := range next.Intercepts {
		hosts = append(hosts, a.Addr())
	}
	all := append(p.Addrs4(), p.Addrs6()...)
	for _, a := range hosts {
		if slices.Contains(all, a) {
			return fmt.Errorf("session.clients: copies have the address %v, which is a host's now; restart, or take another host", a)
		}
	}
	return nil
}
