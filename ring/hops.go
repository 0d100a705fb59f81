package ring

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// refreshEvery keeps neighbour entries in use: the kernel, which does not
	// see frames of ours, would let them grow stale and forget them. It is
	// below base_reachable_time, 30 s (arp(7)).
	refreshEvery = 15 * time.Second
	// retryEvery is for hops that are not valid.
	retryEvery = time.Second
	// passInterval is the least time between two passes, for storms of events.
	passInterval = 100 * time.Millisecond
	// answerWithin is how long Add waits for an ARP or ND answer; the kernel
	// asks again after a second.
	answerWithin = 1500 * time.Millisecond

	// valid is NUD_VALID (include/net/neighbour.h).
	valid = netlink.NUD_PERMANENT | netlink.NUD_NOARP | netlink.NUD_REACHABLE | netlink.NUD_PROBE | netlink.NUD_STALE | netlink.NUD_DELAY
)

// Hops finds next hops by netlink (rtnetlink(7)) and follows the changes of
// routes, neighbours and links.
type Hops struct {
	ctx    context.Context
	handle *netlink.Handle
	events *nl.NetlinkSocket
	out    string        // "": as the route says
	dirty  chan struct{} // something changed

	mu   sync.Mutex
	hops []*Hop
}

// NewHops begins to follow the namespace of the calling thread, until ctx
// ends. out is the interface that all hops use; "" is as their routes say.
func NewHops(ctx context.Context, out string) (*Hops, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("ring: netlink: %w", err)
	}
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("ring: netlink events: %w", err)
	}
	h := &Hops{ctx: ctx, handle: handle, events: events, out: out, dirty: make(chan struct{}, 1)}
	if out != "" {
		if _, err := handle.LinkByName(out); err != nil {
			h.close()
			return nil, fmt.Errorf("ring: no interface %q: `ip link` lists those that exist", out)
		}
	}
	go h.listen()
	go h.follow()
	return h, nil
}

func (h *Hops) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events.Close()
	h.handle.Close()
}

// Add finds the way to target; the kernel asks for its MAC address if it is
// not known, for which it needs CAP_NET_ADMIN. The hop is returned in any case
// and becomes valid when it can; the error says why it is not yet.
func (h *Hops) Add(target netip.Addr) (*Hop, error) {
	hop := &Hop{target: target.Unmap()}
	h.mu.Lock()
	h.hops = append(h.hops, hop)
	h.mu.Unlock()
	for deadline := time.Now().Add(answerWithin); ; {
		h.mu.Lock()
		err := h.resolve(hop, false)
		h.mu.Unlock()
		if err == nil {
			return hop, nil
		}
		if !errors.Is(err, errUnanswered) || time.Now().After(deadline) {
			h.changed() // from here on, follow tries
			return hop, fmt.Errorf("ring: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Remove ends the care for a hop, which stays as it is.
func (h *Hops) Remove(hop *Hop) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hops = slices.DeleteFunc(h.hops, func(o *Hop) bool { return o == hop })
}

// Len is how many hops there are.
func (h *Hops) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.hops)
}

// follow resolves all hops again, after events and from time to time.
func (h *Hops) follow() {
	defer h.close()
	refreshed := time.Now()
	timer := time.NewTimer(refreshEvery)
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.dirty:
		case <-timer.C:
		}
		refresh := time.Since(refreshed) >= refreshEvery
		if refresh {
			refreshed = time.Now()
		}
		next := refreshEvery
		h.mu.Lock()
		for _, hop := range h.hops {
			if h.resolve(hop, refresh) != nil {
				next = retryEvery
			}
		}
		h.mu.Unlock()
		timer.Reset(next)
		time.Sleep(passInterval)
	}
}

// listen turns the kernel's notices into passes of follow.
func (h *Hops) listen() {
	for {
		messages, _, err := h.events.Receive()
		switch {
		case h.ctx.Err() != nil:
			return
		case err == unix.ENOBUFS: // some were lost
			h.changed()
		case err != nil:
			h.changed()
			time.Sleep(passInterval)
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_NEWNEIGH && m.Header.Type != unix.RTM_DELNEIGH || h.concerns(m.Data) {
				h.changed()
			}
		}
	}
}

func (h *Hops) changed() {
	select {
	case h.dirty <- struct{}{}:
	default:
	}
}

// concerns reports whether a notice about a neighbour is about one of ours;
// busy hosts have very many others.
func (h *Hops) concerns(message []byte) bool {
	n, err := netlink.NeighDeserialize(message)
	if err != nil {
		return true
	}
	ip, _ := netip.AddrFromSlice(n.IP)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hop := range h.hops {
		if hop.ifindex == n.LinkIndex && hop.gateway == ip.Unmap() {
			return true
		}
	}
	return false
}

