package recorded

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/recording"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

// A Replay reads recordings and hands each packet to the worker of its client
// shortly before it is due. It drops nothing: where the workers have as much as
// they may hold, it waits, and all that follows is due later. One goroutine runs
// read and what it calls; any may call the other methods.
type Replay struct {
	account.Published

	log     *slog.Logger
	conf    *conf.Tcpcopy
	clock   clock.Clock
	matcher *match.Matcher
	parcels *source.Parcels
	files   recordings
	sources []*Source
	wake    func(worker int)

	schedule  recording.Schedule
	counter   account.Counters
	segment   packet.Segment
	due       session.Time // when the last packet is due, by the workers' clock; 0: at once
	handUntil session.Time // packets that are due by then may be handed over
	pushed    []int64      // packets, by worker
	bytes     []int64      // their payload
	unseen    []int        // packets that each worker got while it may have been asleep
	wakeAfter int          // so many of them it is woken

	start   atomic.Int64                   // when the first packet is due, by the workers' clock
	place   atomic.Int64                   // of the last packet in recorded time, ns
	runs    atomic.Int64                   // that are complete
	stalled atomic.Int64                   // time waited for workers, ns
	broken  atomic.Int64                   // recordings that could not be read to their end
	fault   atomic.Pointer[pcapfile.Error] // the last of these

	// Run sets these.
	began       time.Time
	interrupted bool // before the end of the last run
}

// Open opens the recordings of cfg, for a worker for each of counters. The error
// is a *pcapfile.Error, unless it is of the filter.
func Open(cfg *conf.Tcpcopy, m *match.Matcher, c clock.Clock, counters []*account.Counters, parcels *source.Parcels, log *slog.Logger) (*Replay, error) {
	n := len(counters)
	r := &Replay{
		log: log, conf: cfg, clock: c, matcher: m, parcels: parcels,
		schedule: recording.Schedule{Speed: cfg.Replay.Speed, MaxGap: cfg.Replay.MaxGap, From: cfg.Replay.From, To: cfg.Replay.To},
		pushed:   make([]int64, n), bytes: make([]int64, n), unseen: make([]int, n), wakeAfter: wakeEvery,
		began: time.Now(),
	}
	if slices.Contains(cfg.Replay.Files, pcapfile.Stdin) {
		r.wakeAfter = 1 // there is no knowing when the next packet comes
	}
	for _, counter := range counters {
		r.sources = append(r.sources, newSource(counter, parcels))
	}
	var err error
	r.files, err = openRecordings(cfg)
	return r, err
}

// Source is that of worker i.
func (r *Replay) Source(i int) source.Source { return r.sources[i] }

// read replays everything, or until stop is closed. The error is of a recording
// that cannot be opened again.
func (r *Replay) read(stop <-chan struct{}) error {
	defer r.files.Close()
	defer r.publish()
	r.start.Store(int64(r.clock.Now()))
	for {
		if !r.replayOnce(stop) {
			return nil
		}
		r.runs.Add(1)
		// Recordings without a packet to replay have none in the next run either.
		if r.runs.Load() == int64(r.conf.Replay.Times) || r.counter.HandedOver == 0 {
			return nil
		}
		r.schedule.Again()
		if err := r.files.Rewind(); err != nil {
			return err
		}
	}
}

// replayOnce replays the recordings once. It reports false when stop is closed
// before their end.
func (r *Replay) replayOnce(stop <-chan struct{}) bool {
	var f ring.Frame
	for n := 0; ; n++ {
		if n%checkEvery == 0 {
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
			return r.endRun(stop)
		case err != nil:
			r.noteBroken(err)
			continue
		}
		switch r.schedule.Locate(f.Time) {
		case recording.Before:
			continue
		case recording.Behind:
			return r.endRun(stop)
		}
		if !r.handOver(&f, stop) {
			return false
		}
	}
}

// noteBroken logs that a recording is broken, and counts it unless only its last
// packet is cut off.
func (r *Replay) noteBroken(err error) {
	var e *pcapfile.Error
	if errors.As(err, &e) && e.Cut {
		r.log.Warn("recording ends within a packet, which is left out", "error", err)
		return
	}
	r.broken.Add(1)
	r.fault.Store(e)
	r.log.Error("recording is broken", "error", err)
}

// handOver takes a packet as far as the queue of its worker. It reports false
// when stop is closed.
func (r *Replay) handOver(f *ring.Frame, stop <-chan struct{}) bool {
	c, g := &r.counter, &r.segment
	c.Captured++
	t, d, ok := r.matcher.Classify(f, g)
	if ok && !r.files.passes(f) {
		d, ok = account.NotMatched, false
	}
	if !ok {
		c.Drop(d, g)
		return true
	}
	place, due := r.schedule.Place(f.Time)
	r.place.Store(int64(place))
	g.Time = 0 // it was captured long ago, and says nothing of the copy's lag
	p := scheduledParcel{Parcel: r.parcels.Pack(r.matcher, t, g), client: source.RecordingBegins + clock.Micros(place)}
	if !math.IsInf(r.conf.Replay.Speed, 1) {
		p.due = session.Time(r.start.Load()) + clock.Micros(due)
		if !r.await(p.due, stop) {
			return false
		}
	}
	if !r.push(packet.Shard(g.Src.Port, len(r.sources)), p, stop) {
		return false
	}
	c.HandedOver++
	return true
}

// recorded is how much recorded time has been replayed, without that of packets
// that were handed over and are not due yet.
func (r *Replay) recorded() time.Duration {
	place := time.Duration(r.place.Load())
	due := float64(r.clock.Now()-session.Time(r.start.Load())) * float64(time.Microsecond) * r.conf.Replay.Speed
	if due < float64(place) {
		return time.Duration(max(due, 0))
	}
	return place
}

// endRun tells the workers that the recordings are at their end. It reports false
// when stop is closed.
func (r *Replay) endRun(stop <-chan struct{}) bool {
	for i := range r.sources {
		p := scheduledParcel{client: source.RecordingBegins + session.Time(r.place.Load()/1000), due: r.due}
		p.Transfer = endOfRecording
		if !r.push(i, p, stop) {
			return false
		}
	}
	r.wakeAll()
	return true
}

func (r *Replay) publish() { r.Put(&r.counter) }
