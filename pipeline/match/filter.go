package match

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

// wholePacket cuts nothing (MAXIMUM_SNAPLEN of libpcap).
const wholePacket = 256 << 10

// Program is the kernel's filter that captures what cfg asks for: what the
// transfers say, also those that are leaving, within the user's filter, and
// never what tcpcopy sends.
func (m *Matcher) Program(cfg *conf.Tcpcopy) ([]bpf.RawInstruction, error) {
	f, err := filter.Compile(m.Expression())
	if err == nil && cfg.Filter != "" {
		var users *filter.Filter
		users, err = filter.Compile(cfg.Filter)
		f = filter.And(f, users)
	}
	if err != nil {
		return nil, err
	}
	snap := uint32(cfg.SnapLen)
	if cfg.SnapLen <= 0 || cfg.SnapLen >= 65535 {
		snap = wholePacket
	}
	return f.Kernel(snap)
}

// Expression is the filter that the transfers stand for (pcap-filter(7)).
func (m *Matcher) Expression() string {
	var take, leave []string
	seen := map[netip.AddrPort]bool{}
	for _, i := range m.order {
		t := m.Transfers[i].Conf
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
	for _, p := range m.own {
		leave = append(leave, fmt.Sprintf("(src net %s)", p))
	}
	return "tcp and (" + strings.Join(take, " or ") + ") and not (" + strings.Join(leave, " or ") + ")"
}
