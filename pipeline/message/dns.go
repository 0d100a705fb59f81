package message

import "encoding/binary"

// DNS over TCP (RFC 7766): two bytes of length before each message.
var dns = rules{
	name:     "dns",
	joinable: true,
	first:    func(b []byte, _ uint16) Verdict { return dnsBegins(b) },
	begins:   dnsBegins,
}

const dnsHeader = 12 // RFC 1035, 4.1.1

func dnsMessage(f *Framer, b []byte) (int, bool) {
	n, ok := f.collect(b, 2)
	if !ok {
		return n, false
	}
	if f.acc < dnsHeader {
		f.lose()
		return n, false
	}
	f.answer(Answered)
	return n, f.body(f.acc, true)
}

// dnsBegins expects a query, a notification (RFC 1996) or an update (RFC 2136)
// with the usual counts.
func dnsBegins(b []byte) Verdict {
	const query, notify, update = 0, 4, 5
	if len(b) >= 2 && binary.BigEndian.Uint16(b) < dnsHeader+5 {
		return No
	}
	if len(b) >= 6 {
		opcode := b[4] >> 3 // QR included, which is 0
		if opcode != query && opcode != notify && opcode != update || b[4]&6 != 0 || b[5]&0x4f != 0 {
			return No
		}
	}
	if len(b) < 2+dnsHeader+1 {
		for i, most := range [...]byte{0, 1, 0, 1, 0, 1, 0, 2} {
			if 6+i < len(b) && b[6+i] > most && b[4]>>3 != update {
				return No
			}
		}
		return Maybe
	}
	count := func(i int) uint16 { return binary.BigEndian.Uint16(b[i:]) }
	const maxLabel = 63
	switch {
	case count(6) != 1 || b[14] > maxLabel:
		return No
	case b[4]>>3 != update && (count(8) > 1 || count(10) > 1 || count(12) > 2):
		return No
	}
	return Yes
}
