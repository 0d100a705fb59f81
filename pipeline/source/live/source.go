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
	readers []*capture.Reader
	bytes   []*atomic.Uint64 // that were taken from each of them
	matcher *match.Matcher
	counter *account.Counters // the worker's

	frame   ring.Frame
	segment packet.Segment
}

var _ source.Source = (*Source)(nil)

// NewSource makes a source that has no ring to read yet.
func NewSource(m *match.Matcher, counter *account.Counters) *Source {
	return &Source{matcher: m, counter: counter}
}

func (s *Source) read(r *capture.Reader) {
	s.readers = append(s.readers, r)
	s.bytes = append(s.bytes, new(atomic.Uint64))
}

// Take implements source.Source.
func (s *Source) Take(_ session.Time, max int, to source.Consumer) (n int) {
	for i, r := range s.readers {
		r.Refresh()
		bytes := 0
		for k := 0; k < max && r.Next(&s.frame); k++ {
			bytes += s.frame.Wire
			s.Frame(&s.frame, to)
			n++
		}
		if bytes > 0 {
			s.bytes[i].Add(uint64(bytes))
		}
	}
	return n
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
	for _, r := range s.readers {
		if paced {
			r.AttachPaced(p)
		} else {
			r.Attach(p)
		}
	}
}

// Detach implements source.Source.
func (s *Source) Detach() {
	for _, r := range s.readers {
		r.Detach()
	}
}

// Due implements source.Source: what rings bring is due at once.
func (s *Source) Due(session.Time) time.Duration { return -1 }

// Waiting implements source.Source: the poller sees what rings bring.
func (s *Source) Waiting() bool { return false }

// Report implements source.Source: live clients come whatever the load is.
func (s *Source) Report(source.Load) {}

// Refuse implements source.Source: new live clients are refused as they come.
func (s *Source) Refuse(source.Consumer) {}
