// Package recorded takes clients' segments from recordings: a goroutine reads the
// files, finds when each packet is due, and puts it into the queue of its
// client's worker ahead of that time; the worker takes it when it is due.
//
// It knows files, their time, and how much work the workers have. It does not
// know sessions or targets.
package recorded

import "time"

// What decides how evenly a replay runs, and what it costs. Packets are handed to
// workers ahead of their time because a wake-up costs 17 to 25 us of CPU, measured
// on a virtual machine, which is as much as ten to thirty packets.
const (
	// queueLen is the queue to a worker: what is due within ahead, at 40,000
	// packets a second.
	queueLen = 4096
	// ahead is how long before it is due a packet is handed over at most, so that
	// neither the reading goroutine nor a worker wakes up for each packet.
	ahead = 100 * time.Millisecond
	// longestNap is the longest sleep of the reading goroutine, which publishes its
	// counters and looks whether it is to stop between two of them.
	longestNap = ahead / 2
	// shortestNap is its shortest sleep while a worker has no room.
	shortestNap = 200 * time.Microsecond
	// wakeEvery is how many packets a sleeping worker is given before it is woken
	// without waiting for the next sleep of the reading goroutine.
	wakeEvery = 64
	// checkEvery is after how many packets the reading goroutine looks whether it is
	// to stop, and publishes its counters.
	checkEvery = 256
	// progressEvery is how often progress is told.
	progressEvery = 500 * time.Millisecond
)
