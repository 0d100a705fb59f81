package live

import (
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/capture"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Source is what one worker reads: its ring of each interface.
type Source struct {
	readers []*reader
	matcher *match.Matcher
	counter *account.Counters // the worker's
	catchUp catchUp
	segment packet.Segment

	poller *ring.Poller // of the thread that runs the worker
	paced  bool
}

// reader is the end of one ring.
type reader struct {
	*capture.Reader
	bytes atomic.Uint64 // that were taken
	frame ring.Frame    // the one in hand
	held  bool          // it is held back, and the poller does not wait for more
}

var _ source.Source = (*Source)(nil)

// NewSource makes a source that has no ring to read yet. After a stall it gives
// packets at catchUp times the rate at which they came; 0: at once.
func NewSource(m *match.Matcher, counter *account.Counters, catchUpRate float64) *Source {
	return &Source{matcher: m, counter: counter, catchUp: catchUp{rate: catchUpRate}}
}

func (s *Source) read(r *capture.Reader) {
	s.readers = append(s.readers, &reader{Reader: r})
}

// Take implements source.Source.
func (s *Source) Take(_ session.Time, max int, to source.Consumer) (n int) {
	s.catchUp.begin()
	drained := true
	for _, r := range s.readers {
		took, more := s.take(r, max, to)
		n += took
		drained = drained && !more
	}
	if drained {
		s.catchUp.done()
	}
	return n
}

// take reads one ring. more says whether it may hold something yet.
func (s *Source) take(r *reader, max int, to source.Consumer) (n int, more bool) {
	if !r.held { // the frame in hand is in the ring
		r.Refresh()
	}
	bytes := 0
	for n < max && (r.held || r.Next(&r.frame)) {
		if more = s.catchUp.holds(r.frame.Time); more {
			break
		}
		s.hold(r, false)
		bytes += r.frame.Wire
		s.Frame(&r.frame, to)
		n++
	}
	if more {
		s.hold(r, true)
	}
	if bytes > 0 {
		r.bytes.Add(uint64(bytes))
	}
	return n, more || n == max
}

// hold holds back the frame in hand, or lets it go. While it is held the poller
// does not wait for the ring, which has something all the time.
func (s *Source) hold(r *reader, held bool) {
	if r.held == held {
		return
	}
	r.held = held
	if held {
		r.Detach()
	} else {
		s.attach(r)
	}
}

// Frame takes one packet from its ring.
func (s *Source) Frame(f *ring.Frame, to source.Consumer) {
	s.counter.Captured++
	g := &s.segment
	transfer, d, ok := s.matcher.Classify(f, g)
	if !ok {
		s.counter.Drop(d, g)
		return
	}
	to.Segment(transfer, g)
}

// Due implements source.Source: what rings bring is due at once, but for what is
// held back after a stall.
func (s *Source) Due(session.Time) time.Duration {
	due := time.Duration(-1)
	for _, r := range s.readers {
		if !r.held {
			continue
		}
		if d := s.catchUp.until(r.frame.Time); due < 0 || d < due {
			due = d
		}
	}
	return due
}

// Waiting implements source.Source: a poller looks into rings by itself.
func (s *Source) Waiting() bool { return false }

// Lost implements source.Source.
func (s *Source) Lost() (lost bool) {
	for _, r := range s.readers {
		lost = r.Losing() || lost
	}
	return lost
}

// Match implements source.Source.
func (s *Source) Match(m *match.Matcher) { s.matcher = m }

// Attach implements source.Source.
func (s *Source) Attach(p *ring.Poller, paced bool) {
	s.poller, s.paced = p, paced
	for _, r := range s.readers {
		if !r.held {
			s.attach(r)
		}
	}
}

func (s *Source) attach(r *reader) {
	if s.paced {
		r.AttachPaced(s.poller)
	} else {
		r.Attach(s.poller)
	}
}

// Detach implements source.Source.
func (s *Source) Detach() {
	for _, r := range s.readers {
		if !r.held {
			r.Detach()
		}
	}
}

// Report implements source.Source: live clients come whatever the load is.
func (s *Source) Report(source.Load) {}

// Refuse implements source.Source: new live clients are refused as they come.
func (s *Source) Refuse(source.Consumer) {}
