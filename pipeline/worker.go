package pipeline

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/tcpcopy-go/tcpcopy/pipeline/flow"
	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// A worker owns the sessions of one shard and runs their packets to
// completion. Its life are passes: take what the rings, the other workers and
// the links brought, fire timers, let the sessions that were touched send. They
// are a thread's (thread.go), one at a time, which then transmits the batch.
// Nothing else touches its fields, but for the queues' other ends, wake and
// published.
type worker struct {
	index   int
	own     *thread
	thread  atomic.Pointer[thread] // that runs it now
	log     *slog.Logger
	set     *settings
	start   time.Time
	now     session.Time
	counter Counters
	published
	publishedAt session.Time

	rings     []*ring.Ring
	ringBytes []atomic.Uint64 // taken from each of them
	tx        *ring.Tx        // the thread's
	lag       lag

	core     *session.Core
	slab     flow.Slab[session.Session]
	extra    []extra // by session index
	clients  flow.Table
	ends     flow.Table
	free     *flow.Endpoints
	resting  *flow.Rest // endpoints that the target may keep in TIME-WAIT
	wheel    flow.Wheel
	dirty    []uint32
	late     bool              // most sessions of this round go on when the target has answered
	claim    []packet.Endpoint // of this round, for links that claim flows
	unclaim  []packet.Endpoint
	header   packet.Header
	id       uint16
	stopping bool

	admission   admission
	memory      int64 // bound of buffered payload
	maxSessions int
	sessionsOf  [maxTransfers]int

	handover []*queue.SPSC[parcel] // from worker i
	peers    []*worker
	woken    []bool // peers that got something in this round

	inlets  []*link.Inlet // links that this worker reads
	take    func([]packet.Reply)
	replies []*queue.SPSC[packet.Reply] // from worker i, and from home
	haste   *haste
	behind  int  // share of the rounds of late that were behind, of 1<<10
	hurry   bool // as haste knows
	busyAt  session.Time
	flows   flowClaimer
	feed    *feed // of recordings; nil: packets are captured

	control  chan func()
	controls atomic.Int32 // waiting in control
	ended    chan struct{}
}

// extra is what the worker knows of a session beside the session itself.
type extra struct {
	state   session.State // as counted
	counted bool
	live    bool   // a session has this index
	keyed   bool   // in clients
	mapped  bool   // its endpoint is in ends
	copy    uint16 // number among the copies of its client
	next    uint32 // of them; 0: none
	prev    uint32
}

// parcel is a segment on its way to the worker that owns it. Its options and
// payload are in buf.
type parcel struct {
	segment  packet.Segment
	transfer int
	buf      *bytebufferpool.ByteBuffer

	// Of a recording:
	client session.Time // its place, by the clients' time
	due    session.Time // by the worker's clock, never before the one before it; 0: at once
}

// haste tells who brings the replies whether any worker waits for them.
type haste struct {
	tell func(bool)

	mu sync.Mutex
	n  int // workers
}

func (h *haste) change(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.n > 0
	if on {
		h.n++
	} else {
		h.n--
	}
	if after := h.n > 0; after != before {
		h.tell(after)
	}
}

func (h *haste) hurrying() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n > 0
}

// flowClaimer tells the intercepts which endpoints are in use, where they are
// not all in a few prefixes.
type flowClaimer interface {
	AddFlows([]packet.Endpoint)
	DelFlows([]packet.Endpoint)
}

// timeWait is how long Linux keeps a connection in TIME-WAIT, in ms
// (TCP_TIMEWAIT_LEN, include/net/tcp.h).
const timeWait = 60_000

const (
	// round is how many frames are taken before the batch is sent.
	round = 256
	// crowd is how many things to do at once say that more come soon, though
	// the copy is behind.
	crowd = 16
	// calmAfter is how long a worker without work stays in a hurry.
	calmAfter = 100 * session.Millisecond
	// publishEvery is how often counters are published under load.
	publishEvery = 100 * session.Millisecond
)

// clock is the workers' common time: wall time at the start, monotonic since,
// so that timestamps that a target remembers from before a restart are older.
func (w *worker) clock() session.Time {
	return session.Time(w.start.UnixMicro()) + session.Time(time.Since(w.start)/time.Microsecond)
}

// startClock starts the worker's time.
func (w *worker) startClock() {
	w.now = w.clock()
	w.wheel.Start(w.ms())
}

// pass does one round, but for its transmission, and returns how much there was
// to do.
func (w *worker) pass() int {
	w.now = w.clock()
	w.admission.update(w.now)
	w.resting.Expire(w.ms())
	n := w.takeFrames()
	n += w.takeParcels()
	if w.feed != nil {
		n += w.takeFeed()
	}
	n += w.takeReplies()
	if w.controls.Load() > 0 {
		n++
		w.takeControls()
	}
	w.wheel.Advance(w.ms(), w.fire)
	w.settle()
	if n > 0 {
		w.pace()
	} else {
		w.calm()
	}
	w.claimFlows()
	return n
}

