package pipeline

import "log/slog"

// losses are the packets that the kernel dropped because a ring was full, as
// far as the log was told of them.
type losses struct{ told uint64 }

// warn tells the log when drops, the sum of all, has risen, and what helps.
func (l *losses) warn(log *slog.Logger, drops uint64) {
	if drops > l.told {
		log.Warn("the kernel dropped packets, each costs a request or two: raise capture.ring_size, or give the service more CPUWeight",
			"packets", drops-l.told)
	}
	l.told = drops
}
