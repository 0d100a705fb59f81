// Package linked gets the targets' replies from intercepts: each worker reads the
// links that it owns.
//
// It knows the protocol's client and which endpoints are claimed. It does not
// know sessions, nor which worker owns a reply.
package linked

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/pipeline/thread"
)

// allWithin is how long a replay waits until every intercept is linked.
const allWithin = 30 * time.Second

// Links are those to all intercepts. A reply may come through any of them.
type Links struct {
	conf     *conf.Tcpcopy // as it began
	log      *slog.Logger
	instance [16]byte // for the intercepts
	workers  []replies.Worker
	readers  []*Reader
	urgency  *replies.Urgency
	now      atomic.Pointer[[]*intercept]

	ctx     context.Context // until when links are kept
	running sync.WaitGroup
}

// intercept is one, with the links to it.
type intercept struct {
	*link.Client
	addr  netip.AddrPort
	stop  func() // ends the links; set while they run
	ended chan struct{}
}

// New makes the links of cfg for n workers.
func New(cfg *conf.Tcpcopy, n int, log *slog.Logger) (*Links, error) {
	l := &Links{conf: cfg, log: log}
	if _, err := rand.Read(l.instance[:]); err != nil {
		return nil, err
	}
	l.urgency = replies.NewUrgency(func(on bool) {
		for _, x := range *l.now.Load() {
			x.SetUrgent(on)
		}
	})
	l.workers = make([]replies.Worker, n)
	for range n {
		l.readers = append(l.readers, &Reader{urgency: l.urgency})
	}
	all, err := l.to(nil, cfg.Intercepts)
	if err != nil {
		return nil, err
	}
	l.now.Store(&all)
	for _, r := range l.readers {
		r.claimAt(all)
	}
	return l, nil
}

// Reader is that of worker i.
func (l *Links) Reader(i int) replies.Replies { return l.readers[i] }

// Serve tells who worker i is. It is to be called before Start.
func (l *Links) Serve(i int, w replies.Worker) { l.workers[i] = w }

