package link

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// ClientConfig describes the links to one intercept.
type ClientConfig struct {
	Addr     netip.AddrPort // where intercept listens
	Local    netip.Addr     // source address of the links; the zero value leaves it to the kernel
	Name     string         // for intercept's log
	Instance [16]byte       // drawn once per run of the program, the same for all its clients
	Secret   string         // shared with intercept; empty: none
	Claims   []netip.Prefix // whose replies are wanted; none where flows are claimed
	Conns    int            // links to open, 1 to MaxConns

	// OnOpen is called when the link conn is open, from a goroutine of the
	// client's, and makes a goroutine the owner of its inlet.
	OnOpen func(conn int, in *Inlet)

	// LiveFlows yields every endpoint that is claimed now, after each
	// connect and after an overflow of the claims' queue. An endpoint is in
	// it before AddFlows is called and out of it before DelFlows is. It is
	// called from a goroutine of the client's and may take a while, but
	// heartbeats wait for it. nil where only prefixes are claimed.
	LiveFlows func(yield func(packet.Endpoint))

	Logger *slog.Logger
}

// Client keeps the links to one intercept. It is made by NewClient.
type Client struct {
	cfg   ClientConfig
	links []*clientLink
	pool  sync.Pool // of *flowSplit

	records, received, sent atomic.Uint64
	reconnects, overflows   atomic.Uint64

	refusal atomic.Pointer[string]
	urgent  atomic.Bool
}

// NewClient checks cfg and makes a client that is not connected yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch {
	case !cfg.Addr.IsValid() || cfg.Addr.Port() == 0:
		return nil, fmt.Errorf("intercept address %q is not IP:PORT", cfg.Addr)
	case cfg.Conns < 1 || cfg.Conns > MaxConns:
		return nil, fmt.Errorf("%d connections per intercept: give 1 to %d", cfg.Conns, MaxConns)
	case len(cfg.Claims) > MaxClaims:
		return nil, fmt.Errorf("%d claimed prefixes: at most %d, join neighbours into larger prefixes", len(cfg.Claims), MaxClaims)
	case len(cfg.Claims) == 0 && cfg.LiveFlows == nil:
		return nil, fmt.Errorf("nothing to claim from intercept %s", cfg.Addr)
	}
	for _, p := range cfg.Claims {
		if !p.IsValid() {
			return nil, fmt.Errorf("claimed prefix %q is not ADDRESS/LENGTH", p)
		}
	}
	c := &Client{cfg: cfg}
	c.pool.New = func() any { return &flowSplit{links: make([][]packet.Endpoint, cfg.Conns)} }
	for i := range cfg.Conns {
		c.links = append(c.links, newClientLink(c, i))
	}
	return c, nil
}

// Backoff between two attempts to connect: from the least to the greatest,
// doubled each time, with jitter so that many clients do not come at once.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// Run keeps the links up until ctx is done.
func (c *Client) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range c.links {
		wg.Go(func() { c.keep(ctx, l) })
	}
	wg.Wait()
}

// keep connects l again and again.
func (c *Client) keep(ctx context.Context, l *clientLink) {
	log := c.cfg.Logger.With("intercept", c.cfg.Addr.String(), "conn", l.index)
	var last string // what was logged, so that a long outage is one line
	backoff := minBackoff
	for ctx.Err() == nil {
		opened := time.Time{}
		err := l.serve(ctx, func() {
			opened, last = time.Now(), ""
			c.refusal.Store(nil)
			log.Info("link up")
		})
		if ctx.Err() != nil {
			return
		}
		c.reconnects.Add(1)
		err = withoutAddresses(err, "intercept")
		if text := err.Error(); text != last {
			last = text
			log.Warn("link down, dialing again", "error", err)
		}
		// A link that opens and falls at once is not worth a fresh start.
		if !opened.IsZero() && time.Since(opened) > Heartbeat {
			backoff = minBackoff
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff/2 + rand.N(backoff)):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// Up reports whether a link is open.
func (c *Client) Up() bool {
	for _, l := range c.links {
		if l.up.Load() {
			return true
		}
	}
	return false
}

// Stats are a client's totals since it was made.
type Stats struct {
	Up         int           // links that are open now, of Conns
	RTT        time.Duration // of the last heartbeat, the slowest link's; 0 before the first
	Records    uint64        // reply records received
	Dropped    uint64        // records that intercept dropped because this end fell behind
	Reconnects uint64        // links lost or not opened
	Overflows  uint64        // flow claims that did not fit in the queue; each led to a full list
	Refused    uint64        // flow claims that intercept did not take
	Refusal    string        // why intercept last refused a claim or the link; empty once it opened
	Received   uint64        // bytes
	Sent       uint64        // bytes
}

// Stats may be called from any goroutine.
func (c *Client) Stats() Stats {
	s := Stats{
		Records:    c.records.Load(),
		Reconnects: c.reconnects.Load(),
		Overflows:  c.overflows.Load(),
		Received:   c.received.Load(),
		Sent:       c.sent.Load(),
	}
	if text := c.refusal.Load(); text != nil {
		s.Refusal = *text
	}
	for _, l := range c.links {
		s.Dropped += l.dropped.total()
		s.Refused += l.refused.total()
		if l.up.Load() {
			s.Up++
			s.RTT = max(s.RTT, time.Duration(l.rtt.Load()))
		}
	}
	return s
}

// AddFlows claims the endpoints es. It does not wait for the network; where
// the queue is full, or the link is down, LiveFlows repairs it later. Any
// goroutine may call it; a batch costs one short lock per link.
func (c *Client) AddFlows(es []packet.Endpoint) { c.queue(es, false) }

// DelFlows gives the claims of es back, as AddFlows made them.
func (c *Client) DelFlows(es []packet.Endpoint) { c.queue(es, true) }

// SetUrgent tells the intercept whether replies are waited for: then it gathers
// fewer of them before it hands them over. Any goroutine may call it.
func (c *Client) SetUrgent(on bool) {
	c.urgent.Store(on)
	for _, l := range c.links {
		l.tellUrgency()
	}
}

// flowSplit sorts a batch of endpoints by link.
type flowSplit struct{ links [][]packet.Endpoint }

func (c *Client) queue(es []packet.Endpoint, del bool) {
	if len(c.links) == 1 {
		c.links[0].queue(es, del)
		return
	}
	s := c.pool.Get().(*flowSplit)
	for _, e := range es {
		i := packet.Shard(e.Port, len(c.links))
		s.links[i] = append(s.links[i], e)
	}
	for i, part := range s.links {
		if len(part) > 0 {
			c.links[i].queue(part, del)
			s.links[i] = part[:0]
		}
	}
	c.pool.Put(s)
}

// carried is a total that a peer counts per connection: what earlier
// connections ended with, and where this one stands.
type carried struct{ before, now atomic.Uint64 }

func (c *carried) total() uint64   { return c.before.Load() + c.now.Load() }
func (c *carried) update(v uint64) { c.now.Store(v) }
func (c *carried) nextConnection() { c.before.Add(c.now.Swap(0)) }
