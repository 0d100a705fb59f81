// Package thread decides which OS thread runs which worker, and when it sleeps.
//
// Each worker has a thread of its own, but waking up costs as much as thirty
// packets, whoever they are for: while the first thread has time for all workers
// it runs them all, and does the passes of the captures of replies on this host;
// the others wait.
//
// It knows workers by a small interface, pollers and transmitters. It does not
// know packets or sessions.
package thread

import (
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// What decides when threads are used, and how long they rest. A sleep costs 17 to
// 25 us of CPU on a virtual machine, measured, which is as much as thirty packets.
const (
	// batchWorthwhile is from how many packets and replies in a round on more are
	// about to come, so that a short rest, in which they gather, pays although the
	// copy is behind. Captures of replies have the same number (package reply).
	batchWorthwhile = 16
	// loadWindow is how long the first thread's load is measured. If it worked for
	// fullLoad percent of the time in fullWindows windows in a row, that is too much
	// for one thread.
	loadWindow  = 5 * session.Millisecond
	fullLoad    = 75
	fullWindows = 2
	// calmWindow is how long the load of all threads is measured. If together they
	// worked for less than spareLoad percent of the time, one of them is enough.
	calmWindow = 2 * session.Second
	spareLoad  = 30
	// replayRest is the longest rest in a replay at a given speed, where no client
	// waits for an answer. The C tool's replays send what is due every 10 ms.
	replayRest = 5 * time.Millisecond
	// capturePause is the longest sleep of a thread that does a capture's passes, as
	// reply.Pause is that of a capture's own goroutine.
	capturePause = time.Second
)

// A Worker is run by one thread at a time. Any goroutine may call Wake and Do.
type Worker interface {
	// Pass does what there is to do, and returns how many packets and replies that
	// were.
	Pass() int
	// Sent is called when what the pass sent has been transmitted. idle says that no
	// worker of the thread had anything to do.
	Sent(idle bool)
	// Behind reports whether the copy waits for answers.
	Behind() bool
	// Losing reports whether packets were lost lately because the worker did not run
	// in time.
	Losing() bool
	// Timeout is how long the thread may sleep; negative: for ever.
	Timeout() time.Duration
	// Waiting reports whether there is something to do that no poller sees.
	Waiting() bool
	// MoveTo has p watch the worker's descriptors and tx take what it sends, from
	// now on; own says whether the thread is the worker's own. Leave ends that.
	MoveTo(p *ring.Poller, tx *ring.Tx, own bool)
	Leave()
	// Publish and then End are called after the last pass.
	Publish()
	End()

	// Wake ends the sleep of the thread that runs the worker.
	Wake()
	// Do returns when the worker has called the function, or has ended.
	Do(func())
}

// A Capture is one whose passes the first thread does while it has the time.
type Capture interface {
	Pass() int
	Attach(*ring.Poller)
	Detach()
	// Busy is how long it has worked in a goroutine of its own.
	Busy() time.Duration
}
