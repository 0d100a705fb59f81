package recorded

import (
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// endOfRecording stands for a transfer in the packet behind the last one.
const endOfRecording = -1

// scheduledParcel is a packet of a recording on its way to its worker.
type scheduledParcel struct {
	source.Parcel
	client session.Time // its place in the recording, by the clients' time
	due    session.Time // by the workers' clock, never before the packet ahead of it; 0: at once
}

// Source is the queue of packets from the replay to one worker, and in load what
// the worker tells the replay. The replay has the queue's other end and reads load;
// all else belongs to the worker.
type Source struct {
	queue    *queue.SPSC[scheduledParcel]
	parcels  *source.Parcels
	counter  *account.Counters // the worker's
	clients  session.Time      // how far the recording is, by its clients' time
	taken    int64             // packets
	bytes    int64             // their payload
	dueKnown bool              // Due has said when the first packet in the queue is due
	load     load
}

var _ source.Source = (*Source)(nil)

// load is what the worker publishes after each pass. taken is stored last: a packet
// counts as queued until the session that it began or made busy counts.
type load struct {
	busy, sessions, maxSessions, held, memory, copies, bytes, taken atomic.Int64
}

func newSource(counter *account.Counters, parcels *source.Parcels) *Source {
	return &Source{queue: queue.New[scheduledParcel](queueLen), parcels: parcels, counter: counter, clients: source.RecordingBegins}
}

// Take implements source.Source: it takes what is due.
func (s *Source) Take(now session.Time, max int, to source.Consumer) (n int) {
	for p := s.queue.Peek(); p != nil && p.due <= now && n < max; p = s.queue.Peek() {
		if p.client > s.clients {
			s.clients = p.client
			to.ClientTime(s.clients)
		}
		if p.Transfer == endOfRecording {
			to.EndOfRecording()
		} else {
			if p.due > 0 {
				s.counter.Late.Observe(int64(now - p.due))
			}
			s.counter.TakenOver++
			to.Segment(p.Transfer, &p.Segment)
		}
		s.remove(p)
		n++
	}
	return n
}

// Refuse implements source.Source.
func (s *Source) Refuse(to source.Consumer) {
	for p := s.queue.Peek(); p != nil; p = s.queue.Peek() {
		if p.Transfer != endOfRecording {
			s.counter.TakenOver++
			to.Refuse(&p.Segment)
		}
		s.remove(p)
	}
}

// remove takes p, the first in the queue, out of it.
func (s *Source) remove(p *scheduledParcel) {
	s.bytes += int64(len(p.Segment.Payload))
	s.parcels.Free(&p.Parcel)
	*p = scheduledParcel{}
	s.queue.Drop()
	s.taken++
}

// Due implements source.Source.
func (s *Source) Due(now session.Time) time.Duration {
	p := s.queue.Peek()
	s.dueKnown = p != nil
	if !s.dueKnown {
		return -1
	}
	return max(0, time.Duration(p.due-now)*time.Microsecond)
}

// Waiting implements source.Source.
func (s *Source) Waiting() bool { return !s.dueKnown && s.queue.Len() > 0 }

// Report implements source.Source.
func (s *Source) Report(l source.Load) {
	s.load.busy.Store(l.Busy)
	s.load.sessions.Store(l.Sessions)
	s.load.maxSessions.Store(l.MaxSessions)
	s.load.held.Store(l.Held)
	s.load.memory.Store(l.Memory)
	s.load.copies.Store(l.Copies)
	s.load.bytes.Store(s.bytes)
	s.load.taken.Store(s.taken)
}

// Lost implements source.Source: of a recording no packet is lost.
func (s *Source) Lost() bool { return false }

// Match implements source.Source: a replay's transfers do not change.
func (s *Source) Match(*match.Matcher) {}

// Attach implements source.Source: the replay wakes the worker.
func (s *Source) Attach(*ring.Poller, bool) {}

// Detach implements source.Source.
func (s *Source) Detach() {}
