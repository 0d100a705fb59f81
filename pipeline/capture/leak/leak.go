// Package leak finds out whether the kernel would forward a target's replies.
// It knows this host's forwarding and routes, and prefixes that somebody names.
// It does not know packets, nor what follows from a leak.
//
// The host that captures replies gets packets to addresses that it does not
// own. With forwarding off its IP layer drops them. With forwarding on, it sends
// them along its routes, in the end to the real clients, whose connections a
// stranger's segments disturb. They are safe then only where a blackhole,
// unreachable or prohibit route covers them.
package leak

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Guard answers for one network namespace. It is made by NewGuard; its methods
// are for any goroutine.
type Guard struct {
	interfaces []string // where replies come in; none: all
	netlink    *netlink.Handle
	leaks      atomic.Int64 // that Watch found last

	mu    sync.Mutex
	read  time.Time // when what follows was last learnt
	on    [2]string // by family: the sysctl that is on; "": none is
	known map[netip.Prefix]error
}

const (
	// freshFor is how long an answer is used again.
	freshFor = time.Second

	// maxKnown and maxProbes bound the memory and the time of answers.
	maxKnown  = 64 << 10
	maxProbes = 1024

	netlinkTimeout = 2 * time.Second
)

// The families, as indices.
const (
	v4 = iota
	v6
)

// NewGuard makes a guard for the namespace of the calling thread.
func NewGuard(interfaces []string) (*Guard, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the kernel for routes: %w", err)
	}
	if err := h.SetSocketTimeout(netlinkTimeout); err != nil {
		h.Close()
		return nil, fmt.Errorf("cannot ask the kernel for routes: %w", err)
	}
	return &Guard{interfaces: interfaces, netlink: h, known: make(map[netip.Prefix]error)}, nil
}

// Close frees the guard.
func (g *Guard) Close() { g.netlink.Close() }

// Check tells whether replies to p stay here. The error says in one line why
// not, and the command that mends it.
func (g *Guard) Check(p netip.Prefix) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.learn(); err != nil {
		return err
	}
	f := familyOf(p)
	if g.on[f] == "" {
		return nil
	}
	if err, ok := g.known[p]; ok {
		return err
	}
	err := g.probe(p, g.on[f])
	if len(g.known) < maxKnown {
		g.known[p] = err
	}
	return err
}

// CheckAll tells whether there can be any prefix whose replies stay here. There
// is none where forwarding meets a default route and no route drops anything.
func (g *Guard) CheckAll() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.learn(); err != nil {
		return err
	}
	for f, key := range g.on {
		if key == "" {
			continue
		}
		routes, err := g.routes(f)
		if err != nil {
			return err
		}
		hole := slices.ContainsFunc(routes, func(r netlink.Route) bool { return drops(r.Type) })
		way := slices.IndexFunc(routes, func(r netlink.Route) bool {
			return r.Type == unix.RTN_UNICAST && prefixOf(&r, f).Bits() == 0
		})
		if way >= 0 && !hole {
			return fmt.Errorf("%s=1 and a default route would send the replies on to the real clients: run `sysctl -w %s=0`, or drop the claimed addresses by `ip route add blackhole PREFIX`", key, key)
		}
	}
	return nil
}

// Forwarding returns the sysctls that make the kernel forward what comes in,
// none if it does not.
func (g *Guard) Forwarding() ([]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.learn(); err != nil {
		return nil, err
	}
	var on []string
	for _, key := range g.on {
		if key != "" {
			on = append(on, key)
		}
	}
	return on, nil
}

// learn reads the state of forwarding unless it is fresh.
func (g *Guard) learn() error {
	if time.Since(g.read) < freshFor {
		return nil
	}
	names, err := g.inputs()
	if err != nil {
		return err
	}
	g.on = [2]string{}
	clear(g.known)
	// IPv4 asks the device that a packet comes in by (ip_route_input_slow,
	// net/ipv4/route.c). Writing ip_forward writes all of them.
	for _, name := range names {
		if key := sysctl("ipv4", name, "forwarding"); set(key) {
			g.on[v4] = key
			if set("net.ipv4.ip_forward") {
				g.on[v4] = "net.ipv4.ip_forward"
			}
			break
		}
	}
	// IPv6 asks for the whole host, and since Linux 6.17 for the device's
	// force_forwarding (ip6_forward, net/ipv6/ip6_output.c).
	if set("net.ipv6.conf.all.forwarding") {
		g.on[v6] = "net.ipv6.conf.all.forwarding"
	}
	for _, name := range names {
		if key := sysctl("ipv6", name, "force_forwarding"); g.on[v6] == "" && set(key) {
			g.on[v6] = key
		}
	}
	g.read = time.Now()
	return nil
}

