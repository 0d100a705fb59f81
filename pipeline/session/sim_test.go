package session

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// world is one simulated run: online clients whose packets are captured, the
// sessions that replay them, a network, and the target. Time is virtual, and
// everything that is left to chance comes from one seed.
type world struct {
	sc    *scenario
	rng   *rand.Rand
	now   Time
	core  *Core
	err   error
	trace func(format string, args ...any)

	events  events
	counter uint64

	flows    []*flow
	live     map[*flow]*copied // the session that takes the flow's packets
	all      map[*Session]*copied
	byEnd    map[packet.Endpoint]*copied
	peers    map[packet.Endpoint]*peer
	order    []*peer // in the order in which they came
	nextPort uint32
	dirty    []*copied
	batch    []sent
	given    uint64 // payload bytes handed to Client
	flushing bool

	burst     int // packets to the target that are still to be lost
	burstEnds Time
	downUntil Time // the target is being restarted
}

// copied is a session as its owner keeps it.
type copied struct {
	Session
	fl      *flow
	twins   []*copied // further copies of the same client
	timerAt Time      // of the earliest pending timer event
	edge    uint32
	peerMSS int
	peerTS  bool
	inUse   packet.Endpoint // registered endpoint
}

// sent is a segment in the batch: its payload is looked at when the batch
// leaves.
type sent struct {
	c   *copied
	ep  packet.Endpoint
	out Out
	opt packet.Options
}

type event struct {
	at Time
	n  uint64
	f  func()
}

type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].n < h[j].n
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(event)) }
func (h *events) Pop() any {
	o := *h
	e := o[len(o)-1]
	o[len(o)-1] = event{}
	*h = o[:len(o)-1]
	return e
}

func newWorld(sc *scenario, seed uint64) *world {
	w := &world{
		sc: sc, rng: rand.New(rand.NewPCG(seed, 0x7c9)),
		live: map[*flow]*copied{}, all: map[*Session]*copied{},
		byEnd: map[packet.Endpoint]*copied{}, peers: map[packet.Endpoint]*peer{},
		nextPort: 1024,
	}
	w.core = New(sc.cfg, w)
	return w
}

// at schedules f.
func (w *world) at(t Time, f func()) {
	w.counter++
	heap.Push(&w.events, event{max(t, w.now), w.counter, f})
}

// after schedules f d from now.
func (w *world) after(d Time, f func()) { w.at(w.now+d, f) }

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// between is uniform in [a, b].
func (w *world) between(a, b int) int { return a + w.rng.IntN(b-a+1) }

func (w *world) span(a, b Time) Time { return a + Time(w.rng.Int64N(int64(b-a+1))) }

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %.6f s: %s", float64(w.now)/float64(Second), fmt.Sprintf(format, args...))
	}
}

func (w *world) log(format string, args ...any) {
	if w.trace != nil {
		w.trace("%.6f %s", float64(w.now)/float64(Second), fmt.Sprintf(format, args...))
	}
}

// run plays all events. A world that does not come to rest is a failure.
func (w *world) run() error {
	const bound = 3_000_000
	for n := 0; len(w.events) > 0 && w.err == nil; n++ {
		if n > bound {
			w.fail("%d events and no rest", bound)
			break
		}
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.f()
	}
	if w.err == nil {
		w.flush()
		w.verify()
	}
	return w.err
}

// Send checks a segment against all that must hold of it.
func (w *world) Send(s *Session, o *Out) {
	c := w.all[s]
	e := sent{c: c, ep: s.Endpoint, out: *o}
	e.out.Payload = append([][]byte(nil), o.Payload...)
	packet.ParseOptions(o.Options, &e.opt)
	e.out.Options = nil
	w.batch = append(w.batch, e)
	w.log("%v send seq %d len %d ack %d %s again %v", c.fl, o.Seq-c.fl.isn, o.Len, o.Ack-w.ackBase(s.Endpoint), flagNames(o.Flags), o.Retransmit)
	switch {
	case s.Endpoint != c.inUse:
		w.fail("%v: segment from an endpoint that is not in use", c.fl)
	case len(o.Options) > 40 || len(o.Options)%4 != 0:
		w.fail("%v: %d bytes of options", c.fl, len(o.Options))
	case o.Flags&packet.SYN != 0:
		if int(e.opt.MSS) > w.sc.mtu-40 || e.opt.MSS == 0 || o.Len != 0 {
			w.fail("%v: SYN with MSS %d and %d bytes", c.fl, e.opt.MSS, o.Len)
		}
		return
	case o.Len > MaxPayload || len(o.Payload) > MaxPieces:
		w.fail("%v: %d bytes in %d pieces in one segment", c.fl, o.Len, len(o.Payload))
	case o.Len == 0:
		return
	}
	mss := c.peerMSS
	if mss == 0 {
		mss = 536
	}
	if c.peerTS {
		mss -= 12
	}
	if o.MSS > mss || o.MSS+len(o.Options)+40 > w.sc.mtu {
		w.fail("%v: MSS %d with %d bytes of options, %d allowed", c.fl, o.MSS, len(o.Options), mss)
	}
	if before(c.edge, o.Seq+uint32(o.Len)) && o.Len != 1 {
		w.fail("%v: sends to %d, the window ends at %d", c.fl, o.Seq+uint32(o.Len)-c.fl.isn, c.edge-c.fl.isn)
	}
}

