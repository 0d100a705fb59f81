package conf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parseAddr reads an IP address, in brackets or not. A mapped IPv4 address
// becomes plain; a zone is refused, because packets have none.
func parseAddr(s string) (netip.Addr, error) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
		if !strings.Contains(bare, ":") {
			return netip.Addr{}, fmt.Errorf("%q is not an IPv6 address; brackets hold nothing else", s)
		}
	}
	a, err := netip.ParseAddr(bare)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address such as 10.1.2.100 or fd00::1", s)
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q has a zone; leave it out, the target's route tells the interface", s)
	}
	return a.Unmap(), nil
}

// parsePort reads a TCP port from 1 to 65535.
func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port from 1 to 65535", s)
	}
	return uint16(n), nil
}

// cutPort splits an address from the port behind it. The separator is a colon,
// or a dash as in the C tools' 10.1.2.100-80; port is "" where there is none.
// An IPv6 address without brackets is taken where there is one way to read it.
func cutPort(s string) (host, port string, err error) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", fmt.Errorf("%q lacks the ] after its IPv6 address", s)
		}
		host, port = s[:end+1], s[end+1:]
		if port == "" {
			return host, "", nil
		}
		if port[0] != ':' && port[0] != '-' || len(port) == 1 {
			return "", "", fmt.Errorf("%q has no port behind its address; write one, as in [fd00::1]:80", s)
		}
		return host, port[1:], nil
	}
	i := strings.LastIndexAny(s, ":-")
	if i < 0 {
		return s, "", nil
	}
	if i == len(s)-1 && (s[i] == '-' || strings.Count(s, ":") == 1) {
		return "", "", fmt.Errorf("%q ends without a port", s)
	}
	if s[i] == '-' || strings.Count(s, ":") == 1 {
		return s[:i], s[i+1:], nil
	}
	_, whole := netip.ParseAddr(s)
	_, head := netip.ParseAddr(s[:i])
	_, tail := parsePort(s[i+1:])
	switch {
	case whole == nil && head == nil && tail == nil:
		return "", "", fmt.Errorf("%q can be read in two ways; write [%s]:%s or [%s]", s, s[:i], s[i+1:], s)
	case whole == nil:
		return s, "", nil
	default:
		return s[:i], s[i+1:], nil
	}
}

// parseAddrPort reads an address with the port behind it, or without one:
// then the port is fallback.
func parseAddrPort(s string, fallback uint16) (netip.AddrPort, error) {
	host, port, err := cutPort(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	a, err := parseAddr(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if port != "" {
		if fallback, err = parsePort(port); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.AddrPortFrom(a, fallback), nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
