package worker

import (
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// urgency follows whether the copy is behind in most passes. If it is, requests wait
// for the answers to those before them, and replies must be brought at once instead
// of several together: a client that sends as fast as it is answered can be copied
// only as fast as the target's answers come.
type urgency struct {
	tell   func(bool)
	share  int // of the last passes that were behind, in parts of wholeShare
	urgent bool
	busyAt session.Time
}

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
	u.share += (share - u.share) / urgencyMean
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
