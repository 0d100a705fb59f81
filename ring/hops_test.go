package ring

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hops opens Hops in h until the test ends.
func (h host) hops(out string) *Hops {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	var hops *Hops
	h.in(func() {
		var err error
		hops, err = NewHops(ctx, out)
		must(h.t, err)
	})
	return hops
}

func (h host) mac(name string) net.HardwareAddr {
	h.t.Helper()
	return h.link(name).Attrs().HardwareAddr
}

// neighbour sets a neighbour entry.
func (h host) neighbour(name string, ip netip.Addr, mac net.HardwareAddr, state int) {
	h.t.Helper()
	must(h.t, h.nl.NeighSet(&netlink.Neigh{LinkIndex: h.link(name).Attrs().Index, IP: ip.AsSlice(), HardwareAddr: mac, State: state}))
}

// dst is where frames of hop go, nil while it is not valid.
func dst(hop *Hop) net.HardwareAddr {
	if n := hop.next.Load(); n != nil {
		return n.macs[:6]
	}
	return nil
}

func same(a, b net.HardwareAddr) bool { return slices.Equal(a, b) }

func TestHopIsResolvedByTheKernel(t *testing.T) {
	p := newPair(t)
	p.a.route("172.16.0.0/12", b4.String())
	p.a.route("fd01::/32", b6.String())
	hops := p.a.hops("")
	for _, target := range []string{b4.String(), b6.String(), "172.16.5.5", "fd01::5", "::ffff:172.16.5.6"} {
		hop, err := hops.Add(netip.MustParseAddr(target))
		if err != nil {
			t.Error(err)
			continue
		}
		n := hop.next.Load()
		if !same(n.macs[:6], p.b.mac("vb")) || !same(n.macs[6:], p.a.mac("va")) || n.linkLen != 14 ||
			hop.MTU() != 1500 || hop.Ifindex() != p.a.link("va").Attrs().Index || !hop.Valid() {
			t.Errorf("%s: %+v", target, n)
		}
	}
}

func TestHopFollowsTheNeighbour(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(b4)
	must(t, err)
	other := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	p.a.neighbour("va", b4, other, netlink.NUD_REACHABLE)
	eventually(t, func() bool { return same(dst(hop), other) })

	p.a.neighbour("va", b4, nil, netlink.NUD_FAILED)
	eventually(t, func() bool { return same(dst(hop), p.b.mac("vb")) }) // asked again, and answered
}

func TestHopFollowsTheRoute(t *testing.T) {
	p := newPair(t)
	p.a.neighbour("va", netip.MustParseAddr("10.9.0.77"), net.HardwareAddr{2, 0, 0, 0, 0, 77}, netlink.NUD_PERMANENT)
	route := p.a.route("172.16.0.0/12", b4.String())
	hop, err := p.a.hops("").Add(netip.MustParseAddr("172.16.1.1"))
	must(t, err)

	must(t, p.a.nl.RouteDel(route))
	eventually(t, func() bool { return !hop.Valid() })
	if hop.MTU() != 0 || hop.Ifindex() != 0 {
		t.Error("it is not valid but has an MTU or an interface")
	}
	route = p.a.route("172.16.0.0/12", "10.9.0.77")
	eventually(t, func() bool { return same(dst(hop), net.HardwareAddr{2, 0, 0, 0, 0, 77}) })

	route.MTU = 1280
	must(t, p.a.nl.RouteReplace(route))
	eventually(t, func() bool { return hop.MTU() == 1280 })
}

func TestHopFollowsTheLink(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(b4)
	must(t, err)
	must(t, p.a.nl.LinkSetMTU(p.a.link("va"), 1400))
	eventually(t, func() bool { return hop.MTU() == 1400 })

	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x55}
	must(t, p.a.nl.LinkSetHardwareAddr(p.a.link("va"), mac))
	eventually(t, func() bool {
		n := hop.next.Load()
		return n != nil && same(n.macs[6:], mac)
	})

	p.a.down("va")
	eventually(t, func() bool { return !hop.Valid() })
	p.a.up("va")
	eventually(t, hop.Valid)

	before := hop.Ifindex()
	must(t, p.a.nl.LinkDel(p.a.link("va")))
	eventually(t, func() bool { return !hop.Valid() })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "spare" // takes an index, so that va has another one
	must(t, p.a.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	p.connect()
	eventually(t, hop.Valid)
	if hop.Ifindex() == before {
		t.Error("the interface is the old one")
	}
}

func TestHopOfASilentTargetBecomesValidLater(t *testing.T) {
	p := newPair(t)
	late := netip.MustParseAddr("10.9.0.3")
	hop, err := p.a.hops("").Add(late)
	if err == nil || !strings.Contains(err.Error(), "no answer to ARP or ND from 10.9.0.3 on va") {
		t.Error(err)
	}
	if hop == nil || hop.Valid() {
		t.Fatal("it is valid")
	}
	p.b.addr("vb", "10.9.0.3/24")
	eventually(t, hop.Valid)
}

