package live

import "time"

// catchUp holds packets back after a stall, in which no CPU was to be had: what
// waits in the rings goes on at a multiple of the rate at which it came, so that
// the target sees no burst that production did not see.
type catchUp struct {
	rate float64 // times the recorded rate; 0: at once

	now    int64 // of the pass, ns since the epoch as capture times are; 0: not asked yet
	behind bool
	began  int64 // when the stall was over
	from   int64 // capture time of the first packet of the backlog
}

// stall is how old the first packet of a pass is behind a stall. It is above what
// a busy worker's rests add up to.
const stall = 100 * time.Millisecond

// begin begins a pass.
func (c *catchUp) begin() { c.now = 0 }

// holds reports whether a packet captured at t is to be held back.
func (c *catchUp) holds(t int64) bool {
	if c.now == 0 {
		c.now = time.Now().UnixNano()
		if !c.behind && c.rate > 0 && c.now-t >= int64(stall) {
			c.behind, c.began, c.from = true, c.now, t
		}
	}
	return c.behind && c.due(t) > c.now
}

// due is when a packet captured at t goes on.
func (c *catchUp) due(t int64) int64 { return c.began + int64(float64(t-c.from)/c.rate) }

// until is how long it is until a packet captured at t goes on.
func (c *catchUp) until(t int64) time.Duration {
	return max(0, time.Duration(c.due(t)-time.Now().UnixNano()))
}

// done says that the rings are empty: the backlog is over.
func (c *catchUp) done() { c.behind = false }
