package pipeline

import (
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/flow"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// admission decides which clients a worker copies. A client that was left out
// because of a limit stays left out for a while, so that its connection does
// not come in half-way as soon as there is room.
type admission struct {
	share    float64      // of the sessions (-r)
	from     float64      // the share when the ramp began
	ramp     session.Time // over which it changes (-g)
	began    session.Time
	copies   int
	sessions bucket // new ones
	bytes    bucket // of payload
	refused  *flow.Rest
	lostAt   session.Time // the rings were last seen to lose packets; 0: never

	below uint64 // hashes of clients that are within the share at the moment
}

// refusedFor is how long a client that was left out stays so, in ms.
const refusedFor = 120_000

// lossFor is how long a loss keeps new clients out: until the counters are
// published twice more under load, of which each looks for another loss.
const lossFor = 2 * publishEvery

// newAdmission makes that of one of n workers.
func newAdmission(c *conf.Tcpcopy, n int, seed uint64, now session.Time) admission {
	a := admission{refused: flow.NewRest(refusedFor, seed), from: min(0.01, c.Percent/100)}
	a.configure(c, n)
	a.began = now
	a.update(now)
	return a
}

// configure makes the limits those of c.
func (a *admission) configure(c *conf.Tcpcopy, n int) {
	a.share, a.ramp, a.copies = c.Percent/100, micros(c.Ramp), c.Copies
	a.sessions = newBucket(c.MaxSessionRate/float64(n), float64(c.Copies))
	a.bytes = newBucket(float64(c.MaxByteRate)/float64(n), 0)
}

// reconfigure makes the limits those of c, from now on. Another share begins a
// ramp, where there is one, at the share of the moment.
func (a *admission) reconfigure(c *conf.Tcpcopy, n int, now session.Time) {
	from, share, ramp := a.current(now), a.share, a.ramp
	a.configure(c, n)
	if a.share != share || a.ramp != ramp {
		a.from, a.began = from, now
	}
	a.update(now)
}

// current is the share at a time.
func (a *admission) current(now session.Time) float64 {
	if a.ramp == 0 {
		return a.share
	}
	return a.from + (a.share-a.from)*min(float64(now-a.began)/float64(a.ramp), 1)
}

// update follows the time.
func (a *admission) update(now session.Time) {
	share := a.current(now)
	a.below = ^uint64(0)
	if share < 1 {
		a.below = uint64(share * (1 << 63) * 2)
	}
	a.sessions.fill(now)
	a.bytes.fill(now)
	a.refused.Expire(int64(now / session.Millisecond))
}

// within reports whether a client's sessions belong to the share that is
// copied. The choice depends on its endpoint alone, so that a connection is
// copied whole or not at all, also after a restart.
func (a *admission) within(client packet.Endpoint) bool { return client.Hash(sampleSeed) <= a.below }

const sampleSeed = 0x7463706372796f70

// bucket is a token bucket. It may be overdrawn by one taker, and fills up to
// what a second brings.
type bucket struct {
	rate, tokens, most float64 // rate 0: no limit
	at                 session.Time
}

func newBucket(rate, least float64) bucket {
	most := max(rate, least, 1)
	return bucket{rate: rate, tokens: most, most: most}
}

func (b *bucket) fill(now session.Time) {
	if b.rate == 0 {
		return
	}
	if b.at != 0 {
		b.tokens = min(b.tokens+b.rate*float64(now-b.at)/float64(session.Second), b.most)
	}
	b.at = now
}

func (b *bucket) open() bool { return b.rate == 0 || b.tokens > 0 }

func (b *bucket) take(n float64) { b.tokens -= n }

// admit decides whether g may begin sessions of transfer t.
func (w *worker) admit(t int, g *packet.Segment) (PacketDrop, bool) {
	a := &w.admission
	switch {
	case g.Flags&(packet.RST|packet.FIN) != 0 && g.Flags&packet.SYN == 0:
		return StrayEnd, false
	case !a.within(g.Src):
		return SampledOut, false
	case w.set.session.OnlyComplete && g.Flags&packet.SYN == 0:
		return Incomplete, false
	case w.stopping:
		return ShuttingDown, false
	case w.set.matcher.transfers[t].leaving:
		return TransferRemoved, false
	case g.Flags&packet.SYN == 0 && a.refused.Has(g.Src):
		return RefusedBefore, false
	}
	d, ok := w.room()
	if !ok {
		a.refused.Add(g.Src, w.ms())
		return d, false
	}
	a.sessions.take(float64(a.copies))
	return 0, true
}

// room reports whether the limits leave room for a client.
func (w *worker) room() (PacketDrop, bool) {
	switch {
	case w.slab.Len()+w.admission.copies > w.maxSessions:
		return ShedSessions, false
	case w.memory > 0 && w.core.Used() > w.memory/10*9:
		return ShedMemory, false
	case w.admission.losing(w.now):
		return ShedLoss, false
	case !w.admission.sessions.open():
		return SessionRate, false
	case !w.admission.bytes.open():
		return ByteRate, false
	}
	return 0, true
}

// seeLosses looks whether the rings lost packets: then what is left of the
// worker's time is for the sessions that run.
func (w *worker) seeLosses() {
	for _, r := range w.rings {
		if r.Losing() {
			_, _ = r.Stats() // so that the next loss shows
			w.admission.lostAt = w.now
		}
	}
}

// losing reports whether the rings lost packets of late.
func (a *admission) losing(now session.Time) bool { return a.lostAt != 0 && now-a.lostAt < lossFor }

// micros converts d.
func micros(d time.Duration) session.Time { return session.Time(d / time.Microsecond) }
