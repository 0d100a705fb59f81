// Package load drives HTTP/1.1 requests at a set rate, each with a URI of its
// own: /<kind>/<run>/<connection>/<request>. It is one thread around epoll(7),
// so that it takes little of a machine that it shares with what it measures.
package load

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Config says what to send. The rate is kept whatever the answers do (open
// loop), until every connection is busy; then requests wait their turn, which
// counts as latency. Without a rate each connection asks again as soon as it
// has its answer (closed loop).
type Config struct {
	Target   string   // address and port
	Sources  []string // addresses that connections take in turn; none: the kernel's choice
	Run      string   // marks the URIs of this load
	Conns    int      // connections at a time
	Depth    int      // requests written at once on a connection, before the first answer
	Rate     float64  // requests per second; 0: closed loop
	Duration time.Duration
	Close    string // "" keep-alive, "server" closes first, "client" closes first: one batch a connection
	Post     int    // bytes of body, whose SHA-256 the server answers
	Get      int    // bytes of answer
	Hold     bool   // one batch on each connection, then wait for a line on standard input
}

// Flags makes c settable on a command line.
func (c *Config) Flags(f *pflag.FlagSet) {
	f.StringVar(&c.Target, "target", "", "address and port of the server")
	f.StringSliceVar(&c.Sources, "source", nil, "client addresses, taken in turn")
	f.StringVar(&c.Run, "run", "0", "mark in the URIs")
	f.IntVar(&c.Conns, "conns", 50, "connections at a time")
	f.IntVar(&c.Depth, "depth", 1, "requests written at once on a connection")
	f.Float64Var(&c.Rate, "rate", 1000, "requests per second; 0: as many as are answered")
	f.DurationVar(&c.Duration, "duration", 5*time.Second, "how long to begin requests")
	f.StringVar(&c.Close, "close", "", "who closes after one batch: server or client; empty: keep alive")
	f.IntVar(&c.Post, "post", 0, "bytes of request body")
	f.IntVar(&c.Get, "get", 0, "bytes of answer")
	f.BoolVar(&c.Hold, "hold", false, "one batch on each connection, then wait for a line on standard input")
}

// Args is the command line that Flags reads as c.
func (c *Config) Args() []string {
	return []string{
		"--target", c.Target, "--source", strings.Join(c.Sources, ","), "--run", c.Run,
		"--conns", fmt.Sprint(c.Conns), "--depth", fmt.Sprint(c.Depth), "--rate", fmt.Sprint(c.Rate),
		"--duration", c.Duration.String(), "--close", c.Close,
		"--post", fmt.Sprint(c.Post), "--get", fmt.Sprint(c.Get), fmt.Sprintf("--hold=%v", c.Hold),
	}
}

// plan is a Config found valid.
type plan struct {
	Config
	target  netip.AddrPort
	sources []netip.Addr
	units   int           // batches in all
	every   time.Duration // one batch; 0: closed loop
}

func (c Config) plan() (p plan, err error) {
	p.Config = c
	p.Depth = max(1, c.Depth)
	if p.target, err = netip.ParseAddrPort(c.Target); err != nil {
		return p, fmt.Errorf("load: target %q: %w", c.Target, err)
	}
	for _, s := range c.Sources {
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			return p, fmt.Errorf("load: source %q: %w", s, err)
		}
		if a.Is4() != p.target.Addr().Is4() {
			return p, fmt.Errorf("load: source %s and target %s are of different families", a, p.target)
		}
		p.sources = append(p.sources, a)
	}
	switch {
	case c.Conns < 1:
		return p, errors.New("load: --conns must be at least 1")
	case c.Rate < 0:
		return p, errors.New("load: --rate must not be below 0")
	case c.Close != "" && c.Close != "server" && c.Close != "client":
		return p, fmt.Errorf("load: --close %q: want server or client", c.Close)
	case c.Post > 0 && c.Get > 0:
		return p, errors.New("load: --post and --get exclude each other")
	}
	p.units = math.MaxInt
	if c.Rate > 0 {
		p.every = time.Duration(float64(time.Second) * float64(p.Depth) / c.Rate)
		p.units = int(c.Duration / p.every)
	}
	return p, nil
}
