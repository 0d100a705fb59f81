package conf

import (
	"math"

	"golang.org/x/sys/unix"
)

const (
	// maxRings and a share of the host's memory bound what tcpcopy's rings take
	// unless they are told otherwise, and half of both what intercept's take. The
	// kernel does not charge them to a cgroup.
	maxRings    = 128 << 20
	ringsMemory = 64

	leastRings = 1 << 20
	mostRings  = 4 << 30
	// leastRing is what a ring takes at least (minShardBlocks of package ring),
	// and what those of an interface share.
	leastRing = 1 << 20
)

// rings has ring_size stand for most, or for share if that is less, unless it
// says something else.
func (p *parser) rings(size *int64, most, share int64) error {
	switch {
	case *size == 0:
		*size = max(min(most, share)&^(leastRings-1), leastRings)
	case *size < leastRings:
		return p.errorf("capture.ring_size", "%s is below %s, the least that is of use; leave it out", printSize(*size), printSize(leastRings))
	}
	return nil
}

// finishRings tells when the rings do not fit into the memory for them.
func (c *rawTcpcopy) finishRings(p *parser) error {
	if err := p.rings(&c.RingBytes, maxRings, hostMemory()/ringsMemory); err != nil || len(c.Replay.Files) > 0 {
		return err
	}
	workers := c.WorkerCount()
	if least := int64(max(len(c.Interfaces), 1)*(workers+1)) * leastRing; c.RingBytes < least {
		p.note("the rings of %d workers take %s, more than the %s of capture.ring_size: raise it, or use fewer workers or interfaces", workers, printSize(least), printSize(c.RingBytes))
	}
	return nil
}

// hostMemory is the memory of this host in bytes.
func hostMemory() int64 {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return math.MaxInt64
	}
	return int64(s.Totalram) * int64(s.Unit)
}

// ReplyRingBytes is the part of RingBytes that is for replies, where they come to
// this host.
func (c *Tcpcopy) ReplyRingBytes() int64 { return c.RingBytes / 8 }
