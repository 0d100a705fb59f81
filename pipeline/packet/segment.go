package packet

import (
	"encoding/binary"
)

// Flags are the control bits of a TCP header (RFC 9293, 3.1).
type Flags uint8

const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Segment is a view of one captured TCP segment. Options and Payload alias
// the captured frame and are valid as long as the frame is.
type Segment struct {
	Src, Dst Endpoint
	Seq, Ack uint32
	Flags    Flags
	Window   uint16 // as in the header, unscaled
	Options  []byte
	Payload  []byte // what was captured of the payload
	Len      int    // payload bytes on the wire; above len(Payload) when the capture was cut
	Time     int64  // capture time, ns since the epoch
}

// Malformed tells why a frame could not be decoded.
type Malformed uint8

const (
	WellFormed  Malformed = iota
	NotIP                 // neither IPv4 nor IPv6
	NotTCP                // another protocol, or one hidden behind encryption
	Fragment              // not the whole packet
	ShortHeader           // the headers do not fit in what was captured, or contradict each other
)

func (m Malformed) String() string {
	return [...]string{"well_formed", "not_ip", "not_tcp", "fragment", "short_header"}[m]
}

// Decode reads the packet b, which begins at its network header, into s; Time
// is left alone. Lengths follow the IP header where it is sane, and the
// capture where offloads leave it zero (BIG TCP, TSO). wire is the packet's
// length before the capture cut it.
func Decode(b []byte, wire int, s *Segment) Malformed {
	if len(b) < 1 {
		return NotIP
	}
	switch b[0] >> 4 {
	case 4:
		return decode4(b, wire, s)
	case 6:
		return decode6(b, wire, s)
	}
	return NotIP
}

func decode4(b []byte, wire int, s *Segment) Malformed {
	if len(b) < 20 {
		return ShortHeader
	}
	hl := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = wire
	}
	if hl < 20 || total < hl || len(b) < hl || total > wire {
		return ShortHeader
	}
	if b[9] != 6 {
		return NotTCP
	}
	if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // MF or an offset
		return Fragment
	}
	s.Src.Addr, s.Dst.Addr = Addr4(b[12:]), Addr4(b[16:])
	return decodeTCP(b[hl:min(total, len(b))], total-hl, s)
}

func decode6(b []byte, wire int, s *Segment) Malformed {
	if len(b) < 40 {
		return ShortHeader
	}
	total := int(binary.BigEndian.Uint16(b[4:])) + 40
	if total == 40 {
		total = wire
	}
	if total > wire {
		return ShortHeader
	}
	copy(s.Src.Addr[:], b[8:24])
	copy(s.Dst.Addr[:], b[24:40])
	next, off := b[6], 40
	for {
		switch next {
		case 6:
			if off > len(b) || off > total {
				return ShortHeader
			}
			return decodeTCP(b[off:min(total, len(b))], total-off, s)
		case 0, 43, 60: // hop-by-hop, routing, destination options (RFC 8200, 4)
			if len(b) < off+8 {
				return ShortHeader
			}
			next, off = b[off], off+8+int(b[off+1])*8
		case 44:
			return Fragment
		default:
			return NotTCP
		}
	}
}

// decodeTCP reads the TCP segment t, of which wire bytes were sent.
func decodeTCP(t []byte, wire int, s *Segment) Malformed {
	if len(t) < 20 {
		return ShortHeader
	}
	hl := int(t[12]>>4) * 4
	if hl < 20 || hl > len(t) {
		return ShortHeader
	}
	s.Src.Port = binary.BigEndian.Uint16(t)
	s.Dst.Port = binary.BigEndian.Uint16(t[2:])
	s.Seq = binary.BigEndian.Uint32(t[4:])
	s.Ack = binary.BigEndian.Uint32(t[8:])
	s.Flags = Flags(t[13])
	s.Window = binary.BigEndian.Uint16(t[14:])
	s.Options = t[20:hl]
	s.Payload = t[hl:]
	s.Len = wire - hl
	return WellFormed
}
