package ring

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Frame is one captured packet, valid until the next call of Next.
type Frame struct {
	Data     []byte // from the network header, as much as was captured
	Wire     int    // length of the packet from its network header
	Time     int64  // ns since the epoch
	Ifindex  int    // the interface it came by
	Protocol uint16 // EtherType; a VLAN tag that the kernel took off does not show
	Type     uint8  // unix.PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST
}

// blockHeader is struct tpacket_block_desc with its tpacket_hdr_v1
// (include/uapi/linux/if_packet.h).
type blockHeader struct {
	version, private uint32
	unix.TpacketHdrV1
}

// Lengths of the headers in a ring. A frame's is followed by its link-layer
// address.
const (
	blockLen  = int(unsafe.Sizeof(blockHeader{}))
	frame2Len = int(unsafe.Sizeof(unix.Tpacket2Hdr{}))
	frame3Len = int(unsafe.Sizeof(unix.Tpacket3Hdr{}))
	sllLen    = unix.SizeofSockaddrLinklayer

	numPktsAt = int(unsafe.Offsetof(blockHeader{}.TpacketHdrV1) + unsafe.Offsetof(unix.TpacketHdrV1{}.Num_pkts))
)

// walk is the reader's place in the memory that it shares with the kernel: a
// circle of slots, each owned by one of the two, as its status says. A slot is
// a block of frames in V3 and a single frame in V2.
type walk struct {
	mem    []byte
	slot   int    // bytes
	status int    // where the status word is in a slot
	pos    int    // offset in mem of the slot that is held, or will be next
	held   bool   // it is ours
	losing bool   // it came after a packet that found no room
	frames frames // V3: of the held block
	keep   int    // slots of a full ring that are given back together; 0: each at once
	kept   int    // of them
}

// frames are those of a V3 block that are still to be looked at.
type frames struct {
	in   []byte // the block
	off  int
	left int
}

func framesOf(block []byte) frames {
	b := (*blockHeader)(unsafe.Pointer(&block[0]))
	return frames{block, int(b.Offset_to_first_pkt), int(b.Num_pkts)}
}

// header is the next frame's, or nil where that would not be inside the block.
func (b *frames) header() *unix.Tpacket3Hdr {
	if b.off < blockLen || b.off > len(b.in)-frame3Len-sllLen {
		return nil
	}
	return (*unix.Tpacket3Hdr)(unsafe.Pointer(&b.in[b.off]))
}

// next passes the next frame and returns its header and the memory from there
// on. Where nothing is left, or the rest is impossible, the header is nil.
func (b *frames) next() (h *unix.Tpacket3Hdr, in []byte) {
	if b.left == 0 {
		return nil, nil
	}
	if h = b.header(); h == nil {
		return nil, nil
	}
	in = b.in[b.off:]
	b.off += int(h.Next_offset)
	if b.left--; b.left > 0 && int(h.Next_offset) < frame3Len {
		b.off = 0
	}
	return h, in
}

func newWalk(v Version, mem []byte, blockSize, frameSize int) walk {
	if v == V2 {
		return walk{mem: mem, slot: frameSize, status: int(unsafe.Offsetof(unix.Tpacket2Hdr{}.Status))}
	}
	return walk{mem: mem, slot: blockSize, status: int(unsafe.Offsetof(blockHeader{}.Block_status))}
}

func (w *walk) word(pos int) *uint32 { return (*uint32)(unsafe.Pointer(&w.mem[pos+w.status])) }

func (w *walk) before(pos int) int {
	if pos == 0 {
		pos = len(w.mem)
	}
	return pos - w.slot
}

func (w *walk) after(pos int) int {
	if pos += w.slot; pos == len(w.mem) {
		return 0
	}
	return pos
}

// ready reports whether the slot at pos is ours to read.
func (w *walk) ready(pos int) bool {
	return len(w.mem) > 0 && atomic.LoadUint32(w.word(pos))&unix.TP_STATUS_USER != 0
}

// give gives the slot at pos back.
func (w *walk) give(pos int) { atomic.StoreUint32(w.word(pos), unix.TP_STATUS_KERNEL) }

