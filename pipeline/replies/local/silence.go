package local

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

var errMoved = errors.New("transfer: replies are captured on this host, for the targets of the start only; restart it")

// silence is since when no target has answered.
type silence struct {
	asked  time.Time // the first SYN was seen to be sent
	warned time.Time // the log warned last
}

// watchSilence warns when no reply to any SYN comes.
func (l *Replies) watchSilence(now time.Time, c *account.Counters) {
	q, s := &l.silence, &c.Session
	switch {
	case s.Opened == 0 || s.Established+s.Refused > 0:
	case q.asked.IsZero():
		q.asked = now
	case now.Sub(q.asked) >= noReplyWarning && now.Sub(q.warned) >= noReplyWarningInterval:
		q.warned = now
		l.log.Warn("no answer to any SYN: the route back to this host is missing, or the target does not listen, or something between drops the packets",
			"syns", s.Opened, "expected", l.route())
	}
}

// route says which route brings the replies here, in the words of ip-route(8).
func (l *Replies) route() string {
	self := "this host"
	if addr, ok := towards(l.conf.Transfers[0].Target); ok {
		self = addr.String()
	}
	if l.conf.Clients == nil {
		return "on the hosts that answer the clients, the route to the clients' own addresses leads to " + self + " (or give them others with -c)"
	}
	var routes []string
	for _, p := range l.conf.Clients.Prefixes() {
		routes = append(routes, fmt.Sprintf("ip route add %v via %s", p, self))
	}
	return "on the hosts that answer the clients: " + strings.Join(routes, "; ")
}

// towards is this host's address on the way to a target.
func towards(target netip.AddrPort) (netip.Addr, bool) {
	c, err := net.Dial("udp", target.String()) // sends nothing
	if err != nil {
		return netip.Addr{}, false
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return a.AddrPort().Addr().Unmap(), true
}

var (
	descPackets  = account.Desc("reply_capture_packets_total", "Packets of targets that were captured on this host.", "interface")
	descDrops    = account.Desc("reply_capture_kernel_drops_total", "Packets of targets that the kernel dropped because the ring was full.", "interface")
	descUp       = account.Desc("reply_capture_up", "Whether packets of targets are captured: 0 while the interface is deleted or down.", "interface")
	descReopened = account.Desc("reply_capture_reopened_total", "Times that the capture went on with new rings, because its interface had been deleted and was there again.", "interface")
	descReplies  = account.Desc("replies_captured_total", "What became of the packets of targets that were captured on this host.", "result")
)

// Collect gives the captures' metrics.
func (l *Replies) Collect(m account.Metrics) {
	var all reply.Counts
	for _, c := range l.captures {
		st := c.capture.Stats(0)
		name := c.Name()
		if name == "" {
			name = "any"
		}
		m.Bool(descUp, c.capture.Err() == nil, name)
		m.Count(descReopened, c.capture.Reopened(), name)
		m.Count(descPackets, st.Packets, name)
		m.Count(descDrops, st.Drops, name)
		all.Add(c.Counts())
	}
	held := l.router.Stats()
	m.Count(descReplies, all.Routed+held.Released, "routed")
	m.Count(descReplies, all.NoSession+held.Expired, "no_session")
	m.Count(descReplies, all.Captured-all.Routed-all.NoSession-all.Held, "malformed")
}
