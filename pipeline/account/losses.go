package account

import (
	"log/slog"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// Losses are what was lost for a reason that the operator can mend, as far as the
// log was told of it.
type Losses struct{ drops, reopens uint64 }

// Warn tells the log when lost, what the kernel dropped in all, has risen, or the
// sessions that were left out because a target ends too many connections, and what
// helps.
func (l *Losses) Warn(log *slog.Logger, lost uint64, c *Counters) {
	if lost > l.drops {
		log.Warn("the kernel dropped packets, each costs a request or two: raise capture.ring_size, or give the service more CPUWeight",
			"packets", lost-l.drops)
	}
	if n := c.Session.Closed[session.ReopenRate]; n > l.reopens {
		log.Warn("targets end connections faster than session.reopen_rate lets them be opened again, so sessions are left out: look why they do, or raise it",
			"sessions", n-l.reopens)
	}
	l.drops, l.reopens = lost, c.Session.Closed[session.ReopenRate]
}
