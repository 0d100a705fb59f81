package main

import (
	"runtime"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/thread"
)

// procs returns a function that sets GOMAXPROCS to what suits the number of threads
// that run workers. A worker sleeps in raw system calls and keeps its P meanwhile. The
// runtime's sysmon leaves it that P as long as other Ps are idle; otherwise it would
// take it away after 20 us, and wake up as often to do so. So there is one P more for
// each worker, except where all goroutines are to share one (thread.OneP).
func procs(c *conf.Tcpcopy) func(running int) {
	many := runtime.GOMAXPROCS(0) + c.WorkerCount()
	share := thread.OneP(c)
	return func(running int) {
		n := many
		if share && running == 1 {
			n = 1
		}
		if n != runtime.GOMAXPROCS(0) {
			runtime.GOMAXPROCS(n)
		}
	}
}
