package recorded

import (
	"math"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// await sleeps until a packet that is due at due may be handed over. It reports
// false when stop is closed.
func (r *Replay) await(due session.Time, stop <-chan struct{}) bool {
	for due > r.handUntil {
		r.handUntil = r.clock.Now() + clock.Micros(ahead)
		early := time.Duration(due-r.handUntil) * time.Microsecond
		if early <= 0 {
			break
		}
		r.wakeAll()
		r.publish()
		if !nap(min(early+ahead/2, longestNap), stop) {
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
// long that p is late, all that follows is due later, too. It reports false when
// stop is closed.
func (r *Replay) push(i int, p scheduledParcel, stop <-chan struct{}) bool {
	begins := p.Segment.Flags&packet.SYN != 0
	for r.full(i, begins) {
		r.wakeAll()
		began := r.clock.Now()
		early := time.Duration(p.due-began) * time.Microsecond // negative where due is 0
		if !nap(max(shortestNap, early/2), stop) {
			return false
		}
		now := r.clock.Now()
		if late := min(now-p.due, now-began); late > 0 {
			r.start.Add(int64(late))
			if p.due > 0 {
				p.due += late
			}
			r.stalled.Add(int64(late) * int64(time.Microsecond))
		}
	}
	r.due = p.due
	q := r.sources[i].queue
	q.Push(p)
	r.pushed[i]++
	r.bytes[i] += int64(len(p.Segment.Payload))
	// Only a worker that found its queue empty may sleep for longer than until p is
	// due. It announces that it will sleep and then looks into the queue once more.
	// If it sees p then, it does not sleep. If not, it has taken all before p, so
	// that p is alone in the queue now, and Wake finds the announcement.
	if r.unseen[i] > 0 || q.Len() == 1 {
		r.unseen[i]++
	}
	if r.unseen[i] >= r.wakeAfter {
		r.wakeOne(i)
	}
	return true
}

// full reports whether worker i has as much as it may hold, of packets, payload or
// sessions, or whether all workers together have, at speed max, as many sessions
// as may be busy. Where no session is busy and nothing is queued, waiting would
// change nothing, and only the length of the queue counts.
func (r *Replay) full(i int, begins bool) bool {
	var queued, busy int64
	for k, s := range r.sources {
		queued += r.pushed[k] - s.load.taken.Load()
		busy += s.load.busy.Load()
	}
	l := &r.sources[i].load
	memory := l.memory.Load()
	waiting := r.pushed[i] - l.taken.Load()
	switch {
	case waiting >= queueLen:
		return true
	case busy == 0 && queued == 0:
		return false
	case math.IsInf(r.conf.Replay.Speed, 1) && busy+queued >= int64(r.conf.Replay.MaxConcurrent):
		return true
	case memory > 0 && r.bytes[i]-l.bytes.Load()+l.held.Load() > memory/2:
		return true
	}
	return begins && l.sessions.Load()+(waiting+1)*l.copies.Load() > l.maxSessions.Load()
}

// wakeOne wakes worker i for the packets that it has not seen yet.
func (r *Replay) wakeOne(i int) {
	r.unseen[i] = 0
	r.wake(i)
}

// wakeAll wakes each worker that has packets that it has not seen yet.
func (r *Replay) wakeAll() {
	for i, n := range r.unseen {
		if n > 0 {
			r.wakeOne(i)
		}
	}
}
