// Package pipeline is tcpcopy at work: rings deliver the clients' packets to
// workers, workers replay the sessions they own, links bring the headers of
// the target's replies.
//
// The life of a packet, in order: worker.takeFrames and worker.frame
// (intake.go) decode and match it, worker.segment gives it to its session
// (sessions.go), package session decides what follows, worker.Send (worker.go)
// writes headers into the batch, and thread.round transmits it. Replies enter
// through Pipeline.replies (links.go) and worker.reply.
package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/bytebufferpool"
	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/flow"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replay"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

const (
	// maxTransfers bounds the counters that are kept for each.
	maxTransfers = 64
	// handoverLen is the queue between two workers.
	handoverLen = 1024
	// repliesLen is the queue of replies to a worker.
	repliesLen = 1 << 14
	// blockSize is the least power of two that holds a super-packet of 64 KB
	// whole. The kernel hands a block over after retire however little is in
	// it, so a ring of n blocks lasts n times that while its worker does not
	// run: 16 MB a quarter of a second. Fewer and larger blocks would lose
	// packets sooner, a longer timeout would make the copy later.
	blockSize = 128 << 10
	retire    = 2 * time.Millisecond
	// wholePacket cuts nothing (MAXIMUM_SNAPLEN of libpcap).
	wholePacket = 256 << 10
)

// settings are what all workers share and nobody changes: a reload makes others.
type settings struct {
	recognizer
	session session.Config
	seed    uint64 // of hash tables
	parcels *bytebufferpool.Pool
}

// Pipeline is a running tcpcopy.
type Pipeline struct {
	// OnProgress, if it is set before Run, is told a few times a second how far
	// a replay is.
	OnProgress func(replay.Progress)

	cfg      *conf.Tcpcopy // as it began; what a reload changes is in now
	log      *slog.Logger
	hops     *ring.Hops
	workers  []*worker
	captures []capture
	replayer *replayer // nil: packets are captured
	home     *home     // nil: replies come by links
	now      atomic.Pointer[state]

	instance [16]byte        // for the intercepts
	linkTime context.Context // until when links are kept
	linking  sync.WaitGroup

	haste haste
	// repliesLost are those that home found no room for in a worker's queue.
	repliesLost atomic.Uint64

	changing sync.Mutex    // held by what changes now
	running  chan struct{} // closed when all run
	ending   bool          // guarded by changing
}

// capture is the rings of one interface, one for each worker.
type capture struct {
	name  string
	rings []*ring.Ring
}

// Open makes everything that cfg asks for and begins to capture, in the
// network namespace of the calling thread. Its errors name what is missing.
func Open(ctx context.Context, cfg *conf.Tcpcopy, log *slog.Logger) (_ *Pipeline, err error) {
	p := &Pipeline{cfg: cfg, log: log, running: make(chan struct{})}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	set, err := p.newSettings(ctx)
	if err != nil {
		return nil, err
	}
	p.now.Store(&state{cfg: cfg, set: set})
	if err = canBind(cfg.CPUs); err != nil {
		return nil, err
	}
	n := cfg.WorkerCount()
	if len(cfg.Replay.Files) > 0 {
		p.replayer, err = newReplayer(cfg, log, set)
	} else {
		err = p.openRings(n)
	}
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for i := range n {
		p.addWorker(i, n, start)
	}
	for _, w := range p.workers {
		w.peers = p.workers
	}
	if err := p.assemble(); err != nil {
		return nil, err
	}
	if p.replayer != nil {
		p.replayer.workers = p.workers
	}
	if len(cfg.Intercepts) == 0 {
		return p, p.openHome()
	}
	return p, p.openLinks()
}

func (p *Pipeline) newSettings(ctx context.Context) (*settings, error) {
	cfg := p.cfg
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	var err error
	if p.hops, err = ring.NewHops(ctx, cfg.OutInterface); err != nil {
		return nil, err
	}
	s := &settings{
		recognizer: newRecognizer(cfg),
		session:    sessionConfig(cfg),
		seed:       binary.NativeEndian.Uint64(seed[:]),
		parcels:    new(bytebufferpool.Pool),
	}
	return s, p.findHops(&s.matcher)
}

func sessionConfig(cfg *conf.Tcpcopy) session.Config {
	return session.Config{
		NoWait:       cfg.NoWait,
		Encrypted:    cfg.Encrypted == conf.EncryptedCopy,
		OnlyComplete: cfg.OnlyComplete,
		NoResponse:   micros(cfg.NoResponseTimeout),
		Keepalive:    micros(cfg.KeepaliveTimeout),
		RTT:          micros(cfg.RTT),
		SynMSS:       cfg.SynMSS,
		Replayed:     len(cfg.Replay.Files) > 0,
	}
}

// openRings opens one ring for each worker at each interface.
func (p *Pipeline) openRings(n int) error {
	program, err := p.program(&p.now.Load().set.matcher)
	if err != nil {
		return err
	}
	names := p.cfg.Interfaces
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		c := ring.Config{
			Interface:     name,
			BlockSize:     blockSize,
			Blocks:        int(max(p.cfg.RingBytes/blockSize, 8)),
			RetireTimeout: retire,
			Filter:        program,
			Promiscuous:   p.cfg.Promiscuous,
		}
		rings, err := ring.OpenGroup(c, n, ring.ShardProgram(n))
		if err != nil {
			return err
		}
		p.captures = append(p.captures, capture{name, rings})
	}
	return nil
}