func (w *world) ackBase(ep packet.Endpoint) uint32 {
	if p := w.peers[ep]; p != nil {
		return p.iss
	}
	return 0
}

// transmit puts a segment on the wire, cut as the device would cut it.
func (w *world) transmit(e *sent) {
	fl, o := e.c.fl, &e.out
	at := o.Seq
	for _, b := range o.Payload {
		off := at - fl.isn - 1
		if uint64(off)+uint64(len(b)) > uint64(len(fl.stream)) || !bytes.Equal(b, fl.stream[off:][:len(b)]) {
			w.fail("%v: sends %d bytes at %d that the client did not send there", fl, len(b), off)
			return
		}
		at += uint32(len(b))
	}
	if at != o.Seq+uint32(o.Len) {
		w.fail("%v: length %d, payload %d", fl, o.Len, at-o.Seq)
	}
	g := wire{seq: o.Seq, ack: o.Ack, flags: o.Flags, wnd: o.Window, opt: e.opt}
	left := o.Len
	for {
		g.len = left
		if o.MSS > 0 {
			g.len = min(left, o.MSS)
		}
		left -= g.len
		g.flags = o.Flags
		if left > 0 {
			g.flags &^= packet.PSH | packet.FIN
		}
		w.toTarget(fl, e.ep, g)
		if left == 0 {
			return
		}
		g.seq += uint32(g.len)
	}
}

// toTarget carries a segment over the network.
func (w *world) toTarget(fl *flow, ep packet.Endpoint, g wire) {
	if w.burst == 0 && w.chance(w.sc.burst) {
		w.burst, w.burstEnds = 100, w.now+Second
	}
	if w.now >= w.burstEnds {
		w.burst = 0
	}
	if w.burst > 0 {
		w.burst--
		return
	}
	for n := w.copies(w.sc.lossOut); n > 0; n-- {
		w.after(w.delay(), func() {
			p := w.peers[ep]
			if p == nil {
				p = newPeer(w, fl, ep)
				w.peers[ep] = p
				w.order = append(w.order, p)
			}
			p.recv(&g)
		})
	}
}

// toSession carries the target's answer, of which the header is seen.
func (w *world) toSession(ep packet.Endpoint, r packet.Reply) {
	for n := w.copies(w.sc.lossIn); n > 0; n-- {
		w.after(w.delay(), func() { w.reply(ep, &r) })
	}
}

// copies is how many copies of a packet arrive.
func (w *world) copies(loss float64) int {
	switch {
	case w.chance(loss):
		return 0
	case w.chance(w.sc.dup):
		return 2
	}
	return 1
}

// delay is the way's latency. Without jitter the order is kept.
func (w *world) delay() Time {
	d := w.sc.latency
	if w.chance(w.sc.reorder) {
		d += w.span(0, w.sc.jitter)
	}
	return d
}

var (
	targetEnd = packet.Endpoint{Addr: packet.Addr4([]byte{10, 1, 2, 100}), Port: 80}
	onlineEnd = packet.Endpoint{Addr: packet.Addr4([]byte{10, 0, 0, 1}), Port: 80}
)

func copyAddr(n uint32) packet.Addr { return packet.Addr4([]byte{10, 1, 3, byte(1 + n)}) }

func flagNames(f packet.Flags) string {
	b := []byte("FSRPAUEC")
	for i := range b {
		if f&(1<<i) == 0 {
			b[i] = '.'
		}
	}
	return string(b)
}
