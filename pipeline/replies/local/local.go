// Package local captures the targets' replies on this host, as an intercept does:
// they are routed to it.
//
// It knows captures, the router of claims and what would leak. It does not know
// sessions: each worker gets the replies to its endpoints.
package local

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/capture"
	"github.com/tcpcopy-go/tcpcopy/pipeline/capture/leak"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/pipeline/thread"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

const (
	// queueLen is the length of the queue of replies to a worker.
	queueLen = 1 << 14
	// heldReplies is how many answers to SYNs may wait for their session's claim,
	// for heldFor at most: the first SYNs of a large pass go out before the claims
	// of that pass are known.
	heldReplies = 1 << 14
	heldFor     = time.Minute
	// sweepEvery is how often replies that waited for too long are given up, and the
	// counters are looked at for targets that do not answer.
	sweepEvery = 500 * time.Millisecond
	// noReplyWarning is how long SYNs may go unanswered before the log warns, and
	// noReplyWarningInterval how often it does so then.
	noReplyWarning         = 3 * time.Second
	noReplyWarningInterval = 30 * time.Second
)

// Replies are those that this host captures. The router delivers to them.
type Replies struct {
	conf     *conf.Tcpcopy
	log      *slog.Logger
	guard    *leak.Guard
	router   *reply.Router
	outlet   *reply.Outlet
	captures []*interfaceReplies
	urgency  *replies.Urgency
	silence  silence
	running  sync.WaitGroup
	lost     atomic.Uint64 // for want of room in a worker's queue

	mu      sync.Mutex // several captures deliver
	readers []*Reader
	workers []replies.Worker
}

// interfaceReplies are what one interface brings.
type interfaceReplies struct {
	*reply.Capture
	capture *capture.Capture
	lender  lender
}

// lender is a *thread.Lender.
type lender interface {
	// Lend returns when a thread that took the capture has given it back.
	Lend() (taken bool)
	// Wanted reports whether a thread would take it.
	Wanted() bool
}

// Attach and Detach are for the thread that does the passes.
func (r *interfaceReplies) Attach(p *ring.Poller) { r.capture.Reader(0).Attach(p) }
func (r *interfaceReplies) Detach()               { r.capture.Reader(0).Detach() }

// Open opens the captures of replies for n workers.
func Open(cfg *conf.Tcpcopy, m *match.Matcher, n int, log *slog.Logger) (_ *Replies, err error) {
	l := &Replies{conf: cfg, log: log, router: reply.NewRouter(heldFor, heldReplies), workers: make([]replies.Worker, n)}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	l.urgency = replies.NewUrgency(func(on bool) { l.outlet.SetUrgent(on) })
	for range n {
		l.readers = append(l.readers, newReader(l))
	}
	names := interfaces(cfg, m)
	guarded := names
	if names[0] == "" {
		guarded = nil
	}
	if l.guard, err = leak.NewGuard(guarded); err != nil {
		return nil, err
	}
	if err := l.refuseLeaks(); err != nil {
		return nil, fmt.Errorf("replies to this host: %w", err)
	}
	member := reply.Member{Name: cfg.Name, Count: 1}
	if cfg.Clients != nil {
		member.Claims = cfg.Clients.Prefixes()
	}
	if l.outlet, err = l.router.Join(member, l); err != nil {
		return nil, err
	}
	program, err := program(m)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		program.Ring.Interface, program.Ring.Blocks, program.Log = name, max(2, int(cfg.ReplyRingBytes())/len(names)/ring.DefaultBlockSize), log
		c, err := capture.Open(program)
		if err != nil {
			return nil, err
		}
		l.captures = append(l.captures, &interfaceReplies{
			Capture: reply.NewCapture(name, c.Reader(0), l.router, 0, nil), capture: c,
		})
	}
	l.log.Info("replies are captured on this host", "interface", strings.Join(printed(names), ","), "expected", l.route())
	return l, nil
}

// program is the configuration of a capture of what m's targets answer.
func program(m *match.Matcher) (capture.Config, error) {
	var from []string
	for _, t := range m.Transfers {
		from = append(from, fmt.Sprintf("(src host %v and tcp src port %d)", t.Target.Addr, t.Target.Port))
	}
	c := capture.Config{Readers: 1, Name: "capture of replies", Ring: ring.Config{Version: ring.V2, FrameSize: reply.FrameSize}}
	f, err := filter.Compile("tcp and (" + strings.Join(from, " or ") + ")")
	if err == nil {
		c.Ring.Filter, err = f.Kernel(reply.Snap)
	}
	return c, err
}

