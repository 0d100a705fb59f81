// Package clock is the common time of a pipeline's goroutines.
package clock

import (
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// Clock is wall time when it was made and monotonic since, so that timestamps
// that a target remembers from before a restart are older.
type Clock struct{ start time.Time }

// New starts a clock.
func New() Clock { return Clock{time.Now()} }

// Now is the time, in microseconds.
func (c Clock) Now() session.Time {
	return session.Time(c.start.UnixMicro()) + session.Time(time.Since(c.start)/time.Microsecond)
}

// Micros converts d.
func Micros(d time.Duration) session.Time { return session.Time(d / time.Microsecond) }
