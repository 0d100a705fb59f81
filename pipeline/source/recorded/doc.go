// Package recorded takes clients' segments from recordings: a goroutine reads the
// files, finds when each packet is due, and puts it into the queue of its
// client's worker ahead of that time; the worker takes it when it is due.
//
// It knows files, their time, and how much work the workers have. It does not
// know sessions or targets.
package recorded

import "time"

// What decides how evenly a replay runs, and what it costs.
const (
	// queueLen is the queue to a worker: what is due within ahead, at 40,000
	// packets a second.
	queueLen = 4096
	// ahead is how long before they are due packets are handed over at most, so
	// that neither the reading goroutine nor a worker wakes up for each.
	ahead = 100 * time.Millisecond
	// longest is the longest sleep, after which progress is told.
	longest = ahead / 2
	// leastWait is how long to wait for room in a queue at least.
	leastWait = 200 * time.Microsecond
	// wakeEvery is how many packets for a worker that had none wake it at once.
	wakeEvery = 64
	// lookEvery is how many packets are read before it is asked whether to stop,
	// and counters are published.
	lookEvery = 256
	// progressEvery is how often progress is told.
	progressEvery = 500 * time.Millisecond
)