// errUnanswered is for a neighbour that has not answered, yet.
var errUnanswered = errors.New("no answer")

// resolve finds the hop's state and publishes it. refresh confirms a neighbour
// that is known. The caller holds mu.
func (h *Hops) resolve(hop *Hop, refresh bool) error {
	if err := h.ctx.Err(); err != nil {
		return err // the sockets are closed, or will be
	}
	route, link, err := h.route(hop.target)
	if err != nil {
		hop.publish(nil)
		return err
	}
	a := link.Attrs()
	gateway := gatewayOf(route, hop.target)
	moved := hop.ifindex != a.Index || hop.gateway != gateway
	hop.ifindex, hop.gateway = a.Index, gateway
	mtu := a.MTU
	if route.MTU > 0 && route.MTU < mtu {
		mtu = route.MTU
	}
	switch a.EncapType {
	case "ether", "loopback":
	case "none":
		hop.publish(&nextHop{ifindex: int32(a.Index), mtu: mtu})
		return nil
	default:
		hop.publish(nil)
		return fmt.Errorf("%s, on the way to %s, has frames of type %s, not Ethernet: send raw IP packets instead", a.Name, hop.target, a.EncapType)
	}
	if a.RawFlags&unix.IFF_NOARP != 0 || a.EncapType == "loopback" {
		hop.publish(newNextHop(a.Index, mtu, a.HardwareAddr, a.HardwareAddr))
		return nil
	}
	state, mac, err := h.neighbour(a.Index, gateway)
	if err != nil {
		return err // the hop stays as it was
	}
	known := state&valid != 0 && len(mac) == 6
	// An entry that was there before may be out of date. To use a permanent one
	// would make it an ordinary one (__neigh_update, net/core/neighbour.c).
	var asked error
	if !known || (refresh || moved) && state&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) == 0 {
		asked = h.use(a.Index, gateway)
	}
	if known {
		hop.publish(newNextHop(a.Index, mtu, a.HardwareAddr, mac))
		return nil
	}
	// The kernel forgets neighbours that it does not need itself: the old
	// address serves until the new question has failed.
	if moved || state&netlink.NUD_FAILED != 0 {
		hop.publish(nil)
	}
	if asked != nil {
		return fmt.Errorf("ask for the MAC address of %s on %s: %w: CAP_NET_ADMIN is needed", gateway, a.Name, asked)
	}
	return fmt.Errorf("%w to ARP or ND from %s on %s, the next hop to %s: is it up, and in this network?", errUnanswered, gateway, a.Name, hop.target)
}

// route asks the kernel for the route to target and its interface.
func (h *Hops) route(target netip.Addr) (*netlink.Route, netlink.Link, error) {
	routes, err := h.handle.RouteGetWithOptions(target.AsSlice(), &netlink.RouteGetOptions{Oif: h.out})
	if err == nil && len(routes) == 0 {
		err = unix.ENETUNREACH
	}
	if err != nil {
		return nil, nil, fmt.Errorf("no route to %s: %w: add one with `ip route add`", target, err)
	}
	link, err := h.handle.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return nil, nil, fmt.Errorf("interface %d, on the way to %s: %w", routes[0].LinkIndex, target, err)
	}
	return &routes[0], link, nil
}

// gatewayOf is the address whose MAC address frames to target get.
func gatewayOf(r *netlink.Route, target netip.Addr) netip.Addr {
	ip := r.Gw
	if via, ok := r.Via.(*netlink.Via); ok { // IPv4 by way of an IPv6 neighbour
		ip = via.Addr
	}
	if gateway, ok := netip.AddrFromSlice(ip); ok {
		return gateway.Unmap()
	}
	return target
}

// neighbour looks ip up in the kernel's table; state 0 is an absent entry.
func (h *Hops) neighbour(ifindex int, ip netip.Addr) (state int, mac net.HardwareAddr, err error) {
	list, err := h.handle.NeighList(ifindex, family(ip))
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return 0, nil, fmt.Errorf("neighbours: %w", err)
	}
	for i := range list {
		if a, ok := netip.AddrFromSlice(list[i].IP); ok && a.Unmap() == ip {
			return list[i].State, list[i].HardwareAddr, nil
		}
	}
	return 0, nil, nil
}

// use makes the kernel treat the neighbour as one that it sends to: it asks
// for it if it must, and confirms it if it is stale.
func (h *Hops) use(ifindex int, ip netip.Addr) error {
	return h.handle.NeighSet(&netlink.Neigh{LinkIndex: ifindex, Family: family(ip), IP: ip.AsSlice(), Flags: netlink.NTF_USE})
}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
