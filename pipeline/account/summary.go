package account

import (
	"fmt"
	"log/slog"
	"math"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// Attrs are the fields of a line of totals in the log. lost is how many packets the
// kernel dropped, failed how many could not be sent. more stands before the drops, of
// which only reasons that occurred are named.
func (c *Counters) Attrs(lost, failed uint64, more ...any) []any {
	s := &c.Session
	attrs := append([]any{
		"captured", c.Captured, "accepted", c.Accepted, "kernel_drops", lost,
		"sessions", c.Live(), "opened", s.Opened, "established", s.Established,
		"turns_copied", s.TurnsCopied, "turns_unanswered", s.TurnsUnanswered, "turns_lost", s.TurnsLost,
		"payload_accepted", s.Accepted, "payload_delivered", s.Delivered, "payload_buffered", s.Buffered,
		"replies", c.Replies, "send_errors", failed,
	}, more...)
	var drops []any
	for d, n := range c.Dropped {
		if n > 0 {
			drops = append(drops, PacketDrop(d).String(), n)
		}
	}
	if len(drops) > 0 {
		attrs = append(attrs, slog.Group("dropped_packets", drops...))
	}
	drops = nil
	for r, n := range s.Dropped {
		if n > 0 {
			drops = append(drops, session.Reason(r).String(), n)
		}
	}
	if len(drops) > 0 {
		attrs = append(attrs, slog.Group("dropped_payload", drops...))
	}
	return attrs
}

// Outcome says in a few words what became of the turns.
func (c *Counters) Outcome() string {
	s := &c.Session
	if s.TurnsCopied+s.TurnsUnanswered+s.TurnsLost == 0 {
		return "no turns yet"
	}
	return fmt.Sprintf("%.2f %% of the turns copied", math.Floor(1e4*s.Reproduced())/100) // rounded down: 100 only if all are
}
