package pipeline

import (
	"context"
	"log/slog"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// summaryEvery is how often a line of totals is logged.
const summaryEvery = 10 * time.Second

// summarize logs totals until ctx is done.
func (p *Pipeline) summarize(ctx context.Context) {
	t := time.NewTicker(summaryEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p.logSummary("running")
			p.prune()
		}
	}
}

func (p *Pipeline) logSummary(msg string) {
	c := p.Totals()
	s := &c.Session
	var kernelDrops, sendErrors uint64
	for _, x := range p.captures {
		for _, r := range x.rings {
			st, _ := r.Stats()
			kernelDrops += st.Drops
		}
	}
	for _, w := range p.workers {
		for _, e := range w.own.tx.Stats().Errors {
			sendErrors += e.Count
		}
	}
	attrs := []any{
		"captured", c.Captured, "accepted", c.Accepted, "kernel_drops", kernelDrops,
		"sessions", c.live(), "opened", s.Opened, "established", s.Established,
		"turns_copied", s.TurnsCopied, "turns_unanswered", s.TurnsUnanswered, "turns_lost", s.TurnsLost,
		"payload_accepted", s.Accepted, "payload_delivered", s.Delivered, "payload_buffered", s.Buffered,
		"replies", c.Replies, "send_errors", sendErrors,
	}
	if p.home == nil {
		attrs = append(attrs, "links_up", p.linksUp())
	}
	if r := p.replayer; r != nil {
		attrs = append(attrs, "late_p99", c.Late.Quantile(0.99), "late_max", c.Late.Quantile(1),
			"stalled", time.Duration(r.stalled.Load()).Round(time.Millisecond))
	}
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
	p.log.Info(msg, attrs...)
	p.losses.warn(p.log, kernelDrops)
}
