package ring

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spare is one more ring of a group, for what the others have no room for
// (PACKET_FANOUT_FLAG_ROLLOVER).
//
// A ring hands over its blocks after a short time however little is in them,
// so that the copy is not late, and is soon full of nearly empty blocks while
// its reader gets no CPU. The spare's blocks wait until they are full: it holds
// what comes in, and one pool of memory serves whichever ring is in need.
//
// The rings read it side by side: each looks for its own frames in all blocks,
// and the last to find all of its own gives a block back.
type spare struct {
	ring    *Ring // nobody calls its Next
	members int
	using   atomic.Int32  // members that are open
	head    atomic.Uint64 // the first block that nobody entered, counted from the beginning; changed under mu

	mu     sync.Mutex
	blocks []spareBlock
	poll   [1]unix.PollFd
}

type spareBlock struct {
	passed uint64 // how often it was given back
	left   int    // frames whose readers have not passed it
}

const (
	// spareBlockSize wastes an eighth at most behind packets of 64 KB that come
	// in one after another; half of it would waste a quarter.
	spareBlockSize = 256 << 10
	minSpareBlocks = 4
	// spareLasts is how long the spare takes packets, however few they are: the
	// kernel rolls over to it until less than a quarter is free.
	spareLasts = 2500 * time.Millisecond
	// minSpareRetire is for how long what was rolled over may hold up what came
	// behind it, at least.
	minSpareRetire = 8 * time.Millisecond
	maxSpareRetire = 100 * time.Millisecond
)

// spareConfig is of a spare ring of that much memory, for rings like c.
func spareConfig(c Config, memory int) Config {
	c.BlockSize = spareBlockSize
	c.Blocks = max(memory/spareBlockSize, minSpareBlocks)
	retire := spareLasts / time.Duration(max(c.Blocks*3/4, 1))
	c.RetireTimeout = min(max(retire.Truncate(time.Millisecond), minSpareRetire), maxSpareRetire)
	return c
}

// lend makes r the spare of rings.
func lend(r *Ring, rings []*Ring) {
	s := &spare{ring: r, members: len(rings)}
	s.blocks = make([]spareBlock, len(r.walk.mem)/r.walk.slot)
	s.poll[0] = unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN}
	s.using.Store(int32(len(rings)))
	for i, m := range rings {
		m.share = &share{spare: s, index: i}
		m.walk.keep = len(m.walk.mem)/m.walk.slot/4 + 1 // the kernel's measure (ROOM_POW_OFF)
	}
}

// close closes the ring when the last member is closed.
func (s *spare) close() error {
	if s.using.Add(-1) > 0 {
		return nil
	}
	return s.ring.Close()
}

// share is what a spare holds for one ring. It is the reader's.
type share struct {
	*spare
	index  int
	block  uint64 // that was entered or will be next
	own    int    // frames of ours in it; 0: it was not entered
	left   int    // of them
	frames frames // begins with one of ours, if some are left

	taken atomic.Uint64 // frames, for Stats
}

// outlook is what a share knows of frames that came before those at hand.
type outlook uint8

const (
	none    outlook = iota // there are none
	pending                // the kernel still fills the block in which they would be
	some                   // there is one
)

func (s *share) look() outlook {
	for s.left == 0 {
		if s.own > 0 {
			s.leave()
		}
		if s.block == s.head.Load() {
			pos := s.at(s.block)
			switch {
			case s.ring.walk.ready(pos):
			case s.ring.walk.filled(pos):
				return pending
			default:
				return none
			}
		}
		if !s.enter() {
			return none
		}
	}
	return some
}

func (s *share) at(block uint64) int {
	return int(block%uint64(len(s.blocks))) * s.ring.walk.slot
}