// program is the filter of the rings.
func (p *Pipeline) program(m *matcher) ([]bpf.RawInstruction, error) {
	f, err := kernelFilter(p.cfg, m)
	if err != nil {
		return nil, err
	}
	snap := uint32(p.cfg.SnapLen)
	if p.cfg.SnapLen <= 0 || p.cfg.SnapLen >= 65535 {
		snap = wholePacket
	}
	return f.Kernel(snap)
}

func (p *Pipeline) addWorker(i, n int, start time.Time) {
	cfg, set := p.cfg, p.now.Load().set
	var pool4, pool6 []packet.Addr
	if cfg.Clients != nil {
		pool4, pool6 = addrs(cfg.Clients.Addrs4()), addrs(cfg.Clients.Addrs6())
	}
	w := &worker{
		index: i, log: p.log, set: set, start: start,
		free:     flow.NewEndpoints(i, n, pool4, pool6, set.seed),
		resting:  flow.NewRest(timeWait, set.seed),
		handover: make([]*queue.SPSC[parcel], n),
		woken:    make([]bool, n),
		control:  make(chan func(), 16),
		ended:    make(chan struct{}),
	}
	for k := range n {
		if k != i {
			w.handover[k] = queue.New[parcel](handoverLen)
		}
	}
	for _, c := range p.captures {
		w.rings = append(w.rings, c.rings[i])
	}
	w.ringBytes = make([]atomic.Uint64, len(w.rings))
	if p.replayer != nil {
		w.feed = newFeed()
	}
	p.workers = append(p.workers, w)
	w.admission = newAdmission(cfg, n, set.seed, w.clock())
	w.core = session.New(session.Config{}, w)
	w.limit(set, cfg, n)
}

// limit bounds the sessions of one of n workers as cfg says.
func (w *worker) limit(set *settings, cfg *conf.Tcpcopy, n int) {
	own := set.session
	own.Memory = cfg.Memory / int64(n)
	own.ReopenRate = cfg.ReopenRate / float64(n)
	w.core.Configure(own)
	w.memory, w.maxSessions = own.Memory, max(cfg.MaxSessions/n, 1)
}

func addrs(in []netip.Addr) []packet.Addr {
	out := make([]packet.Addr, len(in))
	for i, a := range in {
		out[i] = packet.AddrFrom(a)
	}
	return out
}

// Run works until ctx is done or the recordings are replayed, then closes what
// was copied and returns. The error is of a replay: it says in a line what did
// not complete, or is a *pcapfile.Error.
func (p *Pipeline) Run(ctx context.Context) error {
	defer p.close()
	// A worker sleeps in system calls and keeps its P. As long as others are
	// idle, the runtime's sysmon leaves it alone; else it would take it away
	// after 20 us, at the cost of waking up as often itself.
	many := runtime.GOMAXPROCS(0) + len(p.workers)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(many))
	if r := p.replayer; r != nil && !math.IsInf(r.conf.Speed, 1) {
		p.workers[0].own.economize(!r.stdin, many)
	}
	var unlink func()
	p.linkTime, unlink = context.WithCancel(context.Background())
	defer unlink()
	for _, l := range p.now.Load().links {
		p.start(l)
	}
	if p.home != nil {
		p.linking.Go(func() { p.home.run(p.linkTime) })
	}
	done := make(chan struct{})
	var workers sync.WaitGroup
	for _, w := range p.workers {
		w.startClock()
	}
	for _, w := range p.workers {
		workers.Go(func() { w.own.run(done) })
	}
	close(p.running)
	var err error
	if p.replayer != nil {
		err = p.replay(ctx)
	} else {
		p.summarize(ctx)
	}
	p.changing.Lock()
	p.ending = true
	p.changing.Unlock()
	p.drain()
	close(done)
	for _, w := range p.workers {
		w.wake()
	}
	workers.Wait()
	p.logSummary("summary")
	unlink()
	p.linking.Wait()
	if p.replayer != nil {
		err = p.conclude(err)
	}
	return err
}

// drain ends the sessions: idle ones with a FIN, those that the grace does not
// suffice for with a RST.
func (p *Pipeline) drain() {
	for _, w := range p.workers {
		w.do(w.drain)
	}
	for end := time.Now().Add(p.now.Load().cfg.ShutdownGrace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left := 0
		for _, w := range p.workers {
			w.do(func() { left += w.slab.Len() })
		}
		if left == 0 {
			return
		}
	}
	for _, w := range p.workers {
		w.do(w.abort)
	}
}

func (p *Pipeline) close() {
	for _, w := range p.workers {
		if w.own != nil {
			w.own.close()
		}
	}
	for _, c := range p.captures {
		for _, r := range c.rings {
			_ = r.Close()
		}
	}
	if p.home != nil {
		p.home.close()
	}
}

// Totals is the sum of all workers' counters, and of the replayer's.
func (p *Pipeline) Totals() (c Counters) {
	if p.replayer != nil {
		p.replayer.addTo(&c)
	}
	for _, w := range p.workers {
		w.addTo(&c)
	}
	return c
}
