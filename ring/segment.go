package ring

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Places in a TCP header, and its flags (RFC 9293, 3.1).
const (
	seqAt      = 4
	flagsAt    = 13
	checksumAt = 16

	finPSH = 0x09
	cwr    = 0x80
)

// segment turns the headers of a message into those of its segment number i,
// which carries d, beginning off bytes into the message's payload, and
// finishes the checksums. The kernel does the same where it segments
// (tcp_gso_segment, net/ipv4/tcp_offload.c).
func segment(h header, d *payload, i, off int, last bool) {
	ip, tcp := h.b[:h.ip], h.b[h.ip:]
	binary.BigEndian.PutUint32(tcp[seqAt:], binary.BigEndian.Uint32(tcp[seqAt:])+uint32(off))
	if !last {
		tcp[flagsAt] &^= finPSH
	}
	if i > 0 {
		tcp[flagsAt] &^= cwr
	}
	length := len(tcp) + d.length
	var c checksum
	if h.v4() {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+length))
		binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(i))
		ip[10], ip[11] = 0, 0
		c.add(ip)
		binary.BigEndian.PutUint16(ip[10:], c.value())
		c = checksum{}
		c.add(ip[12:20])
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
		c.add(ip[8:40])
	}
	c.addWord(unix.IPPROTO_TCP)
	c.addWord(uint16(length))
	tcp[checksumAt], tcp[checksumAt+1] = 0, 0
	c.add(tcp)
	for _, p := range d.pieces[:d.n] {
		c.add(p)
	}
	binary.BigEndian.PutUint16(tcp[checksumAt:], c.value())
}
