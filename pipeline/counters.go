package pipeline

import (
	"sync"

	"github.com/tcpcopy-go/tcpcopy/pipeline/histogram"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// A PacketDrop says why a captured packet reached no session.
type PacketDrop uint8

const (
	NotMatched PacketDrop = iota // no transfer wants it
	NotIP                        // in the order of packet.Malformed
	NotTCP
	Fragment
	ShortHeader
	SampledOut    // outside of -r
	Incomplete    // its connection began before the capture, and -O is set
	StrayEnd      // RST or FIN of a connection that is not known
	ShedSessions  // a new session above the bound of sessions
	ShedMemory    // a new session while buffered payload is near its bound
	ShedLoss      // a new session while the rings lose packets
	SessionRate   // a new session above the limit of new sessions a second
	ByteRate      // a new session above the limit of payload a second
	RefusedBefore // of a connection that one of the five above left out
	ShuttingDown  // a new session while tcpcopy ends
	HandoverFull  // the queue to the worker that owns it was full
	// A new session of a transfer that a reload removed.
	TransferRemoved
	numPacketDrops
)

var packetDropNames = [numPacketDrops]string{
	"not_matched", "not_ip", "not_tcp", "fragment", "short_header", "sampled_out", "incomplete", "stray_end",
	"shed_sessions", "shed_memory", "shed_loss", "session_rate", "byte_rate", "refused_before", "shutting_down", "handover_full",
	"transfer_removed",
}

func (d PacketDrop) String() string { return packetDropNames[d] }

// Counters are what one worker did. Every packet that its rings handed over is
// Accepted, HandedOver or in Dropped; those handed to it by another worker are
// in TakenOver and then Accepted or in Dropped as well:
//
//	Captured + TakenOver = Accepted + HandedOver + the sum of Dropped
type Counters struct {
	Captured     uint64
	TakenOver    uint64
	HandedOver   uint64
	Accepted     uint64 // given to a session
	Clients      uint64 // online connections that were taken up
	Matched      [maxTransfers]uint64
	MatchedBytes [maxTransfers]uint64 // payload
	Dropped      [numPacketDrops]uint64
	DroppedBytes [numPacketDrops]uint64 // payload, of packets that could be decoded

	Replies          uint64
	RepliesNoSession uint64
	RepliesLost      uint64 // the queue to their worker was full

	Late histogram.Histogram // packets of a recording, behind their plan
	Lag  histogram.Histogram // from the capture to the kernel's taking of the copy

	Sessions [session.NumStates]uint64
	Held     uint64
	Session  session.Stats
}

// drop counts a packet that reaches no session.
func (c *Counters) drop(d PacketDrop, g *packet.Segment) {
	c.Dropped[d]++
	c.DroppedBytes[d] += uint64(g.Len)
}

// add sums c and o, for totals over workers.
func (c *Counters) add(o *Counters) {
	c.Captured += o.Captured
	c.TakenOver += o.TakenOver
	c.HandedOver += o.HandedOver
	c.Accepted += o.Accepted
	c.Clients += o.Clients
	addAll(c.Matched[:], o.Matched[:])
	addAll(c.MatchedBytes[:], o.MatchedBytes[:])
	addAll(c.Dropped[:], o.Dropped[:])
	addAll(c.DroppedBytes[:], o.DroppedBytes[:])
	c.Replies += o.Replies
	c.RepliesNoSession += o.RepliesNoSession
	c.RepliesLost += o.RepliesLost
	c.Late.Add(&o.Late)
	c.Lag.Add(&o.Lag)
	addAll(c.Sessions[:], o.Sessions[:])
	c.Held += o.Held
	s, t := &c.Session, &o.Session
	s.Accepted += t.Accepted
	s.Delivered += t.Delivered
	s.Buffered += t.Buffered
	addAll(s.Dropped[:], t.Dropped[:])
	addAll(s.Sent[:], t.Sent[:])
	s.SentBytes += t.SentBytes
	addAll(s.Retransmitted[:], t.Retransmitted[:])
	addAll(s.Responses[:], t.Responses[:])
	s.ResponseBytes += t.ResponseBytes
	s.Opened += t.Opened
	s.Established += t.Established
	s.Refused += t.Refused
	s.Midstream += t.Midstream
	s.Reopened += t.Reopened
	addAll(s.Closed[:], t.Closed[:])
	s.TurnsCopied += t.TurnsCopied
	s.TurnsUnanswered += t.TurnsUnanswered
	s.TurnsLost += t.TurnsLost
	s.Connect.Add(&t.Connect)
	s.FirstByte.Add(&t.FirstByte)
}

// achieved is how many sessions each client got on average; connections that
// were opened again do not count.
func (c *Counters) achieved() float64 {
	if c.Clients == 0 {
		return 0
	}
	return (float64(c.Session.Established) - float64(c.Session.Reopened)) / float64(c.Clients)
}

func addAll(a, b []uint64) {
	for i := range a {
		a[i] += b[i]
	}
}

// published is the last state of a worker's counters that others may read.
// The worker writes it when it goes to sleep, and about every 100 ms while it
// does not, so that a reader never makes it wait.
type published struct {
	mu sync.Mutex
	c  Counters
}

func (p *published) put(c *Counters) {
	p.mu.Lock()
	p.c = *c
	p.mu.Unlock()
}

func (p *published) addTo(sum *Counters) {
	p.mu.Lock()
	c := p.c // a worker may want the lock
	p.mu.Unlock()
	sum.add(&c)
}

// dropFor is the drop of a packet that Decode refused.
func dropFor(m packet.Malformed) PacketDrop { return NotMatched + PacketDrop(m) }
