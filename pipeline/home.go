package pipeline

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply/leak"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

const (
	// homeless is how long SYNs may go unanswered before that is told, and
	// then how often.
	homeless      = 3 * time.Second
	homelessAgain = 30 * time.Second
	// reopenEvery is how often a capture is opened again whose interface went
	// away.
	reopenEvery = time.Second
	// heldReplies is how many answers to SYNs wait for their session's claim:
	// of a large round the first SYNs go out before it.
	heldReplies = 1 << 14
	sweepEvery  = 500 * time.Millisecond
	// leaksEvery is how often this host's forwarding is looked at.
	leaksEvery = 5 * time.Second
)

// home is the replies' way without an intercept: they are routed to this host,
// and captured here as an intercept does. It is a sink and claims flows for
// the workers.
type home struct {
	p        *Pipeline
	guard    *leak.Guard
	router   *reply.Router
	lane     *reply.Lane
	captures []*replies

	mu     sync.Mutex // several captures deliver
	queues []*queue.SPSC[packet.Reply]
}

// replies are what an interface brings. The workers' first thread reads them
// while it runs all, and gives them back to a goroutine of their own when it
// has no time.
type replies struct {
	*reply.Capture
	ring *ring.Ring
	back chan error // from the first thread: what is wrong with the ring
}

// openHome opens the captures of replies.
func (p *Pipeline) openHome() (err error) {
	h := &home{p: p, router: reply.NewRouter(time.Minute, heldReplies)}
	p.home = h
	p.haste.tell = func(on bool) { h.lane.Hurry(on) }
	for _, w := range p.workers {
		w.haste = &p.haste
		q := queue.New[packet.Reply](repliesLen)
		h.queues = append(h.queues, q)
		w.replies = append(w.replies, q)
	}
	names := p.replyInterfaces()
	guarded := names
	if names[0] == "" {
		guarded = nil
	}
	if h.guard, err = leak.NewGuard(guarded); err != nil {
		return err
	}
	m := reply.Member{Name: p.cfg.Name, Count: 1}
	if p.cfg.Clients != nil {
		m.Claims = p.cfg.Clients.Prefixes()
	} else {
		for _, w := range p.workers {
			w.flows = h
		}
	}
	if err := h.leaks(); err != nil {
		return fmt.Errorf("replies to this host: %w", err)
	}
	if h.lane, err = h.router.Join(m, h); err != nil {
		return err
	}
	for _, name := range names {
		r, err := h.open(name)
		if err != nil {
			return err
		}
		h.captures = append(h.captures, &replies{reply.NewCapture(name, h.router, 0, nil), r, make(chan error, 1)})
	}
	p.workers[0].own.guests = h.captures
	p.log.Info("replies are captured on this host", "interface", strings.Join(printed(names), ","), "expected", h.way())
	return nil
}

// replyInterfaces are those that replies come in by, "" for all: the one that
// is configured, or those of the routes to the targets.
func (p *Pipeline) replyInterfaces() (names []string) {
	switch p.cfg.ReplyInterface {
	case "":
	case "any":
		return []string{""}
	default:
		return []string{p.cfg.ReplyInterface}
	}
	for _, t := range p.now.Load().set.matcher.transfers {
		ifi, err := net.InterfaceByIndex(t.hop.Ifindex())
		if err != nil { // no way to that target yet
			return []string{""}
		}
		if !slices.Contains(names, ifi.Name) {
			names = append(names, ifi.Name)
		}
	}
	return names
}

func printed(names []string) []string {
	if names[0] == "" {
		return []string{"any"}
	}
	return names
}

func (h *home) open(name string) (*ring.Ring, error) {
	var from []string
	for _, t := range h.p.now.Load().set.matcher.transfers {
		from = append(from, fmt.Sprintf("(src host %v and tcp src port %d)", t.target.Addr, t.target.Port))
	}
	f, err := filter.Compile("tcp and (" + strings.Join(from, " or ") + ")")
	if err != nil {
		return nil, err
	}
	program, err := f.Kernel(reply.Snap)
	if err != nil {
		return nil, err
	}
	return ring.Open(ring.Config{
		Interface: name,
		Version:   ring.V2,
		FrameSize: reply.FrameSize,
		Blocks:    max(2, int(replyBytes(h.p.cfg))/len(h.p.replyInterfaces())/ring.DefaultBlockSize),
		Filter:    program,
	})
}

