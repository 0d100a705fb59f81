package ring

import (
	"encoding/binary"
	"math/bits"
)

// checksum is a ones' complement sum in the making (RFC 1071). Pieces may have
// any length: an odd one shifts those after it by a byte.
type checksum struct {
	sum uint64 // of 64-bit words in host order; carries come around
	odd bool   // an odd number of bytes was added
}

// add adds the bytes of b.
func (c *checksum) add(b []byte) {
	s, carry := uint64(0), uint64(0)
	n := len(b)
	for len(b) >= 32 {
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b[8:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b[16:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(last[:]), carry)
	}
	s, carry = bits.Add64(s, 0, carry)
	s += carry
	if c.odd {
		// A sum moves by a byte as its words do (RFC 1071, 2 (B)).
		s = bits.RotateLeft64(s, 8)
	}
	c.sum, carry = bits.Add64(c.sum, s, 0)
	c.sum += carry
	c.odd = c.odd != (n&1 == 1)
}

// addWord adds v, a 16-bit word of the packet, at an even place.
func (c *checksum) addWord(v uint16) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	c.add(b[:])
}

// value is the checksum as it stands in a header.
func (c *checksum) value() uint16 {
	s := c.sum>>32 + c.sum&0xffffffff
	s = s>>16&0xffff + s&0xffff + s>>32
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], ^uint16(s))
	return binary.BigEndian.Uint16(b[:])
}
