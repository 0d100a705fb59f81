package filter

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// value reads one value and makes the condition that p.quals say of it.
func (p *parser) value() expr {
	q := p.quals
	switch q.typ {
	case "host":
		return p.host(q)
	case "net":
		return p.net(q)
	case "proto":
		return p.proto(q)
	}
	return p.ports(q)
}

func (p *parser) host(q *qualifiers) expr {
	t := p.next()
	if t.kind != address {
		return p.fail(t, "an address must come here; names are not looked up")
	}
	a, err := netip.ParseAddr(t.text)
	if err != nil {
		return p.fail(t, "not an address: write 192.0.2.1 or 2001:db8::1, or net for a part of one")
	}
	if n := p.peek(); n.is("/") {
		return p.fail(n, "a host has no mask: write net")
	}
	return p.prefix(q, t, a, a.BitLen())
}

func (p *parser) net(q *qualifiers) expr {
	t := p.next()
	a, bits, ok := parseNet(t)
	if !ok {
		return p.fail(t, "not a net: write 10.1.0.0/16, 10.1, 10.1.0.0 mask 255.255.0.0 or 2001:db8::/32")
	}
	switch {
	case p.accept("/"):
		n := p.next()
		if n.kind != number || n.n > uint32(a.BitLen()) {
			return p.fail(n, "the length of a net's mask must come here, at most %d", a.BitLen())
		}
		bits = int(n.n)
	case p.peek().is("mask"):
		p.next()
		n := p.next()
		m, _, ok := parseNet(n)
		if !ok || !m.Is4() || !a.Is4() {
			return p.fail(n, "an IPv4 mask must come here, such as 255.255.0.0")
		}
		return p.masked(q, t, a, word4(m))
	}
	return p.prefix(q, t, a, bits)
}

// parseNet reads an address whose last bytes may be left out, and the length
// of what is there in bits.
func parseNet(t token) (netip.Addr, int, bool) {
	if strings.Contains(t.text, ":") {
		a, err := netip.ParseAddr(t.text)
		return a, 128, err == nil
	}
	n := strings.Count(t.text, ".") + 1
	if t.kind != address && t.kind != number || n > 4 {
		return netip.Addr{}, 0, false
	}
	a, err := netip.ParseAddr(t.text + strings.Repeat(".0", 4-n))
	return a, n * 8, err == nil
}

func word4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// prefix accepts the addresses whose first bits are a's.
func (p *parser) prefix(q *qualifiers, t token, a netip.Addr, bits int) expr {
	if a.Is4() {
		return p.masked(q, t, a, uint32(uint64(0xffffffff)<<(32-bits)))
	}
	if q.proto != "" && q.proto != "ip6" {
		return p.fail(t, "%s does not go with an IPv6 address", q.proto)
	}
	if net, _ := a.Prefix(bits); net.Addr() != a {
		return p.fail(t, "has bits outside its mask: write %s", net)
	}
	b := a.As16()
	at := func(off uint32) expr {
		var words [4]expr
		for i := range words {
			mask := uint32(uint64(0xffffffff) << (32 - min(max(bits-32*i, 0), 32)))
			words[i] = equalMasked(field{network, num(off + uint32(4*i)), 4}, mask, binary.BigEndian.Uint32(b[4*i:]))
		}
		return all(isIP6, all(words[:]...))
	}
	return q.directed(at(8), at(24))
}

// masked accepts the IPv4 addresses that are a under mask.
func (p *parser) masked(q *qualifiers, t token, a netip.Addr, mask uint32) expr {
	k := word4(a)
	if k&^mask != 0 {
		return p.fail(t, "has bits outside its mask: clear them")
	}
	at := func(is expr, s, d uint32) expr {
		return q.directed(
			and{is, equalMasked(field{network, num(s), 4}, mask, k)},
			and{is, equalMasked(field{network, num(d), 4}, mask, k)})
	}
	switch q.proto {
	case "":
		return anyOf(at(isIP, 12, 16), at(isARP, 14, 24), at(isRARP, 14, 24))
	case "ip":
		return at(isIP, 12, 16)
	case "arp":
		return at(isARP, 14, 24)
	case "rarp":
		return at(isRARP, 14, 24)
	}
	return p.fail(t, "%s does not go with an IPv4 address", q.proto)
}