func TestHopWithoutRouteBecomesValidLater(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(netip.MustParseAddr("172.16.1.1"))
	if err == nil || !strings.Contains(err.Error(), "no route to 172.16.1.1") {
		t.Error(err)
	}
	p.a.route("172.16.0.0/12", b4.String())
	eventually(t, hop.Valid)
}

func TestPermanentNeighbourStaysPermanent(t *testing.T) {
	p := newPair(t)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	p.a.neighbour("va", b4, mac, netlink.NUD_PERMANENT)
	hops := p.a.hops("")
	hop, err := hops.Add(b4)
	must(t, err)
	hops.mu.Lock()
	err = hops.resolve(hop, true)
	state, got, lookup := hops.neighbour(hop.ifindex, b4)
	hops.mu.Unlock()
	must(t, err)
	must(t, lookup)
	if state != netlink.NUD_PERMANENT || !same(got, mac) {
		t.Errorf("state %#x, %s", state, got)
	}
}

func TestRefreshUsesAStaleNeighbour(t *testing.T) {
	p := newPair(t)
	hops := p.a.hops("")
	hop, err := hops.Add(b4)
	must(t, err)
	p.a.neighbour("va", b4, p.b.mac("vb"), netlink.NUD_STALE)
	hops.mu.Lock()
	err = hops.resolve(hop, true)
	state, _, lookup := hops.neighbour(hop.ifindex, b4)
	hops.mu.Unlock()
	must(t, err)
	must(t, lookup)
	if state == netlink.NUD_STALE {
		t.Error("it is stale")
	}
}

func TestHopToThisHostIsLoopback(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("").Add(a4)
	must(t, err)
	if hop.Ifindex() != p.a.link("lo").Attrs().Index || !same(dst(hop), make(net.HardwareAddr, 6)) {
		t.Errorf("%+v", hop.next.Load())
	}
	r := p.a.open(Config{Interface: "lo", Filter: onlyTCP})
	tx := p.a.newTx(Link)
	b := tcp(port(client4, 1), port(a4, 2), nil)
	copy(tx.Begin(), b)
	tx.Commit(len(b), 0, hop)
	tx.Flush()
	collect(t, r, 1)
}

func TestOutputInterfaceIsForced(t *testing.T) {
	p := newPair(t)
	hop, err := p.a.hops("va").Add(b4)
	must(t, err)
	if hop.Ifindex() != p.a.link("va").Attrs().Index {
		t.Error(hop.Ifindex())
	}
	p.a.in(func() {
		if _, err := NewHops(context.Background(), "nosuch0"); err == nil || !strings.Contains(err.Error(), `no interface "nosuch0"`) {
			t.Error(err)
		}
	})
}

func TestTunnelHasNoLinkHeader(t *testing.T) {
	p := newPair(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "tun0"
	must(t, tuntap(p.a, attrs))
	p.a.up("tun0")
	p.a.addr("tun0", "10.99.0.1/24")
	target := netip.MustParseAddr("10.99.0.2")
	hop, err := p.a.hops("").Add(target)
	must(t, err)
	if n := hop.next.Load(); n.linkLen != 0 {
		t.Errorf("%+v", n)
	}
}

// tuntap makes a persistent tun device.
func tuntap(h host, attrs netlink.LinkAttrs) (err error) {
	h.in(func() {
		err = netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_NO_PI})
	})
	return err
}

func TestStaticHopIsWhatItIsTold(t *testing.T) {
	p := newPair(t)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	p.a.in(func() {
		hop, err := StaticHop("va", nil, mac)
		must(t, err)
		if n := hop.next.Load(); !same(n.macs[:6], mac) || !same(n.macs[6:], p.a.mac("va")) || hop.MTU() != 1500 {
			t.Errorf("%+v", n)
		}
		hop, err = StaticHop("lo", mac, make(net.HardwareAddr, 6))
		must(t, err)
		if n := hop.next.Load(); !same(n.macs[6:], mac) {
			t.Errorf("%+v", n)
		}
		if _, err := StaticHop("va", nil, nil); err == nil {
			t.Error("no destination is accepted")
		}
		if _, err := StaticHop("nosuch0", nil, mac); err == nil {
			t.Error("no interface is accepted")
		}
		addrs, err := LocalAddrs()
		must(t, err)
		for _, a := range []netip.Addr{a4, a6, netip.MustParseAddr("127.0.0.1")} {
			if !slices.Contains(addrs, a) {
				t.Errorf("%v is not in %v", a, addrs)
			}
		}
	})
}

func TestHopsEndWithTheirContext(t *testing.T) {
	p := newPair(t)
	ctx, cancel := context.WithCancel(context.Background())
	var hops *Hops
	p.a.in(func() {
		var err error
		hops, err = NewHops(ctx, "")
		must(t, err)
	})
	cancel()
	eventually(t, func() bool { _, _, err := hops.events.Receive(); return err != nil && err != unix.EAGAIN })
	if _, err := hops.Add(b4); err == nil {
		t.Error("Add works")
	}
}
