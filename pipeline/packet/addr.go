// Package packet has the views and builders of TCP/IP packets: what a client
// sent (Segment), what a target answered (Reply), and the headers of what is
// sent. Nothing in it allocates on the packet path.
package packet

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IP address of either family as 16 bytes in network order; IPv4
// is held in its mapped form ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). Unlike
// netip.Addr it holds no pointer, so tables of it cost the collector nothing.
type Addr [16]byte

// Endpoint is one end of a TCP connection.
type Endpoint struct {
	Addr Addr
	Port uint16 // host order
}

// AddrFrom converts a; the zone of a link-local address is dropped.
func AddrFrom(a netip.Addr) Addr { return a.As16() }

// Addr4 makes an address of four bytes in network order.
func Addr4(b []byte) (a Addr) {
	a[10], a[11] = 0xff, 0xff
	copy(a[12:], b[:4])
	return a
}

// Is4 reports whether a is an IPv4 address in mapped form.
func (a Addr) Is4() bool {
	return binary.BigEndian.Uint64(a[:8]) == 0 && binary.BigEndian.Uint32(a[8:12]) == 0xffff
}

// Netip converts a; a mapped address becomes plain IPv4.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

func (a Addr) String() string { return a.Netip().String() }

// EndpointFrom converts ap.
func EndpointFrom(ap netip.AddrPort) Endpoint {
	return Endpoint{Addr: AddrFrom(ap.Addr()), Port: ap.Port()}
}

// AddrPort converts e.
func (e Endpoint) AddrPort() netip.AddrPort { return netip.AddrPortFrom(e.Addr.Netip(), e.Port) }

func (e Endpoint) String() string { return e.AddrPort().String() }

// Hash mixes e to 64 bits, for tables. seed keeps strangers from choosing
// addresses that collide.
func (e Endpoint) Hash(seed uint64) uint64 {
	const k = 0x9e3779b97f4a7c15
	h := seed ^ uint64(e.Port)*k
	h = mix(h ^ binary.LittleEndian.Uint64(e.Addr[:8]))
	return mix(h ^ binary.LittleEndian.Uint64(e.Addr[8:]))
}

// mix is the finalizer of splitmix64.
func mix(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// Shard says which of n workers owns the sessions of a port: of the online
// client's port, and of the endpoint's that the session shows to the target,
// which is therefore allocated from the same shard. It looks at the port only,
// so a client keeps its port and its worker whatever address of the pool it is
// given. ring.ShardProgram is the same function for the kernel.
func Shard(port uint16, n int) int {
	return int(uint32(port) * 0x9e3779b1 >> 16 % uint32(n))
}
