// Package pipeline is tcpcopy at work. It connects the rooms: where clients'
// segments come from (source/live or source/recorded), the workers that replay
// them (worker), the threads that run those (thread), and where the targets'
// replies come from (replies/linked or replies/local).
//
// It knows who is connected with whom, what a reload changes, and the end, but
// not packets, which docs/architecture.md follows.
package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/nexthop"
	"github.com/tcpcopy-go/tcpcopy/pipeline/recording"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies/linked"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies/local"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source/live"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source/recorded"
	"github.com/tcpcopy-go/tcpcopy/pipeline/thread"
	"github.com/tcpcopy-go/tcpcopy/pipeline/worker"
)

// clients is where their segments come from: *live.Captures or *recorded.Replay.
type clients interface {
	Source(worker int) source.Source
	// Run works until ctx is done or there is nothing more.
	Run(context.Context, source.Host) error
	Conclude(error, *account.Counters) error
	// Prepare makes what takes a reload on, whole or not at all.
	Prepare(m *match.Matcher, now, next *conf.Tcpcopy) (commit func() error, err error)
	Err() error // why nothing comes at present
	Lost() uint64
	AddTo(*account.Counters)
	Attrs(*account.Counters) []any
	Collect(account.Metrics, *account.Counters)
	Close()
}

// targets is where their replies come from: *linked.Links or *local.Replies.
type targets interface {
	Reader(worker int) replies.Replies
	Serve(i int, w replies.Worker)
	LendTo(*thread.Threads)
	Start(ctx context.Context, totals func() account.Counters)
	Wait()
	Await(context.Context) error
	Prepare(now, next *conf.Tcpcopy) (commit func(), err error)
	Err() error
	AddTo(*account.Counters)
	Status() string
	Attrs() []any
	Collect(account.Metrics)
	Close()
}

// Pipeline is a running tcpcopy.
type Pipeline struct {
	// OnProgress is told a few times a second how far a replay is, OnThreads how
	// many threads run the workers, where they are set before Run.
	OnProgress func(recording.Progress)
	OnThreads  func(running int)
	log        *slog.Logger
	hops       *nexthop.Hops
	clients    clients
	targets    targets
	workers    []*worker.Worker
	threads    *thread.Threads
	now        atomic.Pointer[state]
	losses     account.Losses // as told with the summary
	changing   sync.Mutex     // held by what changes now
	running    chan struct{}  // closed when all run
	ending     bool           // guarded by changing
}

// state is what a reload replaces, as a whole.
type state struct {
	conf    *conf.Tcpcopy
	matcher *match.Matcher
}

// Open makes everything that cfg asks for and begins to capture, in the
// network namespace of the calling thread. Its errors name what is missing.
func Open(ctx context.Context, cfg *conf.Tcpcopy, log *slog.Logger) (*Pipeline, error) {
	p := &Pipeline{OnProgress: func(recording.Progress) {}, OnThreads: func(int) {}, log: log, running: make(chan struct{})}
	if err := p.open(ctx, cfg); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *Pipeline) open(ctx context.Context, cfg *conf.Tcpcopy) error {
	if err := thread.CanBind(cfg.CPUs); err != nil {
		return err
	}
	m, err := match.New(cfg)
	if err != nil {
		return err
	}
	if p.hops, err = nexthop.New(ctx, cfg.OutInterface, p.log); err != nil {
		return err
	}
	if _, err = p.hops.Give(m); err != nil {
		return err
	}
	p.now.Store(&state{cfg, m})
	c := worker.Config{Conf: cfg, Matcher: m, Clock: clock.New(), Parcels: new(source.Parcels)}
	for range cfg.WorkerCount() {
		c.Counters = append(c.Counters, new(account.Counters))
	}
	if err := p.openClients(&c); err != nil {
		return err
	}
	if err := p.openTargets(&c); err != nil {
		return err
	}
	c.Source, c.Replies = p.clients.Source, p.targets.Reader
	if p.workers, err = worker.New(c); err != nil {
		return err
	}
	var run []thread.Worker
	for i, w := range p.workers {
		p.targets.Serve(i, w)
		run = append(run, w)
	}
	p.threads, err = thread.New(thread.Config{
		Conf: cfg, Clock: c.Clock, PassSize: worker.PassSize, OnChange: func(n int) { p.OnThreads(n) }, Log: p.log,
	}, run)
	if err == nil {
		p.targets.LendTo(p.threads)
	}
	return err
}