// sent ends a round whose packets were transmitted.
func (w *worker) sent() {
	w.lag.measure(&w.counter.Lag)
	w.core.FreeSent()
	w.core.SetOverhead(w.tableBytes())
	w.wakePeers()
	if w.feed != nil {
		w.feed.tell(w)
	}
}

// pace tells who brings the replies whether the copy is behind in most rounds:
// then requests wait for answers to those before them. A client that sends as
// fast as it is answered is copied as fast as the answers come.
func (w *worker) pace() {
	const whole, few, many = 1 << 10, 1 << 7, 3 << 8
	now := 0
	if w.late {
		now = whole
	}
	w.busyAt = w.now
	w.behind += (now - w.behind) / 8
	if hurry := w.behind > many || w.hurry && w.behind > few; hurry != w.hurry {
		w.hurry = hurry
		w.haste.change(hurry)
	}
}

// calm takes back what pace said, once nothing has come for a while.
func (w *worker) calm() {
	if w.hurry && w.now-w.busyAt >= calmAfter {
		w.behind, w.hurry = 0, false
		w.haste.change(false)
	}
}

// ms is the wheel's time.
func (w *worker) ms() int64 { return int64(w.now / session.Millisecond) }

// next is how long the worker may sleep; negative: for ever.
func (w *worker) next() time.Duration {
	timeout := time.Duration(-1)
	if next := w.wheel.Next(); next >= 0 {
		timeout = max(0, time.Duration(session.Time(next)*session.Millisecond-w.clock())*time.Microsecond)
	}
	if w.feed != nil {
		if due := w.feed.next(w.clock()); due >= 0 && (timeout < 0 || due < timeout) {
			timeout = due
		}
	}
	if calm := time.Duration(calmAfter) * time.Microsecond; w.hurry && (timeout < 0 || timeout > calm) {
		timeout = calm
	}
	return timeout
}

// enter has thread t run it from now on.
func (w *worker) enter(t *thread) {
	for _, in := range w.inlets {
		t.poller.Watch(in.FD())
	}
	w.tx = t.tx
	t.workers = append(t.workers, w)
	w.thread.Store(t)
}

// leave ends what enter began.
func (w *worker) leave(t *thread) {
	for _, in := range w.inlets {
		t.poller.Forget(in.FD())
	}
}

// wake has the worker look at its queues.
func (w *worker) wake() { w.thread.Load().poller.Wake() }

// waiting reports whether a queue holds something.
func (w *worker) waiting() bool {
	if w.controls.Load() > 0 {
		return true
	}
	for _, q := range w.replies {
		if q != nil && q.Len() > 0 {
			return true
		}
	}
	for _, q := range w.handover {
		if q != nil && q.Len() > 0 {
			return true
		}
	}
	return w.feed != nil && w.feed.waiting()
}

// do runs f in the worker, and returns when it has, or the worker has ended.
func (w *worker) do(f func()) {
	ran := make(chan struct{})
	w.controls.Add(1)
	select {
	case w.control <- func() { f(); close(ran) }:
	case <-w.ended:
		return
	}
	w.wake()
	select {
	case <-ran:
	case <-w.ended:
	}
}

func (w *worker) takeControls() {
	for {
		select {
		case f := <-w.control:
			w.controls.Add(-1)
			f()
		default:
			return
		}
	}
}

// claimFlows tells the links which endpoints came into use, before the SYNs
// go out, and which went out of it.
func (w *worker) claimFlows() {
	if len(w.claim) > 0 {
		w.flows.AddFlows(w.claim)
		w.claim = w.claim[:0]
	}
	if len(w.unclaim) > 0 {
		w.flows.DelFlows(w.unclaim)
		w.unclaim = w.unclaim[:0]
	}
}

func (w *worker) publish() {
	w.publishedAt = w.now
	w.seeLosses()
	w.counter.Session = w.core.Stats
	w.counter.Held = uint64(w.core.Held())
	w.put(&w.counter)
}

// Send implements session.Sink: it writes the headers of a segment and adds it
// to the batch.
func (w *worker) Send(s *session.Session, o *session.Out) {
	w.lag.note(s, o)
	head := w.tx.Begin()
	n := 0
	for _, b := range o.Payload {
		n += w.tx.Payload(b)
	}
	w.id++
	w.header = packet.Header{
		Src: s.Endpoint, Dst: s.Target,
		Seq: o.Seq, Ack: o.Ack, Flags: o.Flags, Window: o.Window,
		ID: w.id, Options: o.Options,
	}
	w.tx.Commit(packet.Build(head, &w.header, n), o.MSS, w.set.matcher.transfers[s.Transfer].hop)
}