// enter looks for frames of ours in the next block, which is ready, and passes
// it if there are none. It reports false if the block is not the next but still
// the one of a round ago: the spare is full.
func (s *share) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	round := s.block / uint64(len(s.blocks))
	b := &s.blocks[s.block%uint64(len(s.blocks))]
	switch {
	case b.passed < round:
		return false
	case b.passed > round: // none were ours
		s.block++
		return true
	case !s.ring.walk.ready(s.at(s.block)): // it was given back after look
		return true
	}
	all := framesOf(s.ring.walk.mem[s.at(s.block):][:s.ring.walk.slot])
	if s.block == s.head.Load() {
		b.left = all.left
		s.head.Store(s.block + 1)
	}
	for s.frames = all; all.left > 0; {
		h, in := all.next()
		if h == nil { // The first ring accounts for what is impossible.
			if s.index == 0 {
				s.own += all.left
			}
			break
		}
		if s.owner(h, in) == s.index {
			s.own++
		}
	}
	if s.left = s.own; s.left == 0 {
		s.block++
		return true
	}
	s.seek()
	return true
}

// owner is the index of the ring whose frame it is.
func (s *share) owner(h *unix.Tpacket3Hdr, in []byte) int {
	begin, end := int(h.Net), int(h.Mac)+int(h.Snaplen)
	if begin > end || end > len(in) {
		return 0
	}
	return shard(in[begin:end], s.members)
}

// seek passes frames of others.
func (s *share) seek() {
	for h := s.frames.header(); h != nil && s.owner(h, s.frames.in[s.frames.off:]) != s.index; h = s.frames.header() {
		s.frames.next()
	}
}

// next has r make a frame of ours of the first that is left.
func (s *share) next(r *Ring, f *Frame) bool {
	if s.frames.header() == nil {
		r.malformed.Add(uint64(s.left))
		s.left = 0
		return false
	}
	s.left--
	s.taken.Add(1)
	ok := r.frame3(&s.frames, f)
	if s.left > 0 {
		s.seek()
	}
	return ok
}

// leave passes the block that was entered.
func (s *share) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.blocks[s.block%uint64(len(s.blocks))]
	if b.left -= s.own; b.left == 0 {
		b.passed++
		s.ring.walk.give(s.at(s.block))
		// The kernel takes a ring that was nearly full for one that still is
		// until somebody polls it (packet_rcv_try_clear_pressure).
		_, _ = unix.Poll(s.poll[:], 0)
	}
	s.own = 0
	s.block++
}

// time is when the next frame of ours came.
func (s *share) time() int64 {
	if h := s.frames.header(); h != nil {
		return timeOf(h)
	}
	return 0
}

// nextShared is next3 of a ring with a spare. Of both it takes what came first.
//
// A packet was counted in the block that it is in (Num_pkts), and that block
// was there to be seen, before a later one of its flow reached any block: so
// who has a frame at hand and then finds nothing in the other place has missed
// nothing.
func (r *Ring) nextShared(f *Frame) bool {
	b := &r.walk.frames
	for {
		if b.left == 0 {
			r.alone = false
			r.fill()
		}
		if b.left == 0 || !r.alone {
			switch r.share.look() {
			case pending:
				return false
			case some:
				if b.left == 0 && r.walk.filled(r.walk.pos) {
					return false
				}
				if h := b.header(); b.left == 0 || h != nil && r.share.time() < timeOf(h) {
					if r.share.next(r, f) {
						return true
					}
					continue
				}
			default:
				if b.left == 0 {
					return false
				}
				r.alone = true
			}
		}
		if r.frame3(b, f) {
			return true
		}
	}
}

// readyShared is Ready of a ring with a spare: own is whether something is
// ready outside of the spare, and next the block there that is or will be.
func (r *Ring) readyShared(own bool, next int) bool {
	s := r.share
	if r.walk.frames.left > 0 && r.alone || s.own > 0 { // own, or a block is to be left
		return true
	}
	switch s.look() {
	case none:
		return own
	case some:
		return own || !r.walk.filled(next)
	}
	return false
}

// waits reports whether frames, here or in the spare, are not to be had before
// the spare's next block, of which no descriptor tells. Like Next, it is for
// the reader.
func (r *Ring) waits() bool {
	return r.share != nil && r.share.own == 0 && r.share.look() == pending
}

// filled reports whether the kernel put a frame into the block at pos since it
// opened it. It may also have filled it before and not opened again.
func (w *walk) filled(pos int) bool {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&w.mem[pos+numPktsAt]))) > 0
}
