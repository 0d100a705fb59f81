package packet

import "encoding/binary"

// Options are the TCP options that matter to a session (RFC 9293, 3.2; RFC
// 7323; RFC 2018).
type Options struct {
	MSS          uint16 // 0: not there
	WindowScale  uint8  // NoWindowScale: not there
	SACKOK       bool
	HasTimestamp bool
	TSVal, TSEcr uint32
	SACKCount    uint8
	SACK         [MaxSACK]SACKBlock
}

// NoWindowScale is Options.WindowScale where the option is absent.
const NoWindowScale = 0xff

// MaxSACK is how many blocks fit into a header without other options.
const MaxSACK = 4

// SACKBlock is a range [Start, End) of sequence numbers that arrived out of
// order (RFC 2018, 3).
type SACKBlock struct{ Start, End uint32 }

// ParseOptions reads the options b of a TCP header. A malformed option ends
// the list: what stood before it counts.
func ParseOptions(b []byte, o *Options) {
	*o = Options{WindowScale: NoWindowScale}
	for len(b) > 0 {
		switch b[0] {
		case 0:
			return
		case 1:
			b = b[1:]
			continue
		}
		if len(b) < 2 || int(b[1]) < 2 || int(b[1]) > len(b) {
			return
		}
		n := int(b[1])
		v := b[2:n]
		switch {
		case b[0] == 2 && n == 4:
			o.MSS = binary.BigEndian.Uint16(v)
		case b[0] == 3 && n == 3:
			o.WindowScale = min(v[0], 14) // RFC 7323, 2.3
		case b[0] == 4 && n == 2:
			o.SACKOK = true
		case b[0] == 8 && n == 10:
			o.HasTimestamp = true
			o.TSVal, o.TSEcr = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
		case b[0] == 5 && n >= 10 && (n-2)%8 == 0:
			for len(v) >= 8 && o.SACKCount < MaxSACK {
				o.SACK[o.SACKCount] = SACKBlock{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])}
				o.SACKCount++
				v = v[8:]
			}
		}
		b = b[n:]
	}
}