// directed joins the conditions on the source and on the destination.
func (q *qualifiers) directed(s, d expr) expr {
	switch q.dir {
	case src:
		return s
	case dst:
		return d
	case both:
		return and{s, d}
	}
	return or{s, d}
}

func (p *parser) proto(q *qualifiers) expr {
	t := p.next()
	n, ok := t.n, t.kind == number && t.n <= 255
	if t.kind == word || t.kind == quoted {
		n, ok = protoNumbers[t.text]
	}
	if !ok {
		return p.fail(t, "not a protocol: write its number, at most 255")
	}
	switch q.proto {
	case "":
		return or{ipProto(n), ip6Proto(n)}
	case "ip":
		return ipProto(n)
	case "ip6":
		return ip6Proto(n)
	}
	return p.fail(t, "write ip proto, ip6 proto or proto")
}

// Port protocols; a service name may be of one of them only.
const (
	anyPort = 0
	tcp     = 6
	udp     = 17
	sctp    = 132
)

// ports reads a port, or a range of ports.
func (p *parser) ports(q *qualifiers) expr {
	var on []uint32
	switch q.proto {
	case "":
		on = []uint32{sctp, tcp, udp} // libpcap's order
	case "tcp", "udp", "sctp":
		on = []uint32{protoNumbers[q.proto]}
	default:
		return p.fail(q.tok, "%s has no ports: use tcp, udp or sctp", q.proto)
	}
	t := p.next()
	lo, service, ok := port(t)
	hi := lo
	if q.typ == "portrange" {
		if !ok && t.kind == word {
			lo, hi, service, ok = serviceRange(t.text)
		} else if p.accept("-") {
			last, s, ok2 := port(p.next())
			hi, ok = last, ok && ok2
			if s != service {
				service = anyPort
			}
		}
	}
	if !ok {
		return p.fail(t, "not a %s: write numbers up to 65535 or names from /etc/services", q.typ)
	}
	if service != anyPort {
		if len(on) == 1 && on[0] != service {
			return p.fail(t, "not a %s service", q.proto)
		}
		on = []uint32{service}
	}
	return q.onPorts(on, min(lo, hi), max(lo, hi))
}

// port is the number of a port or of a service, and the protocol where the
// service is known for one only.
func port(t token) (n, proto uint32, ok bool) {
	switch t.kind {
	case number:
		return t.n, anyPort, t.n <= 0xffff
	case word, quoted:
		return service(t.text)
	}
	return 0, anyPort, false
}

// service looks name up in /etc/services and in Go's own short table.
func service(name string) (n, proto uint32, ok bool) {
	t, terr := net.LookupPort("tcp", name)
	u, uerr := net.LookupPort("udp", name)
	switch {
	case terr != nil && uerr != nil:
		return 0, anyPort, false
	case terr != nil:
		return uint32(u), udp, true
	case uerr != nil:
		return uint32(t), tcp, true
	}
	return uint32(t), anyPort, t == u
}

// serviceRange splits the text at the hyphen with a port on either side;
// names have hyphens of their own.
func serviceRange(text string) (lo, hi, proto uint32, ok bool) {
	for i := range text {
		if text[i] != '-' {
			continue
		}
		a, ap, aok := service(text[:i])
		b, bp, bok := service(text[i+1:])
		if n, err := strconv.ParseUint(text[i+1:], 10, 16); err == nil {
			b, bp, bok = uint32(n), anyPort, true
		}
		if aok && bok {
			if ap != bp {
				ap = anyPort
			}
			return a, b, ap, true
		}
	}
	return 0, 0, anyPort, false
}

// onPorts accepts the ports lo to hi of the protocols on. As in libpcap,
// ports are looked for in the first fragment of an IPv4 packet, and in IPv6
// right behind the fixed header.
func (q *qualifiers) onPorts(on []uint32, lo, hi uint32) expr {
	in := func(b base, at uint32) expr {
		f := field{b, num(at), 2}
		if lo == hi {
			return equal(f, lo)
		}
		return and{test{f, opGE, num(lo)}, not{test{f, opGT, num(hi)}}}
	}
	var v4, v6 []expr
	for _, proto := range on {
		v6 = append(v6, and{equal(ip6Next, proto), q.directed(in(network, 40), in(network, 42))})
		v4 = append(v4, all(equal(ipNext, proto), firstFragment, q.directed(in(transport, 0), in(transport, 2))))
	}
	return or{and{isIP6, anyOf(v6...)}, and{isIP, anyOf(v4...)}}
}
