package worker

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Config makes workers.
type Config struct {
	Conf     *conf.Tcpcopy
	Matcher  *match.Matcher
	Clock    clock.Clock
	Counters []*account.Counters // of each worker
	Parcels  *source.Parcels
	Source   func(worker int) source.Source
	Replies  func(worker int) replies.Replies

	seed uint64 // of hash tables
}

// New makes workers that know each other. StartClock and MoveTo of each are to be
// called before its first pass.
func New(c Config) (all []*Worker, err error) {
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	c.seed = binary.NativeEndian.Uint64(seed[:])
	for i := range c.Counters {
		all = append(all, newWorker(&c, i))
	}
	for _, w := range all {
		w.handover.peers = all
	}
	return all, nil
}

// A Worker owns the sessions of one shard. Only the thread that runs it touches its
// fields; others call Wake, Do and Ended, and read what is published.
type Worker struct {
	account.Published

	clock   clock.Clock
	matcher *match.Matcher
	counter *account.Counters
	source  source.Source
	replies replies.Replies

	now         session.Time
	publishedAt session.Time
	behind      bool // the last pass was; see behindShare

	core      *session.Core
	table     table
	timers    timers
	endpoints endpoints
	admission admission
	handover  handover
	sender    sender
	urgency   urgency
	control   control

	take func([]packet.Reply) // takeBatch, made once because a method value allocates
}

func newWorker(c *Config, index int) *Worker {
	counter, n, now := c.Counters[index], len(c.Counters), c.Clock.Now()
	w := &Worker{
		clock: c.Clock, matcher: c.Matcher, counter: counter, source: c.Source(index), replies: c.Replies(index),
		now:       now,
		table:     table{seed: c.seed, byState: &counter.Sessions},
		admission: newAdmission(c.Conf, n, c.seed, now),
		endpoints: newEndpoints(c, index),
		handover:  newHandover(c, index),
		control:   newControl(),
		sender:    sender{matcher: c.Matcher},
	}
	w.urgency.tell = w.replies.Urgent
	w.endpoints.sessions = &w.table.slab
	w.core = session.New(SessionConfig(c.Conf), &w.sender)
	w.take = w.takeBatch
	w.limit(c.Conf)
	return w
}

// SessionConfig is the part of cfg that is for sessions.
func SessionConfig(cfg *conf.Tcpcopy) session.Config {
	return session.Config{
		NoWait:       cfg.NoWait,
		Encrypted:    cfg.Encrypted == conf.EncryptedCopy,
		OnlyComplete: cfg.OnlyComplete,
		NoResponse:   clock.Micros(cfg.NoResponseTimeout),
		Keepalive:    clock.Micros(cfg.KeepaliveTimeout),
		RTT:          clock.Micros(cfg.RTT),
		SynMSS:       cfg.SynMSS,
		Replayed:     len(cfg.Replay.Files) > 0,
	}
}

// limit gives the worker its part of the bounds of cfg.
func (w *Worker) limit(cfg *conf.Tcpcopy) {
	n := w.handover.count()
	own := SessionConfig(cfg)
	own.Memory = cfg.Memory / int64(n)
	own.ReopenRate = cfg.ReopenRate / float64(n)
	w.core.Configure(own)
	w.admission.bound(own.OnlyComplete, own.Memory, max(cfg.MaxSessions/n, 1))
}

// Configure makes the transfers and limits those of m and cfg.
func (w *Worker) Configure(m *match.Matcher, cfg *conf.Tcpcopy) {
	for i := range m.Transfers {
		if i < len(w.matcher.Transfers) && m.Transfers[i].Generation != w.matcher.Transfers[i].Generation {
			w.counter.Matched[i], w.counter.MatchedBytes[i] = 0, 0
		}
	}
	w.matcher, w.sender.matcher = m, m
	w.source.Match(m)
	w.limit(cfg)
	w.admission.reconfigure(cfg, w.handover.count(), w.now)
}

// StartClock starts the worker's time, and tells its source how much it may hold: a
// source that learned that after the first pass only would give the worker more.
func (w *Worker) StartClock() {
	w.now = w.clock.Now()
	w.timers.start(w.now)
	w.source.Report(w.load())
}

