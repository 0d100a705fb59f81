package link

import (
	"encoding/binary"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// The first byte of a record says which fields it has. Bits 5 to 7 count its
// SACK blocks.
const (
	recV6 = 1 << iota
	recTimestamp
	recMSS
	recWindowScale
	recSACKOK
	recSACKShift = 5
)

// maxWindowScale is the greatest shift that counts (RFC 7323, 2.3).
const maxWindowScale = 14

// Lengths of a record: what every IPv4 record has, and the longest possible.
const (
	minRecord = 1 + 1 + 2*(4+2) + 3*4 + 2
	maxRecord = 1 + 1 + 2*(16+2) + 3*4 + 2 + 8 + 2 + 1 + 8*packet.MaxSACK

	recordsPerFrame = MaxFrame / minRecord // bound of a decoded batch
)

// appendRecord appends r.
func appendRecord(b []byte, r *packet.Reply) []byte {
	shape := min(r.SACKCount, packet.MaxSACK) << recSACKShift
	v4 := r.Src.Addr.Is4() && r.Dst.Addr.Is4()
	if !v4 {
		shape |= recV6
	}
	if r.HasTimestamp {
		shape |= recTimestamp
	}
	if r.MSS != 0 {
		shape |= recMSS
	}
	if r.WindowScale <= maxWindowScale {
		shape |= recWindowScale
	}
	if r.SACKOK {
		shape |= recSACKOK
	}
	be := binary.BigEndian
	b = append(b, shape, byte(r.Flags))
	if v4 {
		b = be.AppendUint16(append(b, r.Src.Addr[12:]...), r.Src.Port)
		b = be.AppendUint16(append(b, r.Dst.Addr[12:]...), r.Dst.Port)
	} else {
		b = appendEndpoint(appendEndpoint(b, &r.Src), &r.Dst)
	}
	b = be.AppendUint32(b, r.Seq)
	b = be.AppendUint32(b, r.Ack)
	b = be.AppendUint32(b, r.Len)
	b = be.AppendUint16(b, r.Window)
	if shape&recTimestamp != 0 {
		b = be.AppendUint32(be.AppendUint32(b, r.TSVal), r.TSEcr)
	}
	if shape&recMSS != 0 {
		b = be.AppendUint16(b, r.MSS)
	}
	if shape&recWindowScale != 0 {
		b = append(b, r.WindowScale)
	}
	for i := range int(shape >> recSACKShift) {
		b = be.AppendUint32(be.AppendUint32(b, r.SACK[i].Start), r.SACK[i].End)
	}
	return b
}

// decodeRecords appends the records of a frame to rs.
func decodeRecords(p []byte, rs []packet.Reply) ([]packet.Reply, error) {
	for len(p) > 0 {
		n, err := recordLen(p[0])
		if err != nil {
			return rs, err
		}
		if len(p) < n {
			return rs, ErrTruncated
		}
		rs = append(rs, packet.Reply{})
		if err := decodeRecord(p[:n], &rs[len(rs)-1]); err != nil {
			return rs[:len(rs)-1], err
		}
		p = p[n:]
	}
	return rs, nil
}

// recordLen is the length of a record of that shape.
func recordLen(shape byte) (int, error) {
	n := minRecord
	if shape&recV6 != 0 {
		n += 2 * 12
	}
	if shape&recTimestamp != 0 {
		n += 8
	}
	if shape&recMSS != 0 {
		n += 2
	}
	if shape&recWindowScale != 0 {
		n++
	}
	blocks := int(shape >> recSACKShift)
	if blocks > packet.MaxSACK {
		return 0, ErrValue
	}
	return n + 8*blocks, nil
}

// decodeRecord reads p, whose length is recordLen of its first byte.
func decodeRecord(p []byte, r *packet.Reply) error {
	be := binary.BigEndian
	shape := p[0]
	r.Flags = packet.Flags(p[1])
	p = p[2:]
	if shape&recV6 == 0 {
		r.Src = packet.Endpoint{Addr: packet.Addr4(p), Port: be.Uint16(p[4:])}
		r.Dst = packet.Endpoint{Addr: packet.Addr4(p[6:]), Port: be.Uint16(p[10:])}
		p = p[12:]
	} else {
		r.Src = packet.Endpoint{Addr: packet.Addr(p[:16]), Port: be.Uint16(p[16:])}
		r.Dst = packet.Endpoint{Addr: packet.Addr(p[18:34]), Port: be.Uint16(p[34:])}
		p = p[36:]
	}
	r.Seq, r.Ack, r.Len, r.Window = be.Uint32(p), be.Uint32(p[4:]), be.Uint32(p[8:]), be.Uint16(p[12:])
	p = p[14:]
	r.Options = packet.Options{WindowScale: packet.NoWindowScale, SACKOK: shape&recSACKOK != 0}
	if shape&recTimestamp != 0 {
		r.HasTimestamp = true
		r.TSVal, r.TSEcr = be.Uint32(p), be.Uint32(p[4:])
		p = p[8:]
	}
	if shape&recMSS != 0 {
		r.MSS = be.Uint16(p)
		p = p[2:]
	}
	if shape&recWindowScale != 0 {
		if r.WindowScale = p[0]; r.WindowScale > maxWindowScale {
			return ErrValue
		}
		p = p[1:]
	}
	r.SACKCount = shape >> recSACKShift
	for i := range int(r.SACKCount) {
		r.SACK[i] = packet.SACKBlock{Start: be.Uint32(p[8*i:]), End: be.Uint32(p[8*i+4:])}
	}
	return nil
}

// ping is a heartbeat. The receiver returns Stamp, which only its sender can
// read, and learns what was dropped or refused so far at the server.
type ping struct {
	Stamp   uint64
	Dropped uint64 // reply records that this link lost to a backlog
	Refused uint64 // flow claims of this link that were not taken
}

const pingLen = 3 * 8

func appendPing(b []byte, p ping) []byte {
	b, at := beginFrame(b, TypePing)
	b = binary.BigEndian.AppendUint64(b, p.Stamp)
	b = binary.BigEndian.AppendUint64(b, p.Dropped)
	b = binary.BigEndian.AppendUint64(b, p.Refused)
	return endFrame(b, at)
}

func decodePing(p []byte) (ping, error) {
	if err := exactly(p, pingLen); err != nil {
		return ping{}, err
	}
	be := binary.BigEndian
	return ping{be.Uint64(p), be.Uint64(p[8:]), be.Uint64(p[16:])}, nil
}

func appendPong(b []byte, stamp uint64) []byte {
	b, at := beginFrame(b, TypePong)
	return endFrame(binary.BigEndian.AppendUint64(b, stamp), at)
}

func decodePong(p []byte) (stamp uint64, err error) {
	if err := exactly(p, 8); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(p), nil
}

func appendUrgent(b []byte, urgent bool) []byte {
	if urgent {
		return appendFrame(b, TypeUrgent, []byte{1})
	}
	return appendFrame(b, TypeUrgent, []byte{0})
}

func decodeUrgent(p []byte) (urgent bool, err error) {
	if err := exactly(p, 1); err != nil {
		return false, err
	}
	if p[0] > 1 {
		return false, ErrReserved
	}
	return p[0] == 1, nil
}

func exactly(p []byte, n int) error {
	switch {
	case len(p) < n:
		return ErrTruncated
	case len(p) > n:
		return ErrTrailing
	}
	return nil
}

// appendText appends a notice or an error.
func appendText(b []byte, t Type, text string) []byte {
	return appendFrame(b, t, []byte(cutText(text, MaxText)))
}

func decodeText(p []byte) (string, error) {
	if len(p) > MaxText {
		return "", ErrLength
	}
	return cleanText(p), nil
}
