package account

import (
	"reflect"
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
	RefusedBefore // of a client that one of the five reasons above left out
	ShuttingDown  // a new session while tcpcopy ends
	HandoverFull  // the queue to the worker that owns it was full
	// A new session of a transfer that a reload removed.
	TransferRemoved
	numPacketDrops
)

// NumPacketDrops is the number of reasons, for tables by PacketDrop.
const NumPacketDrops = int(numPacketDrops)

// MaxTransfers is how many transfers there may be at a time, with those that a
// reload removed and that have sessions still.
const MaxTransfers = 64

var packetDropNames = [NumPacketDrops]string{
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
	Matched      [MaxTransfers]uint64
	MatchedBytes [MaxTransfers]uint64 // payload
	Dropped      [NumPacketDrops]uint64
	DroppedBytes [NumPacketDrops]uint64 // payload, of packets that could be decoded

	Replies          uint64
	RepliesNoSession uint64
	RepliesLost      uint64 // the queue to their worker was full

	Late histogram.Histogram // how much later than planned a recording's packets were taken
	Lag  histogram.Histogram // from the capture to the kernel's taking of the copy

	Sessions [session.NumStates]uint64
	Held     uint64 // bytes of memory in payload
	Session  session.Stats
}

// Drop counts a packet that reaches no session.
func (c *Counters) Drop(d PacketDrop, g *packet.Segment) {
	c.Dropped[d]++
	c.DroppedBytes[d] += uint64(g.Len)
}

// Add adds o, for totals over workers. It adds every field that there is, so that no
// counter can be left out of a sum.
func (c *Counters) Add(o *Counters) { addFields(reflect.ValueOf(c).Elem(), reflect.ValueOf(o).Elem()) }

// addFields adds b to a, which is of the same type. Below structs and arrays there
// are only uint64 and histograms, which a test of this package ensures.
func addFields(a, b reflect.Value) {
	if h, ok := a.Addr().Interface().(*histogram.Histogram); ok {
		h.Add(b.Addr().Interface().(*histogram.Histogram))
		return
	}
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			addFields(a.Field(i), b.Field(i))
		}
	case reflect.Array:
		for i := range a.Len() {
			addFields(a.Index(i), b.Index(i))
		}
	default:
		a.SetUint(a.Uint() + b.Uint())
	}
}

// Achieved is how many sessions each client got on average; connections that
// were opened again do not count.
func (c *Counters) Achieved() float64 {
	if c.Clients == 0 {
		return 0
	}
	return (float64(c.Session.Established) - float64(c.Session.Reopened)) / float64(c.Clients)
}

// Live is how many sessions there are towards targets.
func (c *Counters) Live() (n uint64) {
	for st, k := range c.Sessions {
		if session.State(st) != session.Watching {
			n += k
		}
	}
	return n
}

// Published is the last state of a goroutine's counters that others may read. A
// worker puts it when it goes to sleep, and about every 100 ms while it does not, so
// that nobody who reads makes it wait for long.
type Published struct {
	mu sync.Mutex
	c  Counters
}

// Put makes c what others read.
func (p *Published) Put(c *Counters) {
	p.mu.Lock()
	p.c = *c
	p.mu.Unlock()
}

// AddTo adds what was put last to sum.
func (p *Published) AddTo(sum *Counters) {
	p.mu.Lock()
	c := p.c // copied, because a worker may be waiting for the lock
	p.mu.Unlock()
	sum.Add(&c)
}

// DropFor is the drop of a packet that packet.Decode refused.
func DropFor(m packet.Malformed) PacketDrop { return NotMatched + PacketDrop(m) }