func (p *Pipeline) openClients(c *worker.Config) (err error) {
	if len(c.Conf.Replay.Files) > 0 {
		p.clients, err = recorded.Open(c.Conf, c.Matcher, c.Clock, c.Counters, c.Parcels, p.log)
	} else {
		p.clients, err = live.Open(c.Conf, c.Matcher, c.Counters, p.log)
	}
	if err != nil {
		p.clients = nil // and not a nil pointer of some type
	}
	return err
}

func (p *Pipeline) openTargets(c *worker.Config) (err error) {
	if len(c.Conf.Intercepts) > 0 {
		p.targets, err = linked.New(c.Conf, len(c.Counters), p.log)
	} else {
		p.targets, err = local.Open(c.Conf, c.Matcher, len(c.Counters), p.log)
	}
	if err != nil {
		p.targets = nil
	}
	return err
}

// Run works until ctx is done or the recordings are replayed, then closes what
// was copied and returns. The error is of a replay: it says in a line what did
// not complete, or is a *pcapfile.Error.
func (p *Pipeline) Run(ctx context.Context) error {
	defer p.close()
	for _, w := range p.workers {
		w.StartClock()
	}
	replying, unlink := context.WithCancel(context.Background())
	defer unlink()
	p.targets.Start(replying, p.Totals)
	var working sync.WaitGroup
	working.Go(p.threads.Run)
	close(p.running)
	err := p.clients.Run(ctx, host{p})
	p.changing.Lock()
	p.ending = true
	p.changing.Unlock()
	p.drain()
	p.threads.Stop()
	working.Wait()
	p.logSummary("summary")
	unlink()
	p.targets.Wait()
	c := p.Totals()
	return p.clients.Conclude(err, &c)
}

// drain ends the sessions: idle ones with a FIN, those that the grace does not
// suffice for with a RST.
func (p *Pipeline) drain() {
	p.each((*worker.Worker).Drain)
	for end := time.Now().Add(p.now.Load().conf.ShutdownGrace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if (host{p}).Sessions() == 0 {
			return
		}
	}
	p.each((*worker.Worker).Abort)
}

// each has every worker do something.
func (p *Pipeline) each(do func(*worker.Worker)) {
	for _, w := range p.workers {
		w.Do(func() { do(w) })
	}
}

func (p *Pipeline) close() {
	if p.threads != nil {
		p.threads.Close()
	}
	if p.clients != nil {
		p.clients.Close()
	}
	if p.targets != nil {
		p.targets.Close()
	}
}

// host is what the pipeline is to where the clients' segments come from.
type host struct{ p *Pipeline }

var _ source.Host = host{}

func (h host) AwaitReplies(ctx context.Context) error { return h.p.targets.Await(ctx) }

func (h host) Wake(i int) { h.p.workers[i].Wake() }

func (h host) Sessions() (n int) {
	h.p.each(func(w *worker.Worker) { n += w.Len() })
	return n
}

func (h host) Totals() account.Counters { return h.p.Totals() }

func (h host) Summarize() {
	h.p.logSummary("running")
	h.p.changing.Lock()
	defer h.p.changing.Unlock()
	h.p.prune()
}

func (h host) Progress(g recording.Progress) { h.p.OnProgress(g) }

func (h host) Patience() time.Duration { return h.p.now.Load().conf.NoResponseTimeout }