// inputs returns the interfaces that may be the input of what is captured: the
// given ones, those that they are ports of, and those on top of them (VLANs).
func (g *Guard) inputs() ([]string, error) {
	links, err := g.netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("cannot list the interfaces: %w", err)
	}
	in := make(map[int]bool)
	for _, l := range links {
		a := l.Attrs()
		if slices.Contains(g.interfaces, a.Name) || len(g.interfaces) == 0 && a.Name != "lo" {
			in[a.Index] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, l := range links {
			a := l.Attrs()
			if in[a.Index] && a.MasterIndex > 0 && !in[a.MasterIndex] {
				in[a.MasterIndex], grown = true, true
			}
			// A veth's parent is its peer, which is no input of it.
			if in[a.ParentIndex] && !in[a.Index] && l.Type() != "veth" {
				in[a.Index], grown = true, true
			}
		}
	}
	var names []string
	for _, l := range links {
		if in[l.Attrs().Index] {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// probe looks for an address of p that has a route out.
func (g *Guard) probe(p netip.Prefix, key string) error {
	points, err := g.points(p)
	if err != nil {
		return err
	}
	if len(points) > maxProbes {
		return fmt.Errorf("%s=1 and %v holds more routes than can be checked: run `sysctl -w %s=0` on the assistant", key, p, key)
	}
	for _, a := range points {
		routes, err := g.netlink.RouteGet(a.AsSlice())
		if err != nil {
			// No route, or one that drops. Anything else is not known to
			// be safe, but is no leak that could be shown either.
			continue
		}
		for _, r := range routes {
			if r.Type == unix.RTN_UNICAST {
				return fmt.Errorf("%s=1 and a route to %v would send the replies to %v on to the real clients: on the assistant run `sysctl -w %s=0`, or `ip route add blackhole %v`", key, a, p, key, p)
			}
		}
	}
	return nil
}

// points returns addresses of p such that each address of p has the same route
// as the nearest of them below it: p's first, and where a route within p
// begins or ends.
func (g *Guard) points(p netip.Prefix) ([]netip.Addr, error) {
	points := []netip.Addr{p.Masked().Addr()}
	if p.IsSingleIP() {
		return points, nil
	}
	f := familyOf(p)
	routes, err := g.routes(f)
	if err != nil {
		return nil, err
	}
	for i := range routes {
		d := prefixOf(&routes[i], f)
		if d.Bits() <= p.Bits() || !p.Contains(d.Addr()) {
			continue
		}
		points = append(points, d.Addr())
		if next := lastOf(d).Next(); next.IsValid() && p.Contains(next) {
			points = append(points, next)
		}
	}
	slices.SortFunc(points, netip.Addr.Compare)
	return slices.Compact(points), nil
}

// routes returns the routes of all tables.
func (g *Guard) routes(f int) ([]netlink.Route, error) {
	family := netlink.FAMILY_V4
	if f == v6 {
		family = netlink.FAMILY_V6
	}
	routes, err := g.netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("cannot list the routes: %w", err)
	}
	return routes, nil
}

// drops reports whether routes of that type end packets (rtnetlink(7)).
func drops(routeType int) bool {
	return routeType == unix.RTN_BLACKHOLE || routeType == unix.RTN_UNREACHABLE || routeType == unix.RTN_PROHIBIT
}

// prefixOf is a route's destination; a default route may have none.
func prefixOf(r *netlink.Route, f int) netip.Prefix {
	if r.Dst != nil {
		if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
			ones, _ := r.Dst.Mask.Size()
			if f == v4 {
				a = a.Unmap()
			}
			return netip.PrefixFrom(a, ones).Masked()
		}
	}
	if f == v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// lastOf is the last address of p.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func familyOf(p netip.Prefix) int {
	if p.Addr().Is4() {
		return v4
	}
	return v6
}

// set reports whether a sysctl is on. One that is not there is off.
func set(name string) bool {
	b, err := os.ReadFile("/proc/sys/" + swapped(name))
	return err == nil && strings.TrimSpace(string(b)) != "0"
}

// sysctl names the setting of an interface as sysctl(8) does: a dot in the
// interface's name is a slash.
func sysctl(family, name, key string) string {
	return "net." + family + ".conf." + swapped(name) + "." + key
}

// swapped changes dots and slashes, as sysctl(8) does between names and paths.
func swapped(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}