// pass gives the held slot back, or keeps it.
//
// A packet that does not fit into the last free block is dropped, and only the
// next one rolls over to the spare. A full ring with a spare is therefore kept
// full until it has room for long: the oldest slot, for which the kernel waits,
// is given back behind those after it.
func (w *walk) pass() {
	if w.kept == 0 && (w.keep == 0 || !w.ready(w.before(w.pos))) {
		w.give(w.pos)
		return
	}
	if w.kept++; w.kept < w.keep && w.ready(w.after(w.pos)) {
		return
	}
	for pos := w.pos; w.kept > 0; w.kept-- {
		w.give(pos)
		pos = w.before(pos)
	}
}

// take gives the held slot back and takes the next one, if it is ready.
func (w *walk) take() []byte {
	if w.held {
		w.pass()
		w.pos, w.held = w.after(w.pos), false
	}
	if w.held = w.ready(w.pos); !w.held {
		return nil
	}
	w.losing = atomic.LoadUint32(w.word(w.pos))&unix.TP_STATUS_LOSING != 0
	return w.mem[w.pos:][:w.slot]
}

// Ready reports whether Next has something to look at. Like Next, it is for
// the reader.
func (r *Ring) Ready() bool {
	w := &r.walk
	pos := w.pos
	if w.held {
		pos = w.after(pos)
	}
	ready := w.frames.left > 0 || w.ready(pos)
	if r.share != nil {
		return r.readyShared(ready, pos)
	}
	return ready
}

// Losing reports, once for each block or frame that says so, whether the kernel
// had dropped packets that the last call of Stats did not know of
// (TP_STATUS_LOSING). It makes no system call. Like Next, it is for the reader.
func (r *Ring) Losing() bool {
	losing := r.walk.losing
	r.walk.losing = false
	return losing
}

// Next puts the next frame into f, or reports false when none is ready. It
// makes no system call and never waits. The frame before goes back to the
// kernel, so its Data must no longer be used. After Close it reports false.
func (r *Ring) Next(f *Frame) bool {
	switch {
	case r.version == V2:
		return r.next2(f)
	case r.share != nil:
		return r.nextShared(f)
	}
	return r.next3(f)
}

func (r *Ring) next2(f *Frame) bool {
	for {
		in := r.walk.take()
		if in == nil {
			return false
		}
		h := (*unix.Tpacket2Hdr)(unsafe.Pointer(&in[0]))
		f.Time = int64(h.Sec)*1e9 + int64(h.Nsec)
		if r.view(f, in, frame2Len, int(h.Mac), int(h.Net), int(h.Snaplen), int(h.Len)) {
			return true
		}
	}
}

func (r *Ring) next3(f *Frame) bool {
	for {
		b := &r.walk.frames
		if b.left == 0 && !r.fill() {
			return false
		}
		if r.frame3(b, f) {
			return true
		}
	}
}

// fill takes the next block with frames.
func (r *Ring) fill() bool {
	w := &r.walk
	for w.frames.left == 0 {
		in := w.take()
		if in == nil {
			return false
		}
		w.frames = framesOf(in)
	}
	return true
}

// frame3 puts the next of b, which has some left, into f. It reports false for
// a frame to pass over.
func (r *Ring) frame3(b *frames, f *Frame) bool {
	h, in := b.next()
	if h == nil {
		r.malformed.Add(uint64(b.left))
		b.left = 0
		return false
	}
	f.Time = timeOf(h)
	return r.view(f, in, frame3Len, int(h.Mac), int(h.Net), int(h.Snaplen), int(h.Len))
}

func timeOf(h *unix.Tpacket3Hdr) int64 { return int64(h.Sec)*1e9 + int64(h.Nsec) }

// view fills f from the frame that begins at in[0] with a header of head
// bytes. Nothing outside of in is read, whatever the header says. It reports
// false for a frame to pass over.
func (r *Ring) view(f *Frame, in []byte, head, mac, network, captured, wire int) bool {
	ll := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&in[head]))
	if ll.Pkttype == unix.PACKET_OUTGOING {
		r.outgoing.Add(1)
		return false
	}
	end := mac + captured
	if network < mac || end > len(in) {
		r.malformed.Add(1)
		return false
	}
	f.Data = in[min(network, end):end:end]
	f.Wire = max(wire-(network-mac), len(f.Data))
	f.Ifindex = int(ll.Ifindex)
	f.Protocol = htons(ll.Protocol)
	f.Type = ll.Pkttype
	return true
}
