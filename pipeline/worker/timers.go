package worker

import (
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/flow"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
)

// timers are the sessions' deadlines. What waits for the client of a recording
// waits by the recording's time.
type timers struct {
	wheel   flow.Wheel
	clients flow.Wheel
	reached session.Time // the time of a recording's clients
}

func (t *timers) start(now session.Time) {
	t.wheel.Start(millis(now))
	t.reached = source.RecordingBegins
	t.clients.Start(millis(t.reached))
}

// arm follows session i's deadlines.
func (t *timers) arm(i uint32, s *session.Session, c *session.Core) {
	t.wheel.Arm(i, roundUp(s.Deadline(c)))
	if d, ok := s.ClientDeadline(c); ok {
		t.clients.Arm(i, roundUp(d))
	}
}

func (t *timers) disarm(i uint32) {
	t.wheel.Disarm(i)
	t.clients.Disarm(i)
}

func (t *timers) advance(now session.Time, fire func(uint32)) { t.wheel.Advance(millis(now), fire) }

// advanceClients fires what is due by the time of a recording's clients.
func (t *timers) advanceClients(fire func(uint32)) { t.clients.Advance(millis(t.reached), fire) }

// due reports whether a deadline of s has come.
func (t *timers) due(s *session.Session, c *session.Core, now session.Time) bool {
	if now >= s.Deadline(c) {
		return true
	}
	d, ok := s.ClientDeadline(c)
	return ok && t.reached >= d
}

// timeout is how long it is until the next deadline; negative: there is none.
func (t *timers) timeout(now session.Time) time.Duration {
	next := t.wheel.Next()
	if next < 0 {
		return -1
	}
	return max(0, time.Duration(session.Time(next)*session.Millisecond-now)*time.Microsecond)
}

// bytes is the memory that the timers take.
func (t *timers) bytes() int64 { return t.wheel.Bytes() + t.clients.Bytes() }

// millis is t in a wheel's unit.
func millis(t session.Time) int64 { return int64(t / session.Millisecond) }

// roundUp is the tick of a wheel by which d has come.
func roundUp(d session.Time) int64 { return int64((d-1)/session.Millisecond) + 1 }