// to returns the intercepts at addrs: those of old where there are, and others,
// which do not run yet.
func (l *Links) to(old []*intercept, addrs []netip.AddrPort) (all []*intercept, err error) {
	for _, a := range addrs {
		i := slices.IndexFunc(old, func(x *intercept) bool { return x.addr == a })
		if i >= 0 {
			all = append(all, old[i])
			continue
		}
		x, err := l.open(a)
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

func (l *Links) open(addr netip.AddrPort) (*intercept, error) {
	conns := l.conf.ConnsPerIntercept
	if conns == 0 {
		conns = min(len(l.workers), link.MaxConns)
	}
	c := link.ClientConfig{
		Addr: addr, Name: l.conf.Name, Instance: l.instance, Secret: l.conf.Secret, Conns: conns, Logger: l.log,
		OnOpen: func(conn int, in *link.Inlet) {
			i := conn % len(l.workers)
			l.workers[i].Do(func() { l.readers[i].open(in) })
		},
	}
	if l.conf.Clients != nil {
		c.Claims = l.conf.Clients.Prefixes()
	} else {
		c.LiveFlows = l.inUse
	}
	client, err := link.NewClient(c)
	return &intercept{Client: client, addr: addr}, err
}

// inUse yields the endpoints in use. It waits for the workers, one after
// another.
func (l *Links) inUse(yield func(packet.Endpoint)) {
	var es []packet.Endpoint
	for _, w := range l.workers {
		w.Do(func() { es = w.Endpoints(es) })
	}
	for _, e := range es {
		yield(e)
	}
}

// LendTo does nothing: workers read their links themselves.
func (l *Links) LendTo(*thread.Threads) {}

// Start keeps the links up until ctx is done; Wait waits for the end.
func (l *Links) Start(ctx context.Context, _ func() account.Counters) {
	l.ctx = ctx
	for _, x := range *l.now.Load() {
		l.start(x)
	}
}

func (l *Links) start(x *intercept) {
	var ctx context.Context
	ctx, x.stop = context.WithCancel(l.ctx)
	x.ended = make(chan struct{})
	l.running.Go(func() {
		defer close(x.ended)
		x.Run(ctx)
	})
}

// Wait returns when all that Start began has ended.
func (l *Links) Wait() { l.running.Wait() }

// Prepare checks whether the links can become those of next. What it returns
// makes them so.
func (l *Links) Prepare(_, next *conf.Tcpcopy) (commit func(), err error) {
	if len(next.Intercepts) == 0 {
		return nil, replies.ErrOtherWay
	}
	old := *l.now.Load()
	all, err := l.to(old, next.Intercepts)
	return func() { l.exchange(old, all) }, err
}

// exchange starts the links in which all differs from old, and ends the others.
// What these still brought the workers read to its end.
func (l *Links) exchange(old, all []*intercept) {
	l.now.Store(&all)
	both := slices.Clone(old)
	for _, x := range all {
		if !slices.Contains(old, x) {
			both = append(both, x)
		}
	}
	l.claimAt(both)
	for _, x := range both[len(old):] {
		x.SetUrgent(l.urgency.Urgent())
		l.start(x)
	}
	for _, x := range old {
		if !slices.Contains(all, x) {
			x.stop()
			<-x.ended
		}
	}
	l.claimAt(all)
}

// claimAt has the workers tell intercepts of the endpoints that come and go.
func (l *Links) claimAt(all []*intercept) {
	for i, w := range l.workers {
		w.Do(func() { l.readers[i].claimAt(all) })
	}
}

// Await waits until each intercept can bring replies, so that none of the first
// is lost.
func (l *Links) Await(ctx context.Context) error {
	for end := time.Now().Add(allWithin); ; {
		missing := ""
		for _, x := range *l.now.Load() {
			if x.Stats().Up == 0 {
				missing = x.addr.String()
			}
		}
		if missing == "" || ctx.Err() != nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no link to intercept %s within %v: start it there, or leave -s out and route the replies to this host", missing, allWithin)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Up is to how many intercepts there is an open link, and how many there are.
func (l *Links) Up() (up, all int) {
	now := *l.now.Load()
	for _, x := range now {
		if x.Stats().Up > 0 {
			up++
		}
	}
	return up, len(now)
}

// Status says how many are linked, in a few words.
func (l *Links) Status() string {
	up, all := l.Up()
	return fmt.Sprintf("%d of %d intercepts linked", up, all)
}

// Attrs are what a line of totals in the log says of the links.
func (l *Links) Attrs() []any {
	up, _ := l.Up()
	return []any{"links_up", up}
}

// Err is nil: that a link is down shows in its metrics, and the copy waits.
func (l *Links) Err() error { return nil }

// AddTo adds nothing: workers count what links bring.
func (l *Links) AddTo(*account.Counters) {}

// Close has nothing to free.
func (l *Links) Close() {}

var (
	descUp         = account.Desc("link_up", "Connections to an intercept that are open.", "intercept")
	descRTT        = account.Desc("link_rtt_seconds", "Round trip of the last heartbeat.", "intercept")
	descRecords    = account.Desc("link_records_total", "Reply records received.", "intercept")
	descDropped    = account.Desc("link_dropped_records_total", "Reply records that intercept dropped because this end fell behind.", "intercept")
	descReconnects = account.Desc("link_reconnects_total", "Connections to an intercept that were lost or could not be opened.", "intercept")
)

// Collect gives the links' metrics.
func (l *Links) Collect(m account.Metrics) {
	for _, x := range *l.now.Load() {
		s, name := x.Stats(), x.addr.String()
		m.Gauge(descUp, float64(s.Up), name)
		m.Gauge(descRTT, s.RTT.Seconds(), name)
		m.Count(descRecords, s.Records, name)
		m.Count(descDropped, s.Dropped, name)
		m.Count(descReconnects, s.Reconnects, name)
	}
}
