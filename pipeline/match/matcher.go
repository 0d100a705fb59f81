// Package match says which packets are copied, and to where: by the transfers
// of -x and the addresses of -c, as a program for the kernel and once more in
// user space.
//
// It knows packets and the configuration. It does not know where packets come
// from, and next hops are given to it.
package match

import (
	"net/netip"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// A Matcher decides which packets belong to clients. It repeats in user space
// what the filter in the kernel does, because that filter may be the user's.
// A matcher that is in use does not change: a reload makes another.
type Matcher struct {
	Transfers []Transfer // by number, those that are leaving too

	order    []int          // numbers in the order in which they are tried; those that are leaving come last
	own      []netip.Prefix // addresses that sessions show to targets
	recorded bool           // packets come from recordings
	loopback packet.Addr    // replaces a client's that is one; zero: it stays
}

// New makes the matcher of cfg. Its transfers have no hops yet.
func New(cfg *conf.Tcpcopy) (*Matcher, error) {
	m := &Matcher{recorded: len(cfg.Replay.Files) > 0}
	if cfg.LoopbackClient.IsValid() {
		m.loopback = packet.AddrFrom(cfg.LoopbackClient)
	}
	if cfg.Clients != nil {
		m.own = cfg.Clients.Prefixes()
	}
	return m.With(cfg)
}

// Classify decodes f into g and finds its transfer. Where ok is false, d says why
// the packet is not copied.
func (m *Matcher) Classify(f *ring.Frame, g *packet.Segment) (transfer int, d account.PacketDrop, ok bool) {
	if malformed := packet.Decode(f.Data, f.Wire, g); malformed != packet.WellFormed {
		g.Len = 0
		return 0, account.DropFor(malformed), false
	}
	g.Time = f.Time
	if transfer = m.transfer(g); transfer < 0 {
		return 0, account.NotMatched, false
	}
	if m.loopback != (packet.Addr{}) && g.Src.Addr.Netip().IsLoopback() {
		g.Src.Addr = m.loopback
	}
	if len(m.own) == 0 && g.Src.Addr.Is4() != m.Transfers[transfer].Target.Addr.Is4() {
		return 0, account.NotMatched, false // without -c clients keep their family
	}
	return transfer, 0, true
}

// transfer returns the number of the first transfer that g belongs to, or -1.
// What tcpcopy sent itself, and what a target sends on, never matches, so that a
// copy cannot be copied. A recording may well be of the target.
func (m *Matcher) transfer(g *packet.Segment) int {
	found := -1
	for _, i := range m.order {
		t := &m.Transfers[i]
		if !m.recorded && (g.Dst == t.Target || g.Src.Addr == t.Target.Addr) {
			return -1
		}
		if found < 0 && t.takes(g) {
			found = i
		}
	}
	if found >= 0 && !m.recorded && len(m.own) > 0 {
		a := g.Src.Addr.Netip()
		for _, p := range m.own {
			if p.Contains(a) {
				return -1
			}
		}
	}
	return found
}
