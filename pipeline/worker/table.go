package worker

import (
	"unsafe"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/flow"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// table is the sessions, found by their clients.
type table struct {
	seed    uint64
	slab    flow.Slab[session.Session]
	entries []entry    // by session index
	clients flow.Table // the first of each client's copies
	dirty   []uint32   // sessions that want their Output

	live   indexSet // indexes of sessions
	found  indexSet // of those in clients
	isBusy indexSet // of those that keep the target busy

	busy       int64 // how many those are
	byState    *[session.NumStates]uint64
	byTransfer [account.MaxTransfers]int
}

// entry is what the table knows of a session beside the session itself.
type entry struct {
	state session.State // as counted
	copy  uint16        // number among the copies of its client
	next  uint32        // of them; 0: none
	prev  uint32
}

func (t *table) at(i uint32) *session.Session { return t.slab.At(i) }

// hash is that of a client's connection. A client may talk to several online
// endpoints from one port, so both ends count.
func (t *table) hash(client, online packet.Endpoint) uint64 {
	return client.Hash(t.seed) ^ online.Hash(t.seed)>>1
}

// find returns the session of a client's connection, the first of its copies, or
// 0.
func (t *table) find(client, online packet.Endpoint) uint32 {
	return t.clients.Find(t.hash(client, online), func(i uint32) bool {
		s := t.slab.At(i)
		return s.ClientEnd == client && s.OnlineEnd == online
	})
}

// add makes a session that is the copy behind last, or the first where last is
// 0.
func (t *table) add(last uint32) uint32 {
	i := t.slab.Alloc()
	for int(i) >= len(t.entries) {
		t.entries = append(t.entries, entry{})
	}
	t.entries[i] = entry{state: session.Watching, prev: last}
	t.byState[session.Watching]++
	t.live.add(i)
	if last != 0 {
		t.entries[i].copy = t.entries[last].copy + 1
		t.entries[last].next = i
	}
	return i
}

// attach makes i, the first of its client's copies, what its client is found by.
func (t *table) attach(i uint32) {
	s := t.slab.At(i)
	t.clients.Insert(t.hash(s.ClientEnd, s.OnlineEnd), i)
	t.found.add(i)
}

// detach takes the session out of the copies of its client. If it was the
// first, the next one takes its place.
func (t *table) detach(i uint32) {
	x := &t.entries[i]
	if x.next != 0 {
		t.entries[x.next].prev = x.prev
	}
	if x.prev != 0 {
		t.entries[x.prev].next = x.next
	}
	if t.found.has(i) {
		t.found.remove(i)
		s := t.slab.At(i)
		t.clients.Delete(t.hash(s.ClientEnd, s.OnlineEnd), i)
		if x.next != 0 {
			t.attach(x.next)
		}
	}
	x.next, x.prev = 0, 0
}

// nextCopy is the copy of the same client behind i, or 0.
func (t *table) nextCopy(i uint32) uint32 { return t.entries[i].next }

// count keeps the number of sessions in each state, and of those that are busy.
func (t *table) count(i uint32, s *session.Session) {
	x := &t.entries[i]
	if state := s.State(); state != x.state {
		t.byState[x.state]--
		x.state = state
		t.byState[state]++
	}
	switch busy := s.Busy(); {
	case busy == t.isBusy.has(i):
	case busy:
		t.busy++
		t.isBusy.add(i)
	default:
		t.forgetBusy(i)
	}
}

func (t *table) forgetBusy(i uint32) {
	t.busy--
	t.isBusy.remove(i)
}

// remove forgets a session that is over.
func (t *table) remove(i uint32, s *session.Session) {
	t.detach(i)
	x := &t.entries[i]
	t.byState[x.state]--
	if t.isBusy.has(i) {
		t.forgetBusy(i)
	}
	t.live.remove(i)
	t.byTransfer[s.Transfer]--
	*x = entry{}
	t.slab.Free(i)
}

// each calls f for every session.
func (t *table) each(f func(uint32, *session.Session)) {
	t.live.each(func(i uint32) { f(i, t.slab.At(i)) })
}

// bytes is the memory that the table takes.
func (t *table) bytes() int64 {
	return t.slab.Bytes() + t.clients.Bytes() + int64(cap(t.entries))*int64(unsafe.Sizeof(entry{})) + 4*int64(cap(t.dirty))
}
