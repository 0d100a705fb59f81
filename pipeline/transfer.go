package pipeline

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

// A transfer is one entry of -x, ready for the data path.
type transfer struct {
	conf   conf.Transfer
	online packet.Endpoint // Addr is zero where any address matches
	any    bool
	target packet.Endpoint
	hop    *ring.Hop // nil: not needed any more
	mtu    int       // configured; 0: the hop's

	// A reload removed it: its sessions run to their end, and none begins.
	leaving bool
}

// same reports whether both take the same packets to the same target.
func (t *transfer) same(o *transfer) bool {
	return t.online == o.online && t.any == o.any && t.target == o.target
}

// mtuFor is the MTU towards the target. A hop that is not known yet counts as
// Ethernet.
func (t *transfer) mtuFor() uint16 {
	switch m := t.hop.MTU(); {
	case t.mtu > 0:
		return uint16(t.mtu)
	case m > 0:
		return uint16(min(m, 65535))
	}
	return 1500
}

// matcher decides which packets belong to clients. It repeats in user space
// what the filter in the kernel does, because that filter may be the user's.
type matcher struct {
	transfers []transfer     // all that there have been, by session.Session.Transfer
	order     []int          // of those that match; what is leaving comes last
	own       []netip.Prefix // addresses that sessions show to targets
	recorded  bool           // packets come from recordings
}

// match returns the number of the first transfer that g belongs to, or -1. What
// tcpcopy sent itself, and what a target sends on, never matches, so that a
// copy cannot be copied. A recording may well be of the target.
func (m *matcher) match(g *packet.Segment) int {
	if m.recorded {
		return m.wanted(g)
	}
	found := -1
	for _, i := range m.order {
		t := &m.transfers[i]
		if g.Dst == t.target || g.Src.Addr == t.target.Addr {
			return -1
		}
		if found < 0 && g.Dst.Port == t.online.Port && (t.any || g.Dst.Addr == t.online.Addr) {
			found = i
		}
	}
	if found >= 0 && len(m.own) > 0 {
		a := g.Src.Addr.Netip()
		for _, p := range m.own {
			if p.Contains(a) {
				return -1
			}
		}
	}
	return found
}

// wanted returns the number of the first transfer that g is addressed to, or -1.
func (m *matcher) wanted(g *packet.Segment) int {
	for _, i := range m.order {
		t := &m.transfers[i]
		if g.Dst.Port == t.online.Port && (t.any || g.Dst.Addr == t.online.Addr) {
			return i
		}
	}
	return -1
}

// findHops gives the transfers that are not leaving their hops.
func (p *Pipeline) findHops(m *matcher) (err error) {
	if len(m.transfers) > maxTransfers {
		return fmt.Errorf("%d transfers: at most %d are possible, with those that were removed since the start", len(m.transfers), maxTransfers)
	}
	known := map[netip.Addr]*ring.Hop{}
	for i := range m.transfers {
		if t := &m.transfers[i]; t.hop != nil && !t.hop.Static() {
			known[t.target.Addr.Netip()] = t.hop
		}
	}
	for _, i := range m.order {
		t := &m.transfers[i]
		addr := t.target.Addr.Netip()
		switch {
		case t.leaving:
		case t.conf.NextHopMAC != nil:
			if t.hop, err = ring.StaticHop(p.cfg.OutInterface, t.conf.SourceMAC, t.conf.NextHopMAC); err != nil {
				return err
			}
		case known[addr] == nil:
			// Whatever is missing may come: the hop becomes valid then.
			if known[addr], err = p.hops.Add(addr); err != nil {
				p.log.Warn("target cannot be reached yet", "target", t.conf.Target, "err", err)
			}
			fallthrough
		default:
			t.hop = known[addr]
		}
	}
	return nil
}

// recognizer finds the clients' packets and their transfers.
type recognizer struct {
	matcher  matcher
	loopback packet.Addr // replaces a client's that is one; zero: it stays
}

// newRecognizer makes that of cfg. Its transfers have no hops yet.
func newRecognizer(cfg *conf.Tcpcopy) (r recognizer) {
	r.matcher.recorded = len(cfg.Replay.Files) > 0
	if cfg.LoopbackClient.IsValid() {
		r.loopback = packet.AddrFrom(cfg.LoopbackClient)
	}
	if cfg.Clients != nil {
		r.matcher.own = cfg.Clients.Prefixes()
	}
	r.matcher = r.matcher.with(cfg)
	return r
}

