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
)

// walk is the reader's place in the memory that it shares with the kernel: a
// circle of slots, each owned by one of the two, as its status says. A slot is
// a block of frames in V3 and a single frame in V2.
type walk struct {
	mem    []byte
	slot   int  // bytes
	status int  // where the status word is in a slot
	pos    int  // offset in mem of the slot that is held, or will be next
	held   bool // it is ours
	losing bool // it came after a packet that found no room
	off    int  // V3: offset of the next frame in the held block
	left   int  // V3: frames there
}

func newWalk(v Version, mem []byte, blockSize, frameSize int) walk {
	if v == V2 {
		return walk{mem: mem, slot: frameSize, status: int(unsafe.Offsetof(unix.Tpacket2Hdr{}.Status))}
	}
	return walk{mem: mem, slot: blockSize, status: int(unsafe.Offsetof(blockHeader{}.Block_status))}
}

func (w *walk) word(pos int) *uint32 { return (*uint32)(unsafe.Pointer(&w.mem[pos+w.status])) }

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

// take gives the held slot back and takes the next one, if it is ready.
func (w *walk) take() []byte {
	if w.held {
		atomic.StoreUint32(w.word(w.pos), unix.TP_STATUS_KERNEL)
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
	switch {
	case w.left > 0:
		return true
	case w.held:
		return w.ready(w.after(w.pos))
	}
	return w.ready(w.pos)
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
	if r.version == V2 {
		return r.next2(f)
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
	w := &r.walk
	for {
		if w.left == 0 {
			in := w.take()
			if in == nil {
				return false
			}
			b := (*blockHeader)(unsafe.Pointer(&in[0]))
			w.off, w.left = int(b.Offset_to_first_pkt), int(b.Num_pkts)
			continue
		}
		in := w.mem[w.pos:][:w.slot]
		if w.off < blockLen || w.off > len(in)-frame3Len-sllLen {
			r.malformed.Add(uint64(w.left))
			w.left = 0
			continue
		}
		in = in[w.off:]
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&in[0]))
		w.off += int(h.Next_offset)
		if w.left--; w.left > 0 && int(h.Next_offset) < frame3Len {
			r.malformed.Add(uint64(w.left))
			w.left = 0
		}
		f.Time = int64(h.Sec)*1e9 + int64(h.Nsec)
		if r.view(f, in, frame3Len, int(h.Mac), int(h.Net), int(h.Snaplen), int(h.Len)) {
			return true
		}
	}
}

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