// interfaces are those that replies come in by, "" for all: the one that is
// configured, or those of the routes to the targets.
func interfaces(cfg *conf.Tcpcopy, m *match.Matcher) (names []string) {
	switch cfg.ReplyInterface {
	case "":
	case "any":
		return []string{""}
	default:
		return []string{cfg.ReplyInterface}
	}
	for _, t := range m.Transfers {
		ifi, err := net.InterfaceByIndex(t.Hop.Ifindex())
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

// Reader is that of worker i.
func (l *Replies) Reader(i int) replies.Replies { return l.readers[i] }

// Serve tells who worker i is. It is to be called before Start.
func (l *Replies) Serve(i int, w replies.Worker) { l.workers[i] = w }

// LendTo lets the first of ts read the replies while it has the time. It is to be
// called before Start.
func (l *Replies) LendTo(ts *thread.Threads) {
	for _, c := range l.captures {
		c.lender = ts.Lender(c)
	}
}

// Start captures until ctx is done; Wait waits for the end. totals shows whether
// targets answer.
func (l *Replies) Start(ctx context.Context, totals func() account.Counters) {
	for _, c := range l.captures {
		l.running.Go(func() { c.capture.Run(ctx) })
		l.running.Go(func() { l.read(ctx, c) })
	}
	l.running.Go(func() { l.guard.Watch(ctx, l.log, l.claims()) })
	l.running.Go(func() { l.sweep(ctx, totals) })
}

// Wait returns when all that Start began has ended.
func (l *Replies) Wait() { l.running.Wait() }

// read has c read until ctx is done: by the workers' first thread while that runs
// all, else here.
func (l *Replies) read(ctx context.Context, c *interfaceReplies) {
	for ctx.Err() == nil {
		if c.lender.Lend() {
			continue
		}
		if err := c.Work(ctx, c.lender.Wanted); err != nil {
			l.log.Error("capture of replies ended", "interface", c.Name(), "error", err)
			return
		}
	}
}

// sweep gives up, now and then, replies that nobody claims, and tells of those
// that do not come.
func (l *Replies) sweep(ctx context.Context, totals func() account.Counters) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			l.router.Sweep(now)
			c := totals()
			l.watchSilence(now, &c)
		}
	}
}

// claims are the addresses whose replies would be leaks, with their owner.
func (l *Replies) claims() iter.Seq2[netip.Prefix, string] {
	return func(yield func(netip.Prefix, string) bool) {
		if l.conf.Clients == nil {
			yield(leak.AnyAddress, l.conf.Name)
			return
		}
		for _, p := range l.conf.Clients.Prefixes() {
			if !yield(p, l.conf.Name) {
				return
			}
		}
	}
}

// refuseLeaks tells whether this host would send replies on to the real clients.
func (l *Replies) refuseLeaks() error {
	if l.conf.Clients == nil {
		return l.guard.CheckAll()
	}
	for _, p := range l.conf.Clients.Prefixes() {
		if err := l.guard.Check(p); err != nil {
			return err
		}
	}
	return nil
}

// Prepare refuses what cannot change: the targets whose replies are captured.
func (l *Replies) Prepare(now, next *conf.Tcpcopy) (commit func(), err error) {
	switch {
	case len(next.Intercepts) > 0:
		return nil, replies.ErrOtherWay
	case !conf.SameTransfers(now.Transfers, next.Transfers):
		return nil, errMoved
	}
	return func() {}, nil
}

// Await returns at once: the captures are open.
func (l *Replies) Await(context.Context) error { return nil }

// Err says why no replies are captured at an interface.
func (l *Replies) Err() error {
	for _, c := range l.captures {
		if err := c.capture.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Status says nothing of intercepts.
func (l *Replies) Status() string { return "0 of 0 intercepts linked" }

// Attrs are none in a line of totals in the log.
func (l *Replies) Attrs() []any { return nil }

// AddTo adds the replies that were lost on the way to a worker.
func (l *Replies) AddTo(c *account.Counters) { c.RepliesLost += l.lost.Load() }

// Close frees what is open. It is to be called after Wait.
func (l *Replies) Close() {
	if l.guard != nil {
		l.guard.Close()
	}
	for _, c := range l.captures {
		_ = c.capture.Close()
	}
}
