package leak

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// host puts the test into a network namespace of its own, with an interface up0
// towards 10.1.2.0/24 and 2001:db8:2::/64. The namespace goes with the thread.
func host(t *testing.T) *Guard {
	t.Helper()
	if os.Getuid() != 0 {
		if testing.Short() {
			t.Skip("network namespaces need root")
		}
		t.Fatal("network namespaces need root: run as root, or with -short")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	// A new namespace inherits these from the host's first one.
	write(t, "ipv4/ip_forward", "0")
	write(t, "ipv6/conf/all/forwarding", "0")
	up := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "up1"}
	must(t, netlink.LinkAdd(up))
	for _, name := range []string{"lo", "up0", "up1"} {
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetUp(l))
	}
	for _, a := range []string{"10.1.2.30/24", "2001:db8:2::30/64"} {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(up, addr))
	}
	g, err := NewGuard([]string{"up0"})
	must(t, err)
	t.Cleanup(g.Close)
	return g
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, value string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/net/"+path, []byte(value), 0))
}

// route adds a route by the gateway, or one of another type.
func route(t *testing.T, dst, gateway string, typ int) {
	t.Helper()
	_, d, err := net.ParseCIDR(dst)
	must(t, err)
	r := &netlink.Route{Dst: d, Type: typ}
	if gateway != "" {
		r.Gw = net.ParseIP(gateway)
	}
	must(t, netlink.RouteAdd(r))
}

// now forgets what was learnt, as a second does.
func (g *Guard) now() *Guard {
	g.mu.Lock()
	g.read = time.Time{}
	g.mu.Unlock()
	return g
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want %q", err, want)
	case err != nil && strings.Contains(err.Error(), "\n"):
		t.Errorf("more than a line: %q", err)
	}
}

var (
	pool   = netip.MustParsePrefix("10.1.3.0/24")
	pool6  = netip.MustParsePrefix("2001:db8:3::/64")
	client = netip.MustParsePrefix("192.0.2.1/32")
)

func TestHostThatDoesNotForwardLeaksNothing(t *testing.T) {
	g := host(t)
	route(t, "0.0.0.0/0", "10.1.2.1", unix.RTN_UNICAST)
	route(t, "::/0", "2001:db8:2::1", unix.RTN_UNICAST)
	for _, p := range []netip.Prefix{pool, pool6, client} {
		check(t, g.Check(p), "")
	}
	check(t, g.CheckAll(), "")
	if on, err := g.Forwarding(); len(on) != 0 || err != nil {
		t.Error(on, err)
	}
}

func TestForwardingAndARouteLeak(t *testing.T) {
	g := host(t)
	write(t, "ipv4/ip_forward", "1")
	check(t, g.Check(pool), "") // no route
	check(t, g.CheckAll(), "")
	route(t, "0.0.0.0/0", "10.1.2.1", unix.RTN_UNICAST)
	check(t, g.now().Check(pool), "run `sysctl -w net.ipv4.ip_forward=0`, or `ip route add blackhole 10.1.3.0/24`")
	check(t, g.Check(client), "ip route add blackhole 192.0.2.1/32")
	check(t, g.Check(pool6), "")
	check(t, g.CheckAll(), "sysctl -w net.ipv4.ip_forward=0")
	if on, err := g.Forwarding(); len(on) != 1 || on[0] != "net.ipv4.ip_forward" || err != nil {
		t.Error(on, err)
	}

	route(t, "10.1.3.0/24", "", unix.RTN_BLACKHOLE)
	check(t, g.now().Check(pool), "")
	check(t, g.Check(client), "net.ipv4.ip_forward=1")
	check(t, g.CheckAll(), "") // some claims are right

	write(t, "ipv4/ip_forward", "0")
	check(t, g.now().Check(client), "")
	write(t, "ipv4/ip_forward", "1")
	check(t, g.now().Check(client), "net.ipv4.ip_forward=1")
}

func TestIPv6ForwardingAndARouteLeak(t *testing.T) {
	g := host(t)
	write(t, "ipv6/conf/all/forwarding", "1")
	check(t, g.Check(pool6), "")
	route(t, "::/0", "2001:db8:2::1", unix.RTN_UNICAST)
	check(t, g.now().Check(pool6), "run `sysctl -w net.ipv6.conf.all.forwarding=0`, or `ip route add blackhole 2001:db8:3::/64`")
	check(t, g.CheckAll(), "net.ipv6.conf.all.forwarding=0")
	route(t, "2001:db8:3::/64", "", unix.RTN_UNREACHABLE)
	check(t, g.now().Check(pool6), "")
}

