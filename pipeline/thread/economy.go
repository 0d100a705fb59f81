package thread

import (
	"math"
	"slices"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

// Relaxed reports whether copies may be some milliseconds late: in a replay at a
// given speed nobody's answers are waited for.
func Relaxed(cfg *conf.Tcpcopy) bool {
	return len(cfg.Replay.Files) > 0 && !math.IsInf(cfg.Replay.Speed, 1)
}

// OneP reports whether all goroutines are to share one P while one thread runs
// all workers: as long as there are idle ones, Go's runtime wakes threads for them
// whenever it interrupts a worker, and those find nothing to do. Who waits in the
// kernel for long must not share, as for rings or standard input: the runtime
// takes up to 10 ms to take a P away. A goroutine that is bound to a CPU gives its
// P away at the cost of waking up.
func OneP(cfg *conf.Tcpcopy) bool {
	return Relaxed(cfg) && !slices.Contains(cfg.Replay.Files, pcapfile.Stdin) && len(cfg.CPUs) == 0
}
