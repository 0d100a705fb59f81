package conf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

// parseInterface reads an interface of this host, or any.
func parseInterface(s string) (string, error) {
	if s == "any" || isInterface(s) {
		return s, nil
	}
	return "", fmt.Errorf("%q is no interface of this host; see ip link", s)
}

func isInterface(s string) bool {
	if strings.Contains(s, "/") {
		return false
	}
	_, err := net.InterfaceByName(s)
	return err == nil
}

// interfaces reads names, of which any stands for all of them.
func interfaces(p *[]string) value {
	return list[string]{p: p, parse: parseInterface, print: func(s string) string { return s }}
}

// replyDevice is an interface, any, or "".
func replyDevice(p *string) value {
	return checked(p, func(s string) (err error) {
		if s != "" {
			_, err = parseInterface(s)
		}
		return err
	})
}

// device is an interface of this host, or "".
func device(p *string) value {
	return checked(p, func(s string) error {
		if s == "" {
			return nil
		}
		if _, err := net.InterfaceByName(s); err != nil {
			return fmt.Errorf("%q is no interface of this host; see ip link", s)
		}
		return nil
	})
}

// lookupTimeout bounds the search for the address of a named intercept.
const lookupTimeout = 5 * time.Second

// resolve reads an address or a host's name, with or without a port. Of a name
// with several addresses the resolver's first counts, so that one intercept
// does not become two.
func resolve(s string, fallback uint16) (netip.AddrPort, error) {
	ap, err := parseAddrPort(s, fallback)
	if err == nil {
		return ap, nil
	}
	name, port, found := strings.Cut(s, ":")
	if !isHostName(name) {
		return ap, err
	}
	if found {
		if fallback, err = parsePort(port); err != nil {
			return ap, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil || len(addrs) == 0 {
		return ap, fmt.Errorf("%q is no address, and no host of that name is known; write its address", s)
	}
	return netip.AddrPortFrom(addrs[0].Unmap().WithZone(""), fallback), nil
}

// isHostName reports whether s is a name (RFC 1123, 2.1) rather than an address
// with a mistake in it.
func isHostName(s string) bool {
	letter := false
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			letter = true
		case r >= '0' && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return letter && len(s) <= 253
}

// webAddress is where metrics are served. Without a host it is this host only:
// what runs beside production does not open itself to the network unasked.
func webAddress(p *string) value {
	parse := func(s string) (string, error) {
		if s == "" {
			return s, nil
		}
		if !strings.Contains(s, ":") {
			s = ":" + s
		}
		name, port, err := net.SplitHostPort(s)
		if err == nil && name == "" {
			name = "127.0.0.1"
		}
		if err == nil && port != "0" {
			_, err = parsePort(port)
		}
		if err != nil || !isHostName(name) && net.ParseIP(name) == nil {
			return "", fmt.Errorf("%q is not [HOST]:PORT such as 127.0.0.1:9100 or :9100", s)
		}
		return net.JoinHostPort(name, port), nil
	}
	return scalar[string]{p: p, parse: parse, print: func(s string) string { return s }}
}

// webConfig is a file as Prometheus's exporter-toolkit reads it, with what it
// names.
func webConfig(p *string) value { return checked(p, web.Validate) }
