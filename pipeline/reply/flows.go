package reply

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// flows maps single endpoints to owners: open addressing with linear probing.
// Readers take no lock; writers hold the router's. A slot is a seqlock: its
// state word changes with every write to it, so a reader that finds the same
// word before and after saw one state of the slot.
type flows struct {
	table atomic.Pointer[flowTable]
	live  atomic.Int64 // endpoints in the table
	used  int          // slots that are not free: live and deleted
	seed  uint64
}

type flowTable struct{ slots []flowSlot } // a power of two

type flowSlot struct {
	state  atomic.Uint64 // owner's number, port, kind, version
	hi, lo atomic.Uint64 // address

	// The writer's own: which list of which outlet last named the flow.
	sync   uint32
	outlet uint8
}

// flowFact is what the table knows of an endpoint.
type flowFact struct {
	owner  uint16
	outlet uint8
	sync   uint32
}

// Layout of flowSlot.state: bits 0-15 owner, 16-31 port, 32-33 kind, the rest a
// version.
const (
	slotFree = iota
	slotLive
	slotDeleted

	slotVersion = 1 << 34
)

func slotKind(state uint64) uint64 { return state >> 32 & 3 }
func slotPort(state uint64) uint16 { return uint16(state >> 16) }

const minFlowSlots = 1 << 10

func (f *flows) init() {
	f.seed = rand.Uint64()
	f.table.Store(&flowTable{make([]flowSlot, minFlowSlots)})
}

// find returns the number of e's owner.
func (f *flows) find(e *packet.Endpoint) (owner uint16, ok bool) {
	if f.live.Load() == 0 {
		return 0, false
	}
	t := f.table.Load()
	hi, lo := binary.BigEndian.Uint64(e.Addr[:8]), binary.BigEndian.Uint64(e.Addr[8:])
	mask := uint64(len(t.slots) - 1)
	at := e.Hash(f.seed) & mask
	for {
		s := &t.slots[at]
		state := s.state.Load()
		if slotKind(state) == slotFree {
			return 0, false
		}
		if slotKind(state) == slotLive && slotPort(state) == e.Port {
			same := s.hi.Load() == hi && s.lo.Load() == lo
			if s.state.Load() != state {
				continue // it changed under the reader's eyes
			}
			if same {
				return uint16(state), true
			}
		}
		at = (at + 1) & mask
	}
}

// slot returns e's slot, nil if it has none, for the writer.
func (f *flows) slot(e *packet.Endpoint) *flowSlot {
	t := f.table.Load()
	hi, lo := binary.BigEndian.Uint64(e.Addr[:8]), binary.BigEndian.Uint64(e.Addr[8:])
	mask := uint64(len(t.slots) - 1)
	for at := e.Hash(f.seed) & mask; ; at = (at + 1) & mask {
		s := &t.slots[at]
		switch state := s.state.Load(); slotKind(state) {
		case slotFree:
			return nil
		case slotLive:
			if slotPort(state) == e.Port && s.hi.Load() == hi && s.lo.Load() == lo {
				return s
			}
		}
	}
}

func (s *flowSlot) fact() flowFact {
	return flowFact{owner: uint16(s.state.Load()), outlet: s.outlet, sync: s.sync}
}

// set writes what the table knows of e, whether it is there or not.
func (f *flows) set(e *packet.Endpoint, fact flowFact) {
	if s := f.slot(e); s != nil {
		s.outlet, s.sync = fact.outlet, fact.sync
		if state := s.state.Load(); uint16(state) != fact.owner {
			s.state.Store((state+slotVersion)&^0xffff | uint64(fact.owner))
		}
		return
	}
	// A quarter of the slots stays free, so that probes stay short.
	if n := len(f.table.Load().slots); (f.used+1)*4 > n*3 {
		f.rebuild()
	}
	if f.insert(f.table.Load(), e, fact) == slotFree {
		f.used++
	}
	f.live.Add(1)
}

// insert writes e, which is not in t, to the first slot that is not live and
// returns the kind that it was.
func (f *flows) insert(t *flowTable, e *packet.Endpoint, fact flowFact) uint64 {
	mask := uint64(len(t.slots) - 1)
	at := e.Hash(f.seed) & mask
	for slotKind(t.slots[at].state.Load()) == slotLive {
		at = (at + 1) & mask
	}
	s := &t.slots[at]
	was := slotKind(s.state.Load())
	s.write(e, fact)
	return was
}

// write fills a slot that is not live. The state in between is deleted:
// readers pass on.
func (s *flowSlot) write(e *packet.Endpoint, fact flowFact) {
	version := s.state.Load() &^ (slotVersion - 1)
	s.state.Store(version + slotVersion | slotDeleted<<32)
	s.hi.Store(binary.BigEndian.Uint64(e.Addr[:8]))
	s.lo.Store(binary.BigEndian.Uint64(e.Addr[8:]))
	s.outlet, s.sync = fact.outlet, fact.sync
	s.state.Store(version + 2*slotVersion | slotLive<<32 | uint64(e.Port)<<16 | uint64(fact.owner))
}

func (s *flowSlot) drop() {
	version := s.state.Load() &^ (slotVersion - 1)
	s.state.Store(version + slotVersion | slotDeleted<<32)
}

// rebuild makes a table that is fit for what is live, without the deleted.
func (f *flows) rebuild() {
	n := minFlowSlots
	for int64(n) < 3*f.live.Load() {
		n *= 2
	}
	t := &flowTable{make([]flowSlot, n)}
	f.each(func(s *flowSlot, e packet.Endpoint) { f.insert(t, &e, s.fact()) })
	f.used = int(f.live.Load())
	f.table.Store(t)
}

// each calls fn with every live slot. fn may drop it.
func (f *flows) each(fn func(*flowSlot, packet.Endpoint)) {
	slots := f.table.Load().slots
	for i := range slots {
		s := &slots[i]
		state := s.state.Load()
		if slotKind(state) != slotLive {
			continue
		}
		e := packet.Endpoint{Port: slotPort(state)}
		binary.BigEndian.PutUint64(e.Addr[:8], s.hi.Load())
		binary.BigEndian.PutUint64(e.Addr[8:], s.lo.Load())
		fn(s, e)
	}
}

// remove drops the live flows that which picks.
func (f *flows) remove(which func(flowFact) bool) {
	f.each(func(s *flowSlot, _ packet.Endpoint) {
		if which(s.fact()) {
			s.drop()
			f.live.Add(-1)
		}
	})
}
