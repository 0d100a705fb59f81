package packet

import "encoding/binary"

// MaxHeader is the longest header that Build writes: IPv6 and TCP with all
// its options.
const MaxHeader = 40 + 60

// Header is what Build needs of an outgoing segment.
type Header struct {
	Src, Dst Endpoint
	Seq, Ack uint32
	Flags    Flags
	Window   uint16 // as in the header, unscaled
	ID       uint16 // identification, IPv4 only
	Options  []byte // padded to a multiple of 4, 40 at most
}

// Build writes the IP and TCP headers of a segment with length bytes of
// payload to b and returns their length. The IPv4 checksum is right; the TCP
// checksum field holds the sum of the pseudo header, not inverted, as
// CHECKSUM_PARTIAL wants it (include/linux/skbuff.h): the device, or ring's
// raw sender, finishes it over the TCP header and the payload.
func Build(b []byte, h *Header, length int) int {
	tl := 20 + len(h.Options)
	il := 20
	if h.Src.Addr.Is4() {
		ip := b[:20]
		ip[0], ip[1] = 0x45, 0
		// GSO packets above 64 KB do not exist here: ring's limit is below.
		binary.BigEndian.PutUint16(ip[2:], uint16(20+tl+length))
		binary.BigEndian.PutUint16(ip[4:], h.ID)
		binary.BigEndian.PutUint16(ip[6:], 0x4000) // DF: the MSS follows the path
		ip[8], ip[9] = 64, 6
		ip[10], ip[11] = 0, 0
		copy(ip[12:], h.Src.Addr[12:])
		copy(ip[16:], h.Dst.Addr[12:])
		binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip, 0)))
	} else {
		il = 40
		ip := b[:40]
		binary.BigEndian.PutUint32(ip, 6<<28)
		binary.BigEndian.PutUint16(ip[4:], uint16(tl+length))
		ip[6], ip[7] = 6, 64
		copy(ip[8:], h.Src.Addr[:])
		copy(ip[24:], h.Dst.Addr[:])
	}
	t := b[il : il+tl]
	binary.BigEndian.PutUint16(t, h.Src.Port)
	binary.BigEndian.PutUint16(t[2:], h.Dst.Port)
	binary.BigEndian.PutUint32(t[4:], h.Seq)
	binary.BigEndian.PutUint32(t[8:], h.Ack)
	t[12], t[13] = byte(tl/4)<<4, byte(h.Flags)
	binary.BigEndian.PutUint16(t[14:], h.Window)
	copy(t[20:], h.Options)
	addrs := b[12:20]
	if il == 40 {
		addrs = b[8:40]
	}
	binary.BigEndian.PutUint16(t[16:], fold(sum(addrs, uint32(6+tl+length))))
	t[18], t[19] = 0, 0
	return il + tl
}

// sum adds the 16-bit words of b, of even length, to s (RFC 1071).
func sum(b []byte, s uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	return s
}

func fold(s uint32) uint16 {
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s)
}
