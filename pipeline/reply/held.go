package reply

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// HoldFor is how long a reply waits for the claim of its session. A claim
// travels beside the SYN whose answer the reply is, so it is late by fractions
// of a second at worst; after a second the target sends its SYN-ACK again.
const HoldFor = time.Second

// delayTable keeps the first replies of sessions whose claims are on their way.
// It is bounded: the oldest goes first. Entries stand in a ring in the order in
// which they came; those to one endpoint are chained from the newest.
type delayTable struct {
	mu      sync.Mutex
	entries []held // the ring, allocated with the first entry
	first   int    // oldest
	n       int
	size    int
	last    map[packet.Endpoint]int32 // newest entry of an endpoint

	held    atomic.Int64  // replies that wait now
	expired atomic.Uint64 // that waited in vain, or gave way
}

type held struct {
	reply    packet.Reply
	until    int64 // ns
	previous int32 // of the same endpoint, -1: none
	gone     bool  // delivered
}

// put keeps r until now+HoldFor. The caller holds the lock.
func (d *delayTable) put(r *packet.Reply, now int64) {
	if d.entries == nil {
		d.entries, d.last = make([]held, d.size), make(map[packet.Endpoint]int32)
	}
	if d.n == len(d.entries) {
		d.shift()
	}
	i := (d.first + d.n) % len(d.entries)
	d.n++
	previous, ok := d.last[r.Dst]
	if !ok {
		previous = -1
	}
	d.entries[i] = held{reply: *r, until: now + int64(HoldFor), previous: previous}
	d.last[r.Dst] = int32(i)
	d.held.Add(1)
}

// shift lets the oldest entry go.
func (d *delayTable) shift() {
	h := &d.entries[d.first]
	if !h.gone {
		d.held.Add(-1)
		d.expired.Add(1)
		if d.last[h.reply.Dst] == int32(d.first) {
			delete(d.last, h.reply.Dst)
		}
	}
	d.first = (d.first + 1) % len(d.entries)
	d.n--
}

// remove appends what waits for e to batch, oldest first. The caller holds the
// lock.
func (d *delayTable) remove(e packet.Endpoint, batch []packet.Reply) []packet.Reply {
	i, ok := d.last[e]
	if !ok {
		return batch
	}
	delete(d.last, e)
	from := len(batch)
	// A chain may lead to a slot that was used again since: such an entry has
	// another endpoint, or is newer than the one that points to it.
	for age := d.age(i); i >= 0; {
		h := &d.entries[i]
		h.gone = true
		d.held.Add(-1)
		batch = append(batch, h.reply)
		i = h.previous
		if i < 0 || d.age(i) >= age || d.entries[i].gone || d.entries[i].reply.Dst != e {
			break
		}
		age = d.age(i)
	}
	for a, b := from, len(batch)-1; a < b; a, b = a+1, b-1 {
		batch[a], batch[b] = batch[b], batch[a]
	}
	return batch
}

// age is the place of slot i in the ring, 0 for the oldest.
func (d *delayTable) age(i int32) int {
	return (int(i) - d.first + len(d.entries)) % len(d.entries)
}

// expire lets go what has waited long enough.
func (d *delayTable) expire(now int64) {
	d.mu.Lock()
	for d.n > 0 && (d.entries[d.first].gone || d.entries[d.first].until <= now) {
		d.shift()
	}
	d.mu.Unlock()
}
