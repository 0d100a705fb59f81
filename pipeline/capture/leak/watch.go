package leak

import (
	"context"
	"iter"
	"log/slog"
	"net/netip"
	"time"
)

// watchInterval is how often the claims that stand are looked at.
const watchInterval = 5 * time.Second

// AnyAddress is the claim of who claims addresses as they come: it leaks where
// there can be none that does not.
var AnyAddress netip.Prefix

// Watch looks until ctx is done whether forwarding was switched on under claims
// that were right when they were made, and stays loud as long as that is so.
// claims yields what is claimed at the moment, and by whom.
func (g *Guard) Watch(ctx context.Context, log *slog.Logger, claims iter.Seq2[netip.Prefix, string]) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.look(log, claims)
		}
	}
}

func (g *Guard) look(log *slog.Logger, claims iter.Seq2[netip.Prefix, string]) {
	leaks := 0
	for p, owner := range claims {
		check := g.CheckAll
		if p != AnyAddress {
			check = func() error { return g.Check(p) }
		}
		if err := check(); err != nil {
			leaks++
			log.Error("REPLIES LEAK TO REAL CLIENTS", "error", err, "tcpcopy", owner)
		}
	}
	g.leaks.Store(int64(leaks))
}

// Leaks is how many claims Watch last found to leak.
func (g *Guard) Leaks() int { return int(g.leaks.Load()) }
