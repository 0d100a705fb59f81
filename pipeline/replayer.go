package pipeline

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replay"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

const (
	// ahead is how long before they are due packets are handed over at most, so
	// that neither the replayer nor a worker wakes up for each.
	ahead = 100 * time.Millisecond
	// grain is how long to wait for room at least.
	grain = 200 * time.Microsecond
	// wakeEvery is how many packets for a worker that had none wake it at once.
	wakeEvery = 64
	// longest is the longest sleep, after which progress is told.
	longest = ahead / 2
)

// A replayer reads recordings and hands each packet to the worker of its
// client when it is due. It drops nothing: where the workers have as much as
// they may hold, it waits, and all that follows is due later. run belongs to
// one goroutine; the rest is for any.
type replayer struct {
	log     *slog.Logger
	set     *settings
	conf    *conf.Replay
	files   recordings
	workers []*worker

	schedule replay.Schedule
	counter  Counters
	published
	due    session.Time // of the last packet, by the workers' clock; 0: at once
	mayBe  session.Time // a packet that is handed over may be due then, at least
	pushed []int64      // parcels, by worker
	bytes  []int64      // their payload
	asleep []int        // what each got that may sleep without knowing of it
	batch  int          // when it is to be woken
	stdin  bool         // reading may have to wait

	start   atomic.Int64 // when the first packet is due, by the workers' clock
	place   atomic.Int64 // of the last packet in recorded time, ns
	runs    atomic.Int64 // that are complete
	stalled atomic.Int64 // time waited for workers, ns
	broken  atomic.Int64 // recordings that could not be read to their end
	worst   atomic.Pointer[pcapfile.Error]

	// Of Pipeline.replay.
	began       time.Time
	interrupted bool
}

func newReplayer(cfg *conf.Tcpcopy, log *slog.Logger, set *settings) (*replayer, error) {
	r := &replayer{
		log: log, set: set, conf: &cfg.Replay, batch: wakeEvery, stdin: slices.Contains(cfg.Replay.Files, pcapfile.Stdin),
		schedule: replay.Schedule{Speed: cfg.Replay.Speed, MaxGap: cfg.Replay.MaxGap, From: cfg.Replay.From, To: cfg.Replay.To},
	}
	if r.stdin {
		r.batch = 1 // there is no knowing when the next packet comes
	}
	var err error
	r.files, err = openRecordings(cfg)
	return r, err
}

// run replays everything, or until stop is closed. The error is of a recording
// that cannot be opened again.
func (r *replayer) run(stop <-chan struct{}) error {
	defer r.files.Close()
	defer r.publish()
	n := len(r.workers)
	r.pushed, r.bytes, r.asleep = make([]int64, n), make([]int64, n), make([]int, n)
	r.start.Store(int64(r.now()))
	for {
		if !r.once(stop) {
			return nil
		}
		r.runs.Add(1)
		// What holds nothing to replay holds nothing the next time.
		if r.runs.Load() == int64(r.conf.Times) || r.counter.HandedOver == 0 {
			return nil
		}
		r.schedule.Again()
		if err := r.files.Rewind(); err != nil {
			return err
		}
	}
}

// once replays the recordings once, and reports whether to their end.
func (r *replayer) once(stop <-chan struct{}) bool {
	var f ring.Frame
	for n := 0; ; n++ {
		if n%round == 0 {
			select {
			case <-stop:
				return false
			default:
			}
			r.wakeAll()
			r.publish()
		}
		switch err := r.files.Next(&f); {
		case err == io.EOF:
			return r.end(stop)
		case err != nil:
			r.note(err)
			continue
		}
		switch r.schedule.Locate(f.Time) {
		case replay.Before:
			continue
		case replay.Behind:
			return r.end(stop)
		}
		if !r.packet(&f, stop) {
			return false
		}
	}
}

// note tells of a recording that is broken.
func (r *replayer) note(err error) {
	var e *pcapfile.Error
	if errors.As(err, &e) && e.Cut {
		r.log.Warn("recording ends within a packet, which is left out", "error", err)
		return
	}
	r.broken.Add(1)
	r.worst.Store(e)
	r.log.Error("recording is broken", "error", err)
}

// packet takes a packet as far as the queue of its worker. It reports false
// when stop is closed.
func (r *replayer) packet(f *ring.Frame, stop <-chan struct{}) bool {
	c := &r.counter
	c.Captured++
	var g packet.Segment
	t, d, ok := r.set.take(f, &g)
	if ok && !r.files.passes(f) {
		d, ok = NotMatched, false
	}
	if !ok {
		c.drop(d, &g)
		return true
	}
	place, due := r.schedule.Place(f.Time)
	r.place.Store(int64(place))
	p := r.set.pack(t, &g)
	p.client = recordingBegins + micros(place)
	if !math.IsInf(r.conf.Speed, 1) {
		p.due = session.Time(r.start.Load()) + micros(due)
		if !r.await(p.due, stop) {
			return false
		}
	}
	if !r.push(packet.Shard(g.Src.Port, len(r.workers)), p, stop) {
		return false
	}
	c.HandedOver++
	return true
}

