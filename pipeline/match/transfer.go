package match

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// A Transfer is one entry of -x, ready for the data path.
type Transfer struct {
	Conf   conf.Transfer
	Target packet.Endpoint
	Hop    *ring.Hop // towards the target; nil in one that is leaving: its number is free

	// Leaving says that a reload removed the transfer. Its sessions run to their end,
	// and no new one begins.
	Leaving bool
	// Generation tells transfers apart that had the same number at different times.
	Generation uint32

	online packet.Endpoint // Addr is zero where any address matches
	any    bool
	mtu    int // configured; 0: the hop's
}

func newTransfer(t conf.Transfer, mtu int) Transfer {
	online := t.Online
	anyAddr := !online.Addr().IsValid() || online.Addr().IsUnspecified()
	x := Transfer{Conf: t, any: anyAddr, Target: packet.EndpointFrom(t.Target), mtu: mtu}
	x.online.Port = online.Port()
	if !anyAddr {
		x.online.Addr = packet.AddrFrom(online.Addr())
	}
	return x
}

// same reports whether both take the same packets to the same target.
func (t *Transfer) same(o *Transfer) bool {
	return t.online == o.online && t.any == o.any && t.Target == o.Target
}

// takes reports whether g is addressed to what is copied.
func (t *Transfer) takes(g *packet.Segment) bool {
	return g.Dst.Port == t.online.Port && (t.any || g.Dst.Addr == t.online.Addr)
}

// MTU is the MTU towards the target. While the hop is not known it is Ethernet's.
func (t *Transfer) MTU() uint16 {
	switch m := t.Hop.MTU(); {
	case t.mtu > 0:
		return uint16(t.mtu)
	case m > 0:
		return uint16(min(m, 65535))
	}
	return 1500
}

// String names the transfer as -x does.
func (t *Transfer) String() string {
	if t.any {
		return fmt.Sprintf("%d-%v", t.online.Port, t.Target)
	}
	return fmt.Sprintf("%v-%v", t.online, t.Target)
}

// With is m with the transfers of cfg. Those that m has keep their numbers and
// their hops; those that cfg has not are leaving; others take numbers that are
// free, and have no hops yet.
func (m *Matcher) With(cfg *conf.Tcpcopy) (*Matcher, error) {
	next := *m
	next.Transfers, next.order = slices.Clone(m.Transfers), nil
	for i := range next.Transfers {
		next.Transfers[i].Leaving = true
	}
	seen := map[netip.AddrPort]bool{}
	var fresh []Transfer
	for _, t := range cfg.Transfers {
		if seen[t.Online] {
			continue // the first transfer of this online endpoint takes all its packets
		}
		seen[t.Online] = true
		x := newTransfer(t, cfg.MTU)
		i := slices.IndexFunc(next.Transfers, func(o Transfer) bool { return o.Hop != nil && o.same(&x) })
		if i < 0 {
			fresh = append(fresh, x)
			next.order = append(next.order, -len(fresh)) // stands for fresh[len(fresh)-1] until that has a number
			continue
		}
		next.Transfers[i].Conf, next.Transfers[i].Leaving = t, false
		next.order = append(next.order, i)
	}
	for k, i := range next.order {
		if i < 0 {
			var err error
			if next.order[k], err = next.number(fresh[-i-1]); err != nil {
				return nil, err
			}
		}
	}
	next.order = append(next.order, next.Leaving()...)
	return &next, nil
}

// number gives x a number that is free.
func (m *Matcher) number(x Transfer) (int, error) {
	i := slices.IndexFunc(m.Transfers, func(o Transfer) bool { return o.Leaving && o.Hop == nil })
	if i >= 0 {
		x.Generation = m.Transfers[i].Generation + 1
		m.Transfers[i] = x
		return i, nil
	}
	if len(m.Transfers) == account.MaxTransfers {
		return 0, fmt.Errorf("more than %d transfers: at most %d are possible, with those that were removed and have sessions still", account.MaxTransfers, account.MaxTransfers)
	}
	m.Transfers = append(m.Transfers, x)
	return len(m.Transfers) - 1, nil
}

// Without is m without the transfers over, which were leaving and have no
// sessions any more. Their numbers are free.
func (m *Matcher) Without(over []int) *Matcher {
	next := *m
	next.Transfers = slices.Clone(m.Transfers)
	for _, i := range over {
		next.Transfers[i].Hop = nil
	}
	next.order = slices.DeleteFunc(slices.Clone(m.order), func(i int) bool { return slices.Contains(over, i) })
	return &next
}

// Leaving are the numbers of transfers that a reload removed and that still have
// sessions.
func (m *Matcher) Leaving() (numbers []int) {
	for i := range m.Transfers {
		if t := &m.Transfers[i]; t.Leaving && t.Hop != nil {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// Names are the transfers' names by number, empty where a number is free.
func (m *Matcher) Names() []string {
	names := make([]string, len(m.Transfers))
	for i := range m.Transfers {
		if t := &m.Transfers[i]; !t.Leaving || t.Hop != nil {
			names[i] = t.String()
		}
	}
	return names
}