// Pass takes what the source, the other workers and the replies brought, fires
// timers, and lets the sessions that were touched send. It returns how much there
// was to do. The thread transmits the batch and calls Sent.
func (w *Worker) Pass() int {
	w.now = w.clock.Now()
	w.admission.update(w.now)
	w.endpoints.expire(w.now)
	n := w.source.Take(w.now, PassSize, w)
	w.timers.advanceClients(w.fire)
	n += w.takeHanded()
	n += w.takeReplies()
	n += w.control.run()
	w.timers.advance(w.now, w.fire)
	w.behind = w.flush()
	w.urgency.follow(w.now, n, w.behind)
	w.endpoints.announce(w.replies)
	return n
}

// Sent ends a pass whose packets were transmitted; idle is one in which no worker
// of the thread had anything to do.
func (w *Worker) Sent(idle bool) {
	w.sender.lag.measure(&w.counter.Lag)
	w.core.FreeSent()
	w.core.SetOverhead(w.table.bytes() + w.endpoints.bytes() + w.timers.bytes())
	w.handover.wakePeers()
	w.source.Report(w.load())
	if idle || w.now-w.publishedAt >= publishEvery {
		w.Publish()
	}
}

// Behind reports whether many requests of the last pass wait for the answers to
// those before them.
func (w *Worker) Behind() bool { return w.behind }

// Losing reports whether the kernel dropped packets of late.
func (w *Worker) Losing() bool { return w.admission.losing(w.now) }

// Publish makes the counters readable for others.
func (w *Worker) Publish() {
	w.publishedAt = w.now
	if w.source.Lost() {
		w.admission.lostAt = w.now
	}
	w.counter.Session = w.core.Stats
	w.counter.Held = uint64(w.core.Held())
	w.Put(w.counter)
}

func (w *Worker) load() source.Load {
	return source.Load{
		Busy: w.table.busy, Sessions: int64(w.table.slab.Len()), MaxSessions: int64(w.admission.maxSessions),
		Held: w.core.Held(), Memory: w.admission.memory, Copies: int64(w.admission.copies),
	}
}

// Timeout is how long the thread may sleep; negative: for ever.
func (w *Worker) Timeout() time.Duration {
	now := w.clock.Now()
	return sooner(w.timers.timeout(now), sooner(w.source.Due(now), w.urgency.timeout()))
}

// sooner is the shorter of two times to sleep. A negative one means for ever.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// Waiting reports whether a queue holds something.
func (w *Worker) Waiting() bool {
	return w.control.waiting() || w.replies.Waiting() || w.handover.waiting() || w.source.Waiting()
}

// MoveTo lets a thread's poller wait for what comes to the worker, and its
// transmitter take what it sends, from now on. own says whether the thread is for
// this worker.
func (w *Worker) MoveTo(p *ring.Poller, tx *ring.Tx, own bool) {
	w.source.Attach(p, own)
	w.replies.Attach(p)
	w.sender.tx = tx
	w.control.poller.Store(p)
}

// Leave ends what MoveTo began.
func (w *Worker) Leave() {
	w.source.Detach()
	w.replies.Detach()
}

// Drain lets no new sessions begin and closes the idle ones.
func (w *Worker) Drain() {
	w.admission.stopping = true
	w.source.Refuse(w)
	w.Sessions(func(s *session.Session) { w.core.Drain(s, w.now) })
}

// Abort resets the sessions that are left.
func (w *Worker) Abort() {
	w.Sessions(func(s *session.Session) { w.core.Abort(s, session.Shutdown, w.now) })
}

// Sessions calls f for every session, and marks the session as having output to
// send.
func (w *Worker) Sessions(f func(*session.Session)) {
	w.table.each(func(i uint32, s *session.Session) {
		f(s)
		w.touch(i, s)
	})
}

// Len is how many sessions there are, LenOf how many of a transfer.
func (w *Worker) Len() int               { return w.table.slab.Len() }
func (w *Worker) LenOf(transfer int) int { return w.table.byTransfer[transfer] }

// Endpoints appends the endpoints in use to es.
func (w *Worker) Endpoints(es []packet.Endpoint) []packet.Endpoint { return w.endpoints.appendTo(es) }