func TestEveryPartOfAPrefixIsLookedAt(t *testing.T) {
	g := host(t)
	write(t, "ipv4/ip_forward", "1")
	for _, tt := range []struct {
		dst  string
		typ  int
		want string
	}{
		{"10.1.3.0/25", unix.RTN_BLACKHOLE, ""}, // the rest has no route
		{"10.1.3.200/32", unix.RTN_UNICAST, "a route to 10.1.3.200"},
		{"10.1.3.200/32", unix.RTN_PROHIBIT, ""},
		{"10.1.3.4/30", unix.RTN_UNICAST, "a route to 10.1.3.4"},
		{"10.1.3.4/31", unix.RTN_BLACKHOLE, "a route to 10.1.3.6"}, // and not all of its hole
		{"10.1.3.6/31", unix.RTN_BLACKHOLE, ""},
		{"10.1.0.0/16", unix.RTN_UNICAST, "a route to 10.1.3.128"}, // shows between the holes
		{"10.1.3.128/25", unix.RTN_UNREACHABLE, ""},
	} {
		gateway := ""
		if tt.typ == unix.RTN_UNICAST {
			gateway = "10.1.2.1"
		}
		_, d, err := net.ParseCIDR(tt.dst)
		must(t, err)
		r := &netlink.Route{Dst: d, Type: tt.typ, Gw: net.ParseIP(gateway)}
		must(t, netlink.RouteReplace(r))
		check(t, g.now().Check(pool), tt.want)
	}
}

func TestOnlyForwardingOfTheInputMatters(t *testing.T) {
	g := host(t)
	route(t, "0.0.0.0/0", "10.1.2.1", unix.RTN_UNICAST)
	write(t, "ipv4/conf/up1/forwarding", "1")
	check(t, g.Check(pool), "")
	write(t, "ipv4/conf/up0/forwarding", "1")
	check(t, g.now().Check(pool), "sysctl -w net.ipv4.conf.up0.forwarding=0")
}

func TestBridgeOfTheInterfaceIsItsInput(t *testing.T) {
	g := host(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0.7"}}
	must(t, netlink.LinkAdd(bridge))
	up, err := netlink.LinkByName("up0")
	must(t, err)
	must(t, netlink.LinkSetMaster(up, bridge))
	route(t, "0.0.0.0/0", "10.1.2.1", unix.RTN_UNICAST)
	write(t, "ipv4/conf/br0.7/forwarding", "1")
	check(t, g.Check(pool), "sysctl -w net.ipv4.conf.br0/7.forwarding=0")
}

func TestAnswerIsUsedAgainForAWhile(t *testing.T) {
	g := host(t)
	route(t, "0.0.0.0/0", "10.1.2.1", unix.RTN_UNICAST)
	check(t, g.Check(pool), "")
	write(t, "ipv4/ip_forward", "1")
	g.read = time.Now() // however slow the test is
	check(t, g.Check(pool), "")
	check(t, g.now().Check(pool), "ip_forward")
}

func TestTheWatchIsLoudAsLongAsClaimsLeak(t *testing.T) {
	g := host(t)
	route(t, "0.0.0.0/0", "10.1.2.1", unix.RTN_UNICAST)
	claims := func(yield func(netip.Prefix, string) bool) {
		_ = yield(pool, "one") && yield(pool6, "two") && yield(AnyAddress, "three")
	}
	look := func(want int) {
		t.Helper()
		var out strings.Builder
		g.now().look(slog.New(slog.NewTextHandler(&out, nil)), claims)
		if said := strings.Count(out.String(), "REPLIES LEAK TO REAL CLIENTS"); said != want || g.Leaks() != want {
			t.Errorf("%d leaks, %d logged, want %d:\n%s", g.Leaks(), said, want, out.String())
		}
	}
	look(0)
	write(t, "ipv4/ip_forward", "1")
	look(2)
	look(2)
	route(t, "10.1.3.0/24", "", unix.RTN_BLACKHOLE)
	look(0)
	write(t, "ipv4/ip_forward", "0")
	look(0)
}
