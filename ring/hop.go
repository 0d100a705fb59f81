package ring

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
)

// Hop is the way to a target as frames need it: the interface and both MAC
// addresses. It is for any goroutine; those who send read it without a lock.
type Hop struct {
	next atomic.Pointer[nextHop] // nil: not known

	// Guarded by Hops.mu.
	target  netip.Addr
	gateway netip.Addr // or the target itself
	ifindex int
}

// nextHop does not change once it is published.
type nextHop struct {
	ifindex int32
	mtu     int
	linkLen int      // 14, or 0 on devices without a link header
	macs    [12]byte // destination, source
}

// Static reports whether the hop is one of StaticHop.
func (h *Hop) Static() bool { return !h.target.IsValid() }

// Valid reports whether frames can be sent.
func (h *Hop) Valid() bool { return h.next.Load() != nil }

// MTU is the longest IP packet on the way, as far as the route and the
// interface tell, in bytes; 0 while the hop is not valid.
func (h *Hop) MTU() int {
	if n := h.next.Load(); n != nil {
		return n.mtu
	}
	return 0
}

// Ifindex is the interface; 0 while the hop is not valid.
func (h *Hop) Ifindex() int {
	if n := h.next.Load(); n != nil {
		return int(n.ifindex)
	}
	return 0
}

// StaticHop is the way through an interface to a known MAC address. A nil src
// is the interface's own address. It does not follow changes of the interface.
func StaticHop(interfaceName string, src, dst net.HardwareAddr) (*Hop, error) {
	ifi, err := net.InterfaceByName(interfaceName)
	if err != nil {
		return nil, fmt.Errorf("ring: no interface %q: `ip link` lists those that exist", interfaceName)
	}
	if src == nil {
		src = ifi.HardwareAddr
		if src == nil && ifi.Flags&net.FlagLoopback != 0 {
			src = make(net.HardwareAddr, 6)
		}
	}
	if len(src) != 6 || len(dst) != 6 {
		return nil, fmt.Errorf("ring: %s: source %q and destination %q must be Ethernet addresses", interfaceName, src, dst)
	}
	h := new(Hop)
	h.publish(newNextHop(ifi.Index, ifi.MTU, src, dst))
	return h, nil
}

func newNextHop(ifindex, mtu int, src, dst net.HardwareAddr) *nextHop {
	n := &nextHop{ifindex: int32(ifindex), mtu: mtu, linkLen: linkLen}
	copy(n.macs[:6], dst)
	copy(n.macs[6:], src)
	return n
}

// publish makes n what is sent by. An equal one is left, for the caches' sake.
func (h *Hop) publish(n *nextHop) {
	if old := h.next.Load(); old == n || old != nil && n != nil && *old == *n {
		return
	}
	h.next.Store(n)
}

// LocalAddrs returns the addresses of this host, of all interfaces.
func LocalAddrs() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("ring: addresses of this host: %w", err)
	}
	var addrs []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs, nil
}
