package worker

import (
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// urgency follows whether the copy is behind in most passes: then requests wait
// for answers to those before them, and who brings replies must not gather them. A
// client that sends as fast as it is answered is copied as fast as the answers
// come.
type urgency struct {
	tell   func(bool)
	share  int // of the passes of late that were behind, of wholeShare
	urgent bool
	busyAt session.Time
}

const (
	wholeShare = 1 << 10
	// Urgent from three quarters of the passes on, until an eighth: between them
	// it stays, so that not every moment is told.
	urgentFrom  = 3 << 8
	urgentUntil = 1 << 7
	// urgentFor is how long a worker without work stays urgent.
	urgentFor = 100 * session.Millisecond
)

// follow takes note of a pass with n things to do.
func (u *urgency) follow(now session.Time, n int, behind bool) {
	if n == 0 {
		if u.urgent && now-u.busyAt >= urgentFor {
			u.share = 0
			u.set(false)
		}
		return
	}
	u.busyAt = now
	share := 0
	if behind {
		share = wholeShare
	}
	u.share += (share - u.share) / 8
	u.set(u.share > urgentFrom || u.urgent && u.share > urgentUntil)
}

func (u *urgency) set(urgent bool) {
	if urgent != u.urgent {
		u.urgent = urgent
		u.tell(urgent)
	}
}

// timeout is when an idle worker is to look whether it is urgent still.
func (u *urgency) timeout() time.Duration {
	if u.urgent {
		return time.Duration(urgentFor) * time.Microsecond
	}
	return -1
}
