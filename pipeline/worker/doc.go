// Package worker is one shard of a tcpcopy: it owns the sessions of the clients
// whose ports are its own, and runs their packets to completion.
//
// It knows sessions, and by small interfaces where clients' segments and targets'
// replies come from. It does not know rings, files, links, or which thread runs
// it.
//
// The life of a packet is Pass, top to bottom: source.Take gives a client's
// segment to Worker.Segment (intake.go), package session decides what follows,
// Worker.flush (flush.go) lets the session send, sender.Send (sender.go) writes
// headers into the batch, and the thread transmits it.
package worker

import "github.com/tcpcopy-go/tcpcopy/pipeline/session"

// What decides how much a worker does at a time, and how long it remembers.
const (
	// PassSize is how many packets, replies or handed segments are taken of each
	// queue in a pass, before the batch is sent. A thread takes a pass of so many
	// for a sign that more are waiting.
	PassSize = 256
	// publishEvery is how often counters are published under load. A scrape copies
	// them and never makes the worker wait.
	publishEvery = 100 * session.Millisecond

	// segmentsLen and repliesLen are the lengths of the queues between two workers.
	// Segments are handed over for moments at most, while an interface comes up;
	// replies as long as a link is down or there is not one for each worker.
	segmentsLen = 1024
	repliesLen  = 1 << 14

	// refusedFor is how long a client that was left out stays so, in ms.
	refusedFor = 120_000
	// lossFor is how long a loss in the rings keeps new clients out: until the
	// counters are published twice more under load, of which each looks for another
	// loss.
	lossFor = 2 * publishEvery
	// timeWait is how long Linux keeps a connection in TIME-WAIT, in ms
	// (TCP_TIMEWAIT_LEN, include/net/tcp.h).
	timeWait = 60_000

	// A pass is behind where more than one in behindShare of the sessions that it
	// touched hold a request back until the answer before it has come.
	behindShare = 8
	// Of the last passes, in a mean in which each counts 1/urgencyMean, so many of
	// wholeShare have to be behind for the worker to become urgent, three quarters,
	// and to stay so, an eighth: the two differ so that not every moment is told.
	// Measured with one connection in a closed loop of 4 s: 70 % of its requests
	// were copied when the load ended; docs/architecture.md.
	wholeShare  = 1 << 10
	urgentFrom  = wholeShare * 3 / 4
	urgentUntil = wholeShare / 8
	urgencyMean = 8
	// urgentFor is how long a worker without work stays urgent.
	urgentFor = 100 * session.Millisecond
)
