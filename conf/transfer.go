package conf

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Transfer says which sessions are copied, and to where.
type Transfer struct {
	Online netip.AddrPort // what clients connect to; an invalid address means any
	Target netip.AddrPort

	// SourceMAC and NextHopMAC, both or none, replace what the route to the
	// target would give frames. 6 bytes.
	SourceMAC, NextHopMAC net.HardwareAddr
}

// SameTransfers reports whether both lists say the same.
func SameTransfers(a, b []Transfer) bool {
	return slices.EqualFunc(a, b, func(a, b Transfer) bool { return a.String() == b.String() })
}

// ParseTransfer reads one transfer of -x:
//
//	[address:]port[@source-mac]-target[:port|-port][@next-hop-mac]
//
// IPv6 addresses stand in brackets; without them where there is one way to read
// them. The target's port defaults to the online one.
func ParseTransfer(s string) (t Transfer, err error) {
	online, target, ok := strings.Cut(s, "-")
	if !ok || online == "" || target == "" {
		return t, fmt.Errorf("%q is not ONLINE-TARGET such as 80-10.1.2.100:80", s)
	}
	online, smac, withSource := strings.Cut(online, "@")
	target, dmac, withNextHop := strings.Cut(target, "@")
	if withSource != withNextHop {
		return t, fmt.Errorf("%q has one MAC address; write both, port@source-target:port@next-hop, or none", s)
	}
	if withSource {
		if t.SourceMAC, err = parseMAC(smac); err != nil {
			return t, err
		}
		if t.NextHopMAC, err = parseMAC(dmac); err != nil {
			return t, err
		}
	}
	if t.Online, err = parseOnline(online); err != nil {
		return t, err
	}
	t.Target, err = parseTarget(target, t.Online.Port())
	return t, err
}

// parseOnline reads [address:]port; an unspecified address is any.
func parseOnline(s string) (netip.AddrPort, error) {
	if !strings.ContainsAny(s, ":[.") {
		port, err := parsePort(s)
		return netip.AddrPortFrom(netip.Addr{}, port), err
	}
	ap, err := parseAddrPort(s, 0)
	switch {
	case err != nil:
		return ap, err
	case ap.Port() == 0:
		return ap, fmt.Errorf("%q has no port; write the port that clients connect to behind it, as in 10.0.0.1:80", s)
	case ap.Addr().IsMulticast():
		return ap, fmt.Errorf("%q is a multicast address; TCP has none", s)
	case ap.Addr().IsUnspecified():
		return netip.AddrPortFrom(netip.Addr{}, ap.Port()), nil
	}
	return ap, nil
}

// parseTarget reads address[:port] or address-port.
func parseTarget(s string, fallback uint16) (netip.AddrPort, error) {
	ap, err := parseAddrPort(s, fallback)
	if err != nil {
		return ap, err
	}
	a := ap.Addr()
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return ap, fmt.Errorf("target %v is no address of a host; name the system under test", a)
	case a.IsLoopback():
		return ap, fmt.Errorf("target %v is this host itself, its replies never reach an intercept; name the target by its network address", a)
	}
	return ap, nil
}

func parseMAC(s string) (net.HardwareAddr, error) {
	m, err := net.ParseMAC(s)
	if err != nil || len(m) != 6 {
		return nil, fmt.Errorf("%q is not a MAC address such as 02:00:00:00:00:01", s)
	}
	return m, nil
}

// String returns t as ParseTransfer reads it.
func (t Transfer) String() string {
	var b strings.Builder
	b.WriteString(onlineString(t.Online))
	if t.SourceMAC != nil {
		b.WriteString("@" + t.SourceMAC.String())
	}
	b.WriteString("-" + t.Target.String())
	if t.NextHopMAC != nil {
		b.WriteString("@" + t.NextHopMAC.String())
	}
	return b.String()
}

func onlineString(online netip.AddrPort) string {
	if !online.Addr().IsValid() {
		return strconv.Itoa(int(online.Port()))
	}
	return online.String()
}

// covers reports whether every packet that u matches has matched t before.
func (t Transfer) covers(u Transfer) bool {
	return t.Online.Port() == u.Online.Port() &&
		(!t.Online.Addr().IsValid() || t.Online.Addr() == u.Online.Addr())
}
