package main

import (
	"runtime"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/thread"
)

// procs returns what makes GOMAXPROCS right for a number of threads that run
// workers. A worker sleeps in system calls and keeps its P. As long as others are
// idle, the runtime's sysmon leaves it alone; else it would take it away after 20
// us, at the cost of waking up as often itself. So there is one more for each
// worker, but where all are to share one (thread.OneP).
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