// with is m with the transfers of cfg. Those that m has keep their numbers,
// and their hops. Those that cfg has not are leaving.
func (m matcher) with(cfg *conf.Tcpcopy) matcher {
	m.transfers, m.order = slices.Clone(m.transfers), nil
	for i := range m.transfers {
		m.transfers[i].leaving = true
	}
	seen := map[netip.AddrPort]bool{}
	for _, t := range cfg.Transfers {
		if seen[t.Online] {
			continue // the first has it all
		}
		seen[t.Online] = true
		x := newTransfer(t, cfg.MTU)
		i := slices.IndexFunc(m.transfers, func(o transfer) bool { return o.same(&x) })
		if i < 0 {
			i = len(m.transfers)
			m.transfers = append(m.transfers, x)
		}
		m.transfers[i].conf, m.transfers[i].leaving = t, false
		m.order = append(m.order, i)
	}
	for i := range m.transfers {
		if t := &m.transfers[i]; t.leaving && t.hop != nil {
			m.order = append(m.order, i)
		}
	}
	return m
}

func newTransfer(t conf.Transfer, mtu int) transfer {
	online := t.Online
	anyAddr := !online.Addr().IsValid() || online.Addr().IsUnspecified()
	x := transfer{conf: t, any: anyAddr, target: packet.EndpointFrom(t.Target), mtu: mtu}
	x.online.Port = online.Port()
	if !anyAddr {
		x.online.Addr = packet.AddrFrom(online.Addr())
	}
	return x
}

// take decodes f into g and finds its transfer.
func (r *recognizer) take(f *ring.Frame, g *packet.Segment) (t int, d PacketDrop, ok bool) {
	if m := packet.Decode(f.Data, f.Wire, g); m != packet.WellFormed {
		g.Len = 0
		return 0, dropFor(m), false
	}
	g.Time = f.Time
	if t = r.matcher.match(g); t < 0 {
		return 0, NotMatched, false
	}
	if r.loopback != (packet.Addr{}) && g.Src.Addr.Netip().IsLoopback() {
		g.Src.Addr = r.loopback
	}
	if len(r.matcher.own) == 0 && g.Src.Addr.Is4() != r.matcher.transfers[t].target.Addr.Is4() {
		return 0, NotMatched, false // without -c clients keep their family
	}
	return t, 0, true
}

// kernelFilter is the filter that captures what cfg asks for: what the
// transfers say, also those that are leaving, within the user's filter, and
// never what tcpcopy sends.
func kernelFilter(cfg *conf.Tcpcopy, m *matcher) (*filter.Filter, error) {
	derived, err := filter.Compile(expression(cfg, m))
	if err != nil || cfg.Filter == "" {
		return derived, err
	}
	f, err := filter.Compile(cfg.Filter)
	if err != nil {
		return nil, err
	}
	return filter.And(derived, f), nil
}

// expression is the filter that the transfers stand for (pcap-filter(7)).
func expression(cfg *conf.Tcpcopy, m *matcher) string {
	var take, leave []string
	seen := map[netip.AddrPort]bool{}
	for _, i := range m.order {
		t := m.transfers[i].conf
		e := fmt.Sprintf("(tcp dst port %d)", t.Online.Port())
		if t.Online.Addr().IsValid() && !t.Online.Addr().IsUnspecified() {
			e = fmt.Sprintf("(tcp dst port %d and dst host %s)", t.Online.Port(), t.Online.Addr())
		}
		take = append(take, e)
		if !seen[t.Target] {
			seen[t.Target] = true
			leave = append(leave, fmt.Sprintf("(dst host %s and tcp dst port %d)", t.Target.Addr(), t.Target.Port()),
				fmt.Sprintf("(src host %s)", t.Target.Addr()))
		}
	}
	if cfg.Clients != nil {
		for _, p := range cfg.Clients.Prefixes() {
			leave = append(leave, fmt.Sprintf("(src net %s)", p))
		}
	}
	return "tcp and (" + strings.Join(take, " or ") + ") and not (" + strings.Join(leave, " or ") + ")"
}
