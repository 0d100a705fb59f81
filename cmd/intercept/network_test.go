package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The network of a test: the assistant, where the test and intercept run, and
// the target with a web server, which has its routes to the claimed addresses
// by the assistant.
//
//	assistant 10.9.2.30 fd00:9:2::30 eth0 ── eth0 10.9.2.100 fd00:9:2::100 target
var (
	target4 = netip.MustParseAddrPort("10.9.2.100:80")
	target6 = netip.MustParseAddrPort("[fd00:9:2::100]:80")
)

// networkEnv tells a test that its process is in a namespace of its own.
const networkEnv = "INTERCEPT_TEST_NETWORK"

// inNetwork runs the test again in a process that has the network, and returns
// false once that has ended; in that process it returns true. The namespaces go
// with the process.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(networkEnv) != "" {
		build(t)
		return true
	}
	if os.Geteuid() != 0 {
		if testing.Short() {
			t.Skip("needs root to make network namespaces")
		}
		t.Fatal("needs root to make network namespaces; -short leaves these tests out")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), networkEnv+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T) {
	t.Helper()
	// A new namespace inherits it from the host's first one.
	sysctl(t, "ipv4/ip_forward", "0")
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}))
	configure(t, "eth0", "10.9.2.30/24", "fd00:9:2::30/64")

	peer, err := netlink.LinkByName("peer")
	must(t, err)
	home, err := netns.Get()
	must(t, err)
	defer home.Close()
	// The target is set up from this thread, which comes back afterwards.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, err = netns.New()
	must(t, err)
	target, err := netns.Get()
	must(t, err)
	defer target.Close()
	must(t, netns.Set(home))
	must(t, netlink.LinkSetNsFd(peer, int(target)))
	must(t, netns.Set(target))
	configure(t, "peer", "10.9.2.100/24", "fd00:9:2::100/64")
	for _, dst := range []string{"10.9.3.0/24", "192.0.2.0/24"} {
		addRoute(t, dst, "10.9.2.30")
	}
	addRoute(t, "fd00:9:3::/64", "fd00:9:2::30")
	for _, a := range []netip.AddrPort{target4, target6} {
		l, err := net.Listen("tcp", a.String())
		must(t, err)
		go web(l)
	}
	must(t, netns.Set(home))
}

// configure sets the addresses of an interface of the calling thread's
// namespace.
func configure(t *testing.T, name string, addrs ...string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		must(t, netlink.AddrAdd(l, addr))
	}
	must(t, netlink.LinkSetUp(l))
}

func addRoute(t *testing.T, dst, gateway string) {
	t.Helper()
	_, d, err := net.ParseCIDR(dst)
	must(t, err)
	must(t, netlink.RouteAdd(&netlink.Route{Dst: d, Gw: net.ParseIP(gateway)}))
}

func sysctl(t *testing.T, path, value string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/net/"+path, []byte(value), 0))
}
