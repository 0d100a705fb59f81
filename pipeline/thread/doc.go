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

// What decides when threads are used, and how long they rest.
const (
	// fullRound is how many things to do say that there is more: no rest.
	fullRound = 256
	// batchWorthwhile is how many things to do in a round say that more come
	// soon, so that gathering them pays although the copy is behind.
	batchWorthwhile = 16
	// loadWindow is how long the first thread's load is measured, and fullLoad how
	// much of it, in percent, is too much for one thread, twice in a row.
	loadWindow = 5 * session.Millisecond
	fullLoad   = 75
	// calmWindow is how long all threads' load is measured, and spareLoad how much
	// of it, in percent, one thread can do.
	calmWindow = 2 * session.Second
	spareLoad  = 30
	// replayRest is the longest rest of a replay, in whose packets nobody's
	// answers are waited for. The C tool's replays have a clock of 10 ms.
	replayRest = 5 * time.Millisecond
	// capturePause bounds the sleep of a thread that does a capture's passes.
	capturePause = time.Second
)

// A Worker is run by one thread at a time. Only Wake, Do and Ended are for any
// goroutine.
type Worker interface {
	// Pass does what there is to do, and returns how much that was.
	Pass() int
	// Sent follows when what the pass sent is transmitted. idle: no worker of the
	// thread had anything to do.
	Sent(idle bool)
	// Behind reports whether the copy waits for answers.
	Behind() bool
	// Losing reports whether packets are lost, for want of time.
	Losing() bool
	// Timeout is how long the thread may sleep; negative: for ever.
	Timeout() time.Duration
	// Waiting reports whether there is something to do that no poller sees.
	Waiting() bool
	// MoveTo has the worker's descriptors watched by p, and its packets taken by
	// tx, from now on; own says whether the thread is the worker's own. Leave ends
	// that.
	MoveTo(p *ring.Poller, tx *ring.Tx, own bool)
	Leave()
	// Publish follows the last pass, and then End.
	Publish()
	End()

	Wake()
	Do(func())
}

// A Capture is one whose passes the first thread does while it has the time.
type Capture interface {
	Pass() int
	Attach(*ring.Poller)
	Detach()
	// Busy is for how long it worked in a goroutine of its own.
	Busy() time.Duration
}
