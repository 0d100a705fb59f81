package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Bridge is an Ethernet switch.
type Bridge struct {
	Name string
	host *Host
	link netlink.Link
}

// Bridge makes a switch on h.
func (h *Host) Bridge(name string) (*Bridge, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	// Snooping would hold neighbour discovery back until a querier shows up.
	snooping := false
	b := &Bridge{Name: name, host: h, link: &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}}
	if err := h.nl.LinkAdd(b.link); err != nil {
		return nil, fmt.Errorf("lab: bridge %s: %w", name, err)
	}
	if err := h.nl.LinkSetUp(b.link); err != nil {
		return nil, fmt.Errorf("lab: bridge %s: %w", name, err)
	}
	return b, nil
}

// Wire says how a host is plugged into a bridge.
type Wire struct {
	Interface       string   // at the host
	Addrs           []string // with prefix length
	Offload         bool     // segmentation and checksum offloads, at both ends
	ThreadedReceive bool     // the sender does not do the work of the switch and what is behind it
}

// Plug connects h to the switch by a veth pair.
func (b *Bridge) Plug(h *Host, w Wire) error {
	fail := func(err error) error {
		return fmt.Errorf("lab: plug %s %s into %s: %w", h.Name, w.Interface, b.Name, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = h.Name + "." + w.Interface
	attrs.MasterIndex = b.link.Attrs().Index
	attrs.NumTxQueues, attrs.NumRxQueues = 2, 2
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: w.Interface, PeerNamespace: netlink.NsFd(h.ns)}
	if err := b.host.nl.LinkAdd(veth); err != nil {
		return fail(err)
	}
	if !w.Offload {
		if err := b.host.offloadsOff(attrs.Name); err != nil {
			return fail(err)
		}
		if err := h.offloadsOff(w.Interface); err != nil {
			return fail(err)
		}
	}
	if err := b.host.nl.LinkSetUp(veth); err != nil {
		return fail(err)
	}
	if w.ThreadedReceive {
		if err := b.host.threaded(attrs.Name); err != nil {
			return fail(err)
		}
	}
	link, err := h.nl.LinkByName(w.Interface)
	if err != nil {
		return fail(err)
	}
	if err := h.nl.LinkSetUp(link); err != nil {
		return fail(err)
	}
	if err := h.Sysctl("ipv4/conf/" + w.Interface + "/rp_filter=0"); err != nil {
		return err
	}
	return h.Addr(w.Interface, w.Addrs...)
}

// MTU limits the packets of an interface. Below 1280 it carries no IPv6.
func (h *Host) MTU(iface string, bytes int) error {
	link, err := h.nl.LinkByName(iface)
	if err == nil {
		err = h.nl.LinkSetMTU(link, bytes)
	}
	if err != nil {
		return fmt.Errorf("lab: %s: MTU %d of %s: %w", h.Name, bytes, iface, err)
	}
	return nil
}

// Addr gives addresses, with prefix lengths, to an interface.
func (h *Host) Addr(iface string, addrs ...string) error {
	link, err := h.nl.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("lab: %s: interface %s: %w", h.Name, iface, err)
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return fmt.Errorf("lab: %s: address %s: %w", h.Name, a, err)
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("lab: %s: address %s: %w", h.Name, a, err)
		}
	}
	return nil
}

// Route sends dst to the routers via, spread over them by flow where they are
// several (set ipv4/fib_multipath_hash_policy to 1 for a hash that counts the
// ports). iface may be empty: then the routers' own routes choose.
func (h *Host) Route(dst, iface string, via ...string) error {
	fail := func(err error) error { return fmt.Errorf("lab: %s: route %s via %v: %w", h.Name, dst, via, err) }
	prefix, err := netip.ParsePrefix(dst)
	if err != nil {
		return fail(err)
	}
	index := 0
	if iface != "" {
		link, err := h.nl.LinkByName(iface)
		if err != nil {
			return fail(err)
		}
		index = link.Attrs().Index
	}
	r := &netlink.Route{Dst: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}}
	if len(via) == 1 {
		r.Gw, r.LinkIndex = net.ParseIP(via[0]), index
	}
	if len(via) > 1 {
		for _, v := range via {
			r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{Gw: net.ParseIP(v), LinkIndex: index})
		}
	}
	if err := h.nl.RouteAdd(r); err != nil {
		return fail(err)
	}
	return nil
}

// ProxyARP makes h answer ARP on iface for an address that it forwards and
// does not own.
func (h *Host) ProxyARP(iface, addr string) error {
	link, err := h.nl.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("lab: %s: interface %s: %w", h.Name, iface, err)
	}
	err = h.nl.NeighAdd(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, Family: unix.AF_INET,
		Flags: netlink.NTF_PROXY, IP: net.ParseIP(addr),
	})
	if err != nil {
		return fmt.Errorf("lab: %s: proxy ARP for %s: %w", h.Name, addr, err)
	}
	return nil
}
