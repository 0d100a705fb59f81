package ring

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Mode is how packets are sent.
type Mode uint8

const (
	// Link sends frames by a packet socket. The device, or the kernel for it,
	// cuts large segments and finishes checksums (PACKET_VNET_HDR, Linux
	// 2.6.33). It needs CAP_NET_RAW and a Hop for each message.
	Link Mode = iota
	// Raw sends IP packets by raw sockets: the kernel routes them, and Tx cuts
	// segments and finishes checksums. It needs CAP_NET_RAW.
	Raw
)

const (
	// HeaderRoom is the length of what Begin returns, in bytes.
	HeaderRoom = 104
	// MaxPieces is how many pieces of payload a message has at most.
	MaxPieces = 16
	// MaxPayload is how much payload a message has at most, in bytes. With all
	// headers it stays within an IP packet's 65535 and within the 65536 above
	// which devices do not segment (GSO_LEGACY_MAX_SIZE,
	// include/linux/netdevice.h).
	MaxPayload = 65536 - 256
	// BatchLen is how many messages a system call sends at most.
	BatchLen = 64
)

// Tx sends TCP segments in batches. It belongs to one goroutine; only Stats is
// for any. A message is Begin, Payload for each piece, Commit:
//
//	head := tx.Begin()
//	n := tx.Payload(piece)
//	tx.Commit(packet.Build(head, &h, n), mss, hop)
//
// A message that cannot be sent is counted by its error and passed over.
type Tx struct {
	mode Mode
	head [HeaderRoom]byte
	data payload
	part payload // of data, for one segment
	link *batch  // Link
	v4   *batch  // Raw
	v6   *batch

	messages, segments, bytes atomic.Uint64
	errors                    [maxErrno]atomic.Uint64
}

// maxErrno is above the errors that Linux has (EHWPOISON, 133); the last entry
// counts what is not below it.
const maxErrno = 136

// payload is the pieces of the message in the making.
type payload struct {
	pieces [MaxPieces][]byte
	n      int
	length int
}

// cut makes d the n bytes of all from off on.
func (d *payload) cut(all *payload, off, n int) {
	d.n, d.length = 0, n
	for _, p := range all.pieces[:all.n] {
		if off >= len(p) {
			off -= len(p)
			continue
		}
		if n == 0 {
			return
		}
		p = p[off:]
		p = p[:min(n, len(p))]
		d.pieces[d.n] = p
		d.n++
		off, n = 0, n-len(p)
	}
}

// NewTx opens the sockets of mode.
func NewTx(mode Mode) (*Tx, error) {
	t := &Tx{mode: mode}
	var err error
	switch mode {
	case Link:
		t.link, err = newLinkBatch()
	case Raw:
		if t.v4, err = newRawBatch(unix.AF_INET); err == nil {
			t.v6, err = newRawBatch(unix.AF_INET6)
		}
	default:
		return nil, fmt.Errorf("ring: mode %d of transmission: Link or Raw are possible", mode)
	}
	if err != nil {
		_ = t.Close()
		return nil, txFailed(err)
	}
	return t, nil
}

// Begin starts a message and returns the room for its headers, HeaderRoom
// bytes of what was there before.
func (t *Tx) Begin() []byte {
	t.data.n, t.data.length = 0, 0
	return t.head[:]
}

// Payload appends b to the message, without copying: b must stay as it is
// until Flush. It returns how much of b the message takes, which is less than
// all where MaxPieces or MaxPayload end it.
func (t *Tx) Payload(b []byte) int {
	d := &t.data
	n := min(len(b), MaxPayload-d.length)
	if n == 0 || d.n == MaxPieces {
		return 0
	}
	d.pieces[d.n] = b[:n]
	d.n++
	d.length += n
	return n
}

// Commit ends the message, and sends the batch when it is full. The first
// headerLen bytes of Begin's room are the IPv4 or IPv6 header, without
// extension headers, and the TCP header for all of the payload, as
// pipeline/packet.Build writes them: the checksum of IPv4 right, that of TCP
// the sum of the pseudo header, not inverted.
//
// Payload longer than mss goes out in segments of mss bytes, 0 being no limit;
// the sequence number and the IPv4 identification advance, and FIN and PSH are
// on the last one only. Headers and mss must fit into the hop's MTU: an error
// says so in mode Raw, but in mode Link a device drops segments that do not.
// In mode Raw hop is not used and may be nil.
func (t *Tx) Commit(headerLen, mss int, hop *Hop) {
	h, ok := parseHeader(t.head[:min(headerLen, HeaderRoom)])
	if !ok {
		t.fail(unix.EINVAL)
		return
	}
	if mss <= 0 || mss > t.data.length {
		mss = t.data.length
	}
	if t.mode == Link {
		t.commitLink(h, mss, hop)
		return
	}
	t.commitRaw(h, mss)
}

// Pending is how many messages, or in mode Raw segments, wait for Flush.
func (t *Tx) Pending() int {
	if t.mode == Link {
		return t.link.n
	}
	return t.v4.n + t.v6.n
}

// Flush sends what was committed. It does not wait for room in a queue longer
// than a millisecond.
func (t *Tx) Flush() {
	if t.mode == Link {
		t.send(t.link)
		return
	}
	t.send(t.v4)
	t.send(t.v6)
}

func (t *Tx) fail(errno unix.Errno) {
	t.errors[min(int(errno), maxErrno-1)].Add(1)
}

