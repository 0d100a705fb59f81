package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance"
	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply/leak"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

const (
	summaryEvery = 10 * time.Second
	watchEvery   = 5 * time.Second // for leaks
	reopenEvery  = time.Second     // a capture whose interface went away
)

// intercept is the program and its parts.
type intercept struct {
	conf    *conf.Intercept
	program []bpf.RawInstruction

	host     *appliance.Appliance
	guard    *leak.Guard
	router   *reply.Router
	server   *link.Server
	captures []*reply.Capture
	leaks    atomic.Int64

	mu    sync.Mutex   // guards program and what follows
	rings []*ring.Ring // of captures; the last that each was given
}

// Process implements appliance.Tool.
func (i *intercept) Process() *conf.Process { return &i.conf.Process }

// Reload implements appliance.Tool.
func (i *intercept) Reload(next appliance.Tool) error {
	n := next.(*intercept)
	i.mu.Lock()
	defer i.mu.Unlock()
	for k, r := range i.rings {
		if err := r.SetFilter(n.program); err != nil && !errors.Is(err, net.ErrClosed) { // it will have it when it is opened
			for _, r := range i.rings[:k] {
				_ = r.SetFilter(i.program)
			}
			return err
		}
	}
	i.conf, i.program = n.conf, n.program
	return nil
}

// Run implements appliance.Tool.
func (i *intercept) Run(ctx context.Context, host *appliance.Appliance) error {
	i.host = host
	guard, err := leak.NewGuard(i.conf.Interfaces)
	if err != nil {
		return err
	}
	defer guard.Close()
	i.guard = guard
	if err := i.refuseLeaks(); err != nil {
		return err
	}
	i.router = reply.NewRouter(i.conf.RouteTimeout, i.conf.DelayTable)
	i.server = link.NewServer(link.ServerConfig{
		Name:   i.conf.Name,
		Secret: i.conf.Secret,
		Router: i.router,
		Single: i.conf.Single,
		Admit:  guard.Check,
		Logger: host.Log,
	})
	if err := i.openRings(); err != nil {
		return err
	}
	listeners, err := i.listen(ctx)
	if err != nil {
		i.closeRings()
		return err
	}

	var wg sync.WaitGroup
	for n := range i.captures {
		wg.Go(func() { i.capture(ctx, n) })
	}
	wg.Go(func() { _ = i.server.Serve(ctx, listeners...) }) // it logs its errors
	host.Registry.MustRegister(collector{i})
	host.Keep(unix.CAP_NET_RAW) // for an interface that comes again
	host.Ready()
	i.report(ctx)
	wg.Wait()
	i.summarize()
	return nil
}

// refuseLeaks ends the start where any claim would be refused for the way that
// this host forwards. Where some claims may be right, each is looked at when
// it is made.
func (i *intercept) refuseLeaks() error {
	if err := i.guard.CheckAll(); err != nil {
		return err
	}
	on, err := i.guard.Forwarding()
	if err != nil {
		return err
	}
	for _, key := range on {
		i.host.Log.Warn("this host forwards packets: addresses with a route are refused to tcpcopys", "sysctl", key+"=1", "mend", "sysctl -w "+key+"=0")
	}
	return nil
}

// interfaces are the names for rings; the empty name stands for all.
func (i *intercept) interfaces() []string {
	if len(i.conf.Interfaces) == 0 {
		return []string{""}
	}
	return i.conf.Interfaces
}

// openRings opens a ring for each interface and makes its capture.
func (i *intercept) openRings() error {
	rewrites := make([]reply.Rewrite, 0, len(i.conf.Rewrites))
	for _, r := range i.conf.Rewrites {
		rewrites = append(rewrites, reply.Rewrite{From: packet.AddrFrom(r.From), To: packet.AddrFrom(r.To)})
	}
	for _, name := range i.interfaces() {
		r, err := i.openRing(name)
		if err != nil {
			i.closeRings()
			return err
		}
		i.rings = append(i.rings, r)
		i.captures = append(i.captures, reply.NewCapture(name, i.router, i.conf.MaxBatch, rewrites))
	}
	return nil
}

func (i *intercept) openRing(name string) (*ring.Ring, error) {
	return ring.Open(ring.Config{
		Interface: name,
		Version:   ring.V2,
		FrameSize: reply.FrameSize,
		Blocks:    max(2, int(i.conf.RingBytes)/len(i.interfaces())/ring.DefaultBlockSize),
		Filter:    i.program,
	})
}

