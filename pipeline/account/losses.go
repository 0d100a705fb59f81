package account

import "log/slog"

// Losses are the packets that the kernel dropped because a ring was full, as
// far as the log was told of them.
type Losses struct{ told uint64 }

// Warn tells the log when drops, the sum of all, has risen, and what helps.
func (l *Losses) Warn(log *slog.Logger, drops uint64) {
	if drops > l.told {
		log.Warn("the kernel dropped packets, each costs a request or two: raise capture.ring_size, or give the service more CPUWeight",
			"packets", drops-l.told)
	}
	l.told = drops
}