// leaks tells whether this host would send replies on to the real clients.
func (h *home) leaks() error {
	if h.p.cfg.Clients == nil {
		return h.guard.CheckAll()
	}
	for _, p := range h.p.cfg.Clients.Prefixes() {
		if err := h.guard.Check(p); err != nil {
			return err
		}
	}
	return nil
}

// way says which route brings the replies here, in the words of ip-route(8).
func (h *home) way() string {
	self := "this host"
	if addr, ok := towards(h.p.cfg.Transfers[0].Target); ok {
		self = addr.String()
	}
	if h.p.cfg.Clients == nil {
		return "on the hosts that answer the clients, the route to the clients' own addresses leads to " + self + " (or give them others with -c)"
	}
	var routes []string
	for _, p := range h.p.cfg.Clients.Prefixes() {
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

// run captures until ctx is done.
func (h *home) run(ctx context.Context) {
	var captures sync.WaitGroup
	for _, c := range h.captures {
		captures.Go(func() { h.capture(ctx, c) })
	}
	captures.Go(func() { h.watch(ctx) })
	captures.Wait()
}

// capture reads c's ring, and a new one whenever one ends.
func (h *home) capture(ctx context.Context, c *replies) {
	for {
		c.Begin(c.ring)
		err := h.read(ctx, c)
		c.End()
		if ctx.Err() != nil {
			return
		}
		h.p.log.Error("capture of replies ended, opening it again", "interface", c.Name(), "err", err)
		for c.ring = nil; c.ring == nil; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(reopenEvery):
			}
			c.ring, _ = h.open(c.Name()) // until it is there again
		}
		h.p.log.Info("capture of replies goes on", "interface", c.Name())
	}
}

// read has c read until ctx is done or its ring fails: by the workers' first
// thread while that runs all, else here.
func (h *home) read(ctx context.Context, c *replies) (err error) {
	first := h.p.workers[0].own
	for err == nil && ctx.Err() == nil {
		if first.host(c) {
			err = <-c.back
		} else {
			err = c.Work(ctx, first.together.Load)
		}
	}
	return err
}

// watch tells of replies that do not come, and of those that would go on to
// real clients.
func (h *home) watch(ctx context.Context) {
	sweep, leaks := time.NewTicker(sweepEvery), time.NewTicker(leaksEvery)
	defer sweep.Stop()
	defer leaks.Stop()
	var asked, told time.Time // the first SYN was sent; that was told
	for {
		select {
		case <-ctx.Done():
			return
		case <-leaks.C:
			if err := h.leaks(); err != nil {
				h.p.log.Error("REPLIES LEAK TO REAL CLIENTS", "err", err)
			}
		case now := <-sweep.C:
			h.router.Sweep(now)
			c := h.p.Totals()
			switch s := &c.Session; {
			case s.Opened == 0 || s.Established+s.Refused > 0:
			case asked.IsZero():
				asked = now
			case now.Sub(asked) >= homeless && now.Sub(told) >= homelessAgain:
				told = now
				h.p.log.Warn("no answer to any SYN: the route back to this host is missing, or the target does not listen, or something between drops the packets",
					"syns", s.Opened, "expected", h.way())
			}
		}
	}
}

// Deliver implements reply.Sink: it gives a batch to the workers that own the
// sessions and wakes each of them once.
func (h *home) Deliver(batch []packet.Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var touched uint64
	for i := range batch {
		k := packet.Shard(batch[i].Dst.Port, len(h.queues))
		if h.queues[k].Push(batch[i]) == 0 {
			h.p.repliesLost.Add(1)
		}
		touched |= 1 << (k % 64)
	}
	for k, w := range h.p.workers {
		if touched&(1<<(k%64)) != 0 {
			w.wake()
		}
	}
}

// AddFlows implements flowClaimer. No other owner can refuse one.
func (h *home) AddFlows(es []packet.Endpoint) { h.router.AddFlows(h.lane, es) }

// DelFlows implements flowClaimer.
func (h *home) DelFlows(es []packet.Endpoint) { h.router.DelFlows(h.lane, es) }

// close frees what run has not.
func (h *home) close() {
	if h.guard != nil {
		h.guard.Close()
	}
	for _, c := range h.captures {
		if c.ring != nil {
			_ = c.ring.Close()
		}
	}
}
