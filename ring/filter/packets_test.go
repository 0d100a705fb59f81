package filter

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// What random packets and random expressions are made of, so that they meet.
var (
	someHosts4 = []string{"10.1.3.7", "10.1.4.7", "10.2.0.1", "192.0.2.1", "1.2.3.4", "0.0.0.10"}
	someHosts6 = []string{"2001:db8::1", "2001:db8:0:1::1", "fe80::1", "::1"}
	somePorts  = []uint16{53, 80, 81, 443, 8080, 65535}
	someProtos = []byte{1, 6, 6, 6, 17, 17, 58, 132, 44, 0, 47}
)

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// packet is what follows the link header, and the ethertype there.
type packet struct {
	proto uint16
	data  []byte
}

// ethernet puts p behind an Ethernet header without addresses.
func (p packet) ethernet() []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 12), p.proto)
	return append(b, p.data...)
}

// mangledPacket makes packets cut short or with bytes changed, and some whole.
func mangledPacket(r *rand.Rand) packet {
	p := wholePacket(r)
	b := p.data
	if r.IntN(2) == 0 {
		for range 1 + r.IntN(3) {
			if i := r.IntN(len(b)); i > 0 {
				b[i] = byte(r.Uint32())
			} else {
				b[0] = b[0]&0xf0 | byte(r.Uint32())&0xf
			}
		}
	}
	if r.IntN(2) == 0 {
		p.data = b[:r.IntN(len(b)+1)]
	}
	return p
}

// wholePacket makes IPv4, IPv6 and some ARP.
func wholePacket(r *rand.Rand) packet {
	var b []byte
	switch n := r.IntN(20); {
	case n == 0:
		b = make([]byte, 28+r.IntN(20))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		copy(b[14:], addr(pick(r, someHosts4)))
		copy(b[24:], addr(pick(r, someHosts4)))
		return packet{pick(r, []uint16{0x0806, 0x8035}), b}
	case n < 12:
		b = random4(r)
	default:
		b = random6(r)
	}
	return packet{version(b), b}
}

func addr(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func random4(r *rand.Rand) []byte {
	hl := 20
	if r.IntN(4) == 0 {
		hl += 4 * r.IntN(11)
	}
	b := make([]byte, hl)
	b[0] = 0x40 | byte(hl/4)
	b[1] = byte(r.Uint32())
	b[8] = byte(r.Uint32())
	switch r.IntN(6) {
	case 0:
		binary.BigEndian.PutUint16(b[6:], uint16(r.Uint32())&0x3fff) // a later fragment
	case 1:
		b[6] = 0x20 // the first fragment
	default:
		b[6] = 0x40
	}
	b[9] = pick(r, someProtos)
	copy(b[12:], addr(pick(r, someHosts4)))
	copy(b[16:], addr(pick(r, someHosts4)))
	b = append(b, payload(r, b[9])...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func random6(r *rand.Rand) []byte {
	b := make([]byte, 40)
	b[0] = 0x60
	b[6], b[7] = pick(r, someProtos), 64
	copy(b[8:], addr(pick(r, someHosts6)))
	copy(b[24:], addr(pick(r, someHosts6)))
	if b[6] == 44 || b[6] == 0 {
		b = append(b, pick(r, someProtos), 0, 0, byte(r.IntN(2)), 0, 0, 0, 1)
		b = append(b, payload(r, b[40])...)
	} else {
		b = append(b, payload(r, b[6])...)
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// payload is a transport header and some bytes.
func payload(r *rand.Rand, proto byte) []byte {
	b := make([]byte, 8+r.IntN(60))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch proto {
	case tcp, udp, sctp:
		binary.BigEndian.PutUint16(b, pick(r, somePorts))
		binary.BigEndian.PutUint16(b[2:], pick(r, somePorts))
	case 1, 58:
		b[0], b[1] = pick(r, []byte{0, 3, 8, 128, 129}), byte(r.IntN(4))
	}
	if proto == tcp && len(b) > 13 {
		b[12], b[13] = 0x50, byte(r.IntN(64))
	}
	return b
}