func (i *intercept) closeRings() {
	for _, r := range i.rings {
		_ = r.Close()
	}
}

// listen opens all the sockets for tcpcopys.
func (i *intercept) listen(ctx context.Context) ([]net.Listener, error) {
	var ls []net.Listener
	for _, a := range i.conf.Listen {
		l, err := link.Listen(ctx, a)
		if err != nil {
			for _, l := range ls {
				_ = l.Close()
			}
			return nil, fmt.Errorf("listen for tcpcopys: %w; choose another -p or -b", err)
		}
		i.host.Log.Info("listening for tcpcopys", "address", l.Addr().String())
		ls = append(ls, l)
	}
	return ls, nil
}

// capture runs capture n on its ring, and on a new one whenever one ends.
func (i *intercept) capture(ctx context.Context, n int) {
	c := i.captures[n]
	for r := i.rings[n]; ; {
		err := c.Run(ctx, r)
		if ctx.Err() != nil {
			return
		}
		i.host.Log.Error("capture ended, opening it again", "interface", c.Name(), "error", err)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(reopenEvery):
			}
			if r, err = i.reopen(n); err == nil {
				break
			}
		}
		i.host.Log.Info("capture goes on", "interface", c.Name())
	}
}

// reopen opens the ring of capture n anew.
func (i *intercept) reopen(n int) (*ring.Ring, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	r, err := i.openRing(i.captures[n].Name())
	if err == nil {
		i.rings[n] = r
	}
	return r, err
}

// report logs what the operator should see until ctx is done.
func (i *intercept) report(ctx context.Context) {
	summary := time.NewTicker(summaryEvery)
	defer summary.Stop()
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-summary.C:
			i.summarize()
		case <-watch.C:
			i.watch()
		}
	}
}

// watch looks whether forwarding was switched on under claims that were right
// when they were made. It stays loud as long as that is so.
func (i *intercept) watch() {
	leaks := 0
	say := func(err error, owner string) {
		leaks++
		i.host.Log.Error("REPLIES LEAK TO REAL CLIENTS", "error", err, "tcpcopy", owner)
	}
	for _, c := range i.router.Claims() {
		if err := i.guard.Check(c.Prefix); err != nil {
			say(err, c.Owner)
		}
	}
	if i.router.Stats().Flows > 0 {
		if err := i.guard.CheckAll(); err != nil {
			say(err, "those that claim clients' own addresses")
		}
	}
	i.leaks.Store(int64(leaks))
}

// account is where the captured packets are. Captured = the sum of the others.
type account struct {
	Captured                     uint64
	Forwarded                    uint64 // given to the links' sockets
	NoSession, LinkDown, Expired uint64
	Dropped                      uint64 // lost by links
	Malformed                    [5]uint64
	Held, Queued                 uint64 // on their way yet
}

func (i *intercept) account() account {
	var c reply.Counts
	for _, capture := range i.captures {
		c.Add(capture.Counts())
	}
	router, server := i.router.Stats(), i.server.Stats()
	return account{
		Captured:  c.Captured,
		Forwarded: server.Forwarded,
		NoSession: c.NoSession,
		LinkDown:  c.LinkDown,
		Expired:   router.Expired,
		Dropped:   server.Dropped,
		Malformed: c.Malformed,
		Held:      uint64(router.Held),
		Queued:    uint64(server.Queued),
	}
}

// summarize logs one line of totals.
func (i *intercept) summarize() {
	a, router, server := i.account(), i.router.Stats(), i.server.Stats()
	var malformed, lost uint64
	for _, n := range a.Malformed {
		malformed += n
	}
	for _, c := range i.captures {
		_, drops := c.RingStats()
		lost += drops
	}
	i.host.Log.Info("summary",
		"captured", a.Captured, "forwarded", a.Forwarded, "no_session", a.NoSession,
		"dropped", a.Dropped, "link_down", a.LinkDown, "expired", a.Expired, "malformed", malformed,
		"waiting", a.Held+a.Queued, "kernel_drops", lost,
		"tcpcopys", server.Instances, "links", server.Links, "claims", router.Claims, "flows", router.Flows)
}