// now is the workers' clock.
func (r *replayer) now() session.Time { return r.workers[0].clock() }

// recorded is the recorded time that is replayed, without what is not due.
func (r *replayer) recorded() time.Duration {
	place := time.Duration(r.place.Load())
	due := float64(r.now()-session.Time(r.start.Load())) * float64(time.Microsecond) * r.conf.Speed
	if due < float64(place) {
		return time.Duration(max(due, 0))
	}
	return place
}

// await sleeps until a packet that is due then may be handed over.
func (r *replayer) await(due session.Time, stop <-chan struct{}) bool {
	for due > r.mayBe {
		r.mayBe = r.now() + micros(ahead)
		early := time.Duration(due-r.mayBe) * time.Microsecond
		if early <= 0 {
			break
		}
		r.wakeAll()
		r.publish()
		if !nap(min(early+ahead/2, longest), stop) {
			return false
		}
	}
	return true
}

// nap sleeps. It reports false when stop is closed.
func nap(d time.Duration, stop <-chan struct{}) bool {
	select {
	case <-time.After(d):
		return true
	case <-stop:
		return false
	}
}

// push puts p into the queue of worker i when there is room. Where it waited so
// long that p is late, all that follows is due later, too.
func (r *replayer) push(i int, p parcel, stop <-chan struct{}) bool {
	begins := p.segment.Flags&packet.SYN != 0
	for r.full(i, begins) {
		r.wakeAll()
		began := r.now()
		early := time.Duration(p.due-began) * time.Microsecond // negative where due is 0
		if !nap(max(grain, early/2), stop) {
			return false
		}
		now := r.now()
		if late := min(now-p.due, now-began); late > 0 {
			r.start.Add(int64(late))
			if p.due > 0 {
				p.due += late
			}
			r.stalled.Add(int64(late) * int64(time.Microsecond))
		}
	}
	r.due = p.due
	q := r.workers[i].feed.queue
	q.Push(p)
	r.pushed[i]++
	r.bytes[i] += int64(len(p.segment.Payload))
	// Only a worker that found the queue empty may sleep for longer than until
	// p is due. It looked after it had announced the sleep. If it saw p, it does
	// not sleep; if not, it had dropped all before p, so that p is alone there
	// now, and Wake finds the announcement.
	if r.asleep[i] > 0 || q.Len() == 1 {
		r.asleep[i]++
	}
	if r.asleep[i] >= r.batch {
		r.wake(i)
	}
	return true
}

// full reports whether worker i, or all together, have as much as they may
// hold: of packets, of payload, of sessions, and at the speed max of sessions
// that wait for the target. Where nothing waits for the target, waiting for it
// would not help.
func (r *replayer) full(i int, begins bool) bool {
	var queued, busy int64
	for k, w := range r.workers {
		queued += r.pushed[k] - w.feed.load.taken.Load()
		busy += w.feed.load.busy.Load()
	}
	w := r.workers[i]
	l := &w.feed.load
	waiting := r.pushed[i] - l.taken.Load()
	switch {
	case waiting >= feedLen:
		return true
	case busy == 0 && queued == 0:
		return false
	case math.IsInf(r.conf.Speed, 1) && busy+queued >= int64(r.conf.MaxConcurrent):
		return true
	case w.memory > 0 && r.bytes[i]-l.bytes.Load()+l.held.Load() > w.memory/2:
		return true
	}
	copies := int64(w.admission.copies)
	return begins && l.sessions.Load()+(waiting+1)*copies > int64(w.maxSessions)
}

// wake wakes worker i for what it got.
func (r *replayer) wake(i int) {
	r.asleep[i] = 0
	r.workers[i].wake()
}

func (r *replayer) wakeAll() {
	for i, n := range r.asleep {
		if n > 0 {
			r.wake(i)
		}
	}
}

// end tells the workers that the recording is over.
func (r *replayer) end(stop <-chan struct{}) bool {
	for i := range r.workers {
		p := parcel{transfer: endOfRecording, client: recordingBegins + session.Time(r.place.Load()/1000), due: r.due}
		if !r.push(i, p, stop) {
			return false
		}
	}
	r.wakeAll()
	return true
}

func (r *replayer) publish() { r.put(&r.counter) }
