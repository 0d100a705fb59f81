// Package source is what workers know of where clients' segments come from.
// Package live takes them from rings, package recorded from files.
package source

import (
	"context"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/recording"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// A Source is where a worker's clients' segments come from. It belongs to the
// worker, as far as it does not say otherwise.
type Source interface {
	// Take gives what has come, in the order of capture and max packets at most
	// of each of its queues, and returns how many they were.
	Take(now session.Time, max int, to Consumer) int
	// Due is how long it is until the first packet that is there already is to be
	// taken; negative: there is none.
	Due(now session.Time) time.Duration
	// Waiting reports whether something has come of which Due did not know.
	Waiting() bool
	// Lost reports whether the kernel has dropped packets since the last call.
	Lost() bool
	// Match has m find the clients' packets from now on.
	Match(m *match.Matcher)
	// Report tells the source the worker's load, after each pass.
	Report(Load)
	// Refuse gives all that has come to to.Refuse: tcpcopy ends.
	Refuse(to Consumer)
	// Attach lets p.Wait end when something has come, and p.Rest for a block where
	// paced is set; Detach ends that.
	Attach(p *ring.Poller, paced bool)
	Detach()
}

// A Consumer is the worker's end.
type Consumer interface {
	// Segment takes a client's segment of a transfer. Its Time is that of the
	// capture, or 0 where that is long ago. It is valid during the call.
	Segment(transfer int, g *packet.Segment)
	// ClientTime says what time it is for the clients of a recording. What waits for
	// them until then is due.
	ClientTime(t session.Time)
	// EndOfRecording says that no client of the recording sends anything more.
	EndOfRecording()
	// Refuse counts a segment that is not taken any more.
	Refuse(g *packet.Segment)
}

// Load is how much a worker holds, and how much it may hold.
type Load struct {
	Busy        int64 // sessions that keep the target busy
	Sessions    int64
	MaxSessions int64
	Held        int64 // bytes of memory
	Memory      int64 // their bound; 0: none
	Copies      int64 // sessions for each client
}

// Host is the pipeline whose workers copy what sources bring.
type Host interface {
	// AwaitReplies waits until none of the first replies can be lost.
	AwaitReplies(context.Context) error
	// Wake has a worker look at its source.
	Wake(worker int)
	// Sessions is how many sessions are not over. It waits for the workers.
	Sessions() int
	// Totals are the counters of all workers, as far as these have published them.
	Totals() account.Counters
	// Summarize is to be called every SummaryEvery while packets are captured.
	Summarize()
	// Progress is told a few times a second how far a replay is.
	Progress(recording.Progress)
	// Patience is how long a replay waits at its end for sessions to which nothing
	// happens any more.
	Patience() time.Duration
}

// SummaryEvery is how often the log tells what has been done.
const SummaryEvery = 10 * time.Second

// RecordingBegins is the clients' time at the beginning of a recording.
const RecordingBegins = session.Second
