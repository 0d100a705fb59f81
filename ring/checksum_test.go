package ring

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// naive is RFC 1071, 4.1, word by word.
func naive(b []byte) uint16 {
	var s uint32
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
		s = s>>16 + s&0xffff
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return ^uint16(s>>16 + s&0xffff)
}

func randomBytes(n int) []byte {
	random := rand.New(rand.NewPCG(7, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func TestChecksumOfEveryLength(t *testing.T) {
	b := randomBytes(9001)
	high := make([]byte, len(b))
	for i := range high {
		high[i] = 0xff
	}
	for n := range len(b) + 1 {
		for _, b := range [][]byte{b[:n], high[:n]} {
			var c checksum
			c.add(b)
			if got, want := c.value(), naive(b); got != want {
				t.Fatalf("%d bytes: %#x, want %#x", n, got, want)
			}
		}
	}
}

func FuzzChecksumOfPieces(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Add(randomBytes(100), uint16(33), uint16(34))
	f.Add(randomBytes(71), uint16(1), uint16(70))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff}, uint16(1), uint16(2))
	f.Fuzz(func(t *testing.T, b []byte, i, j uint16) {
		x, y := int(i)%(len(b)+1), int(j)%(len(b)+1)
		x, y = min(x, y), max(x, y)
		var c checksum
		for _, p := range [][]byte{b[:x], b[x:y], b[y:]} {
			c.add(p)
		}
		if got, want := c.value(), naive(b); got != want {
			t.Fatalf("%d, %d of %d: %#x, want %#x", x, y, len(b), got, want)
		}
	})
}