// TxStats are counts since NewTx.
type TxStats struct {
	Messages uint64 // handed to the kernel; in mode Raw the same as Segments
	Segments uint64 // TCP segments in them, as they go on the wire
	Bytes    uint64 // of IP packets in messages
	Errors   []ErrnoCount
}

// ErrnoCount says how many messages were not sent because of Errno:
// EHOSTUNREACH where the hop was not valid, EAGAIN and ENOBUFS where a queue
// was full, EMSGSIZE where a packet was longer than the interface's MTU.
type ErrnoCount struct {
	Errno unix.Errno
	Count uint64
}

// Stats reads the counters, the errors in the order of their numbers.
func (t *Tx) Stats() TxStats {
	s := TxStats{Messages: t.messages.Load(), Segments: t.segments.Load(), Bytes: t.bytes.Load()}
	for i := range t.errors {
		if n := t.errors[i].Load(); n > 0 {
			s.Errors = append(s.Errors, ErrnoCount{unix.Errno(i), n})
		}
	}
	return s
}

// Close closes the sockets; what waits for Flush is lost.
func (t *Tx) Close() error {
	var first error
	for _, b := range []*batch{t.link, t.v4, t.v6} {
		if b == nil || b.fd < 0 {
			continue
		}
		if err := unix.Close(b.fd); err != nil && first == nil {
			first = err
		}
		b.fd = -1
	}
	return first
}

// header is the headers of a message.
type header struct {
	b  []byte // IP and TCP
	ip int    // length of the IP header
}

func parseHeader(b []byte) (header, bool) {
	if len(b) < 40 {
		return header{}, false
	}
	h := header{b: b}
	switch b[0] >> 4 {
	case 4:
		h.ip = int(b[0]&15) * 4
	case 6:
		h.ip = 40
	default:
		return header{}, false
	}
	if h.ip < 20 || len(b) < h.ip+20 || len(b) != h.ip+int(b[h.ip+12]>>4)*4 {
		return header{}, false
	}
	return h, true
}

func (h header) v4() bool { return h.b[0]>>4 == 4 }

// commitLink adds the message as one frame behind a struct virtio_net_hdr
// (include/uapi/linux/virtio_net.h), which says where the checksum goes and
// how to segment.
func (t *Tx) commitLink(h header, mss int, hop *Hop) {
	var to *nextHop
	if hop != nil {
		to = hop.next.Load()
	}
	if to == nil {
		t.fail(unix.EHOSTUNREACH)
		return
	}
	link := to.linkLen
	protocol, gso := uint16(unix.ETH_P_IP), byte(unix.VIRTIO_NET_HDR_GSO_TCPV4)
	if !h.v4() {
		protocol, gso = unix.ETH_P_IPV6, unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	v := t.link.add(vnetLen+link+len(h.b), &t.data)
	segments := 1
	v[0], v[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_NONE
	binary.NativeEndian.PutUint16(v[2:], uint16(link+len(h.b)))
	binary.NativeEndian.PutUint16(v[4:], 0)
	if mss < t.data.length {
		v[1] = gso
		binary.NativeEndian.PutUint16(v[4:], uint16(mss))
		segments = (t.data.length + mss - 1) / mss
	}
	binary.NativeEndian.PutUint16(v[6:], uint16(link+h.ip))
	binary.NativeEndian.PutUint16(v[8:], checksumAt)
	if link > 0 {
		copy(v[vnetLen:], to.macs[:])
		binary.BigEndian.PutUint16(v[vnetLen+12:], protocol)
	}
	copy(v[vnetLen+link:], h.b)
	t.link.toLink(to.ifindex, protocol)
	t.commit(t.link, len(h.b)+t.data.length, segments)
}

// commitRaw adds the message in segments of mss bytes.
func (t *Tx) commitRaw(h header, mss int) {
	b := t.v4
	if !h.v4() {
		b = t.v6
	}
	for i, off := 0, 0; ; i++ {
		n := min(mss, t.data.length-off)
		t.part.cut(&t.data, off, n)
		room := b.add(len(h.b), &t.part)
		copy(room, h.b)
		segment(header{room, h.ip}, &t.part, i, off, off+n == t.data.length)
		b.toIP(h)
		t.commit(b, len(h.b)+n, 1)
		if off += n; off == t.data.length {
			return
		}
	}
}

// commit counts the message that was added to b last.
func (t *Tx) commit(b *batch, bytes, segments int) {
	b.weights[b.n] = weight{bytes: uint32(bytes), segments: uint32(segments)}
	if b.n++; b.n == BatchLen {
		t.send(b)
	}
}

// send empties b. A message that the kernel refuses is counted and passed over.
func (t *Tx) send(b *batch) {
	var messages, segments, bytes uint64
	waited := false
	for i := 0; i < b.n; {
		n, errno := sendmmsg(b.fd, b.messages[i:b.n])
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && !waited:
			// Once a batch: production's own traffic may need the queue.
			waited = true
			waitWritable(b.fd)
		case errno != 0:
			t.fail(errno)
			i++
		default:
			for _, w := range b.weights[i : i+n] {
				segments += uint64(w.segments)
				bytes += uint64(w.bytes)
			}
			messages += uint64(n)
			i += n
		}
	}
	b.n = 0
	t.messages.Add(messages)
	t.segments.Add(segments)
	t.bytes.Add(bytes)
}
