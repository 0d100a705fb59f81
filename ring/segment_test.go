package ring

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// pieces is data in n pieces of different lengths.
func pieces(data []byte, n int) (list [][]byte) {
	for ; n > 1 && len(data) > 1; n-- {
		at := max(1, len(data)/n-n%3)
		list = append(list, data[:at])
		data = data[at:]
	}
	return append(list, data)
}

// tcpSum is the naive checksum of the TCP part of an IP packet, with its
// pseudo header: 0 where it is right.
func tcpSum(b []byte) uint16 {
	h, _ := parseHeader(b[:headerLen(b)])
	addrs := b[12:20]
	if !h.v4() {
		addrs = b[8:40]
	}
	pseudo := append([]byte(nil), addrs...)
	pseudo = append(pseudo, 0, unix.IPPROTO_TCP)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(b)-h.ip))
	return naive(append(pseudo, b[h.ip:]...))
}

func headerLen(b []byte) int {
	ip := 40
	if b[0]>>4 == 4 {
		ip = int(b[0]&15) * 4
	}
	return ip + int(b[ip+12]>>4)*4
}

func TestSegmentsAreThoseOfTheMessage(t *testing.T) {
	const seq, id = 0xfffffff0, 0xfffe // both wrap
	for _, src := range []packet.Endpoint{packet.EndpointFrom(port(a4, 1000)), packet.EndpointFrom(port(a6, 1000))} {
		dst := packet.EndpointFrom(port(b4, 80))
		if !src.Addr.Is4() {
			dst = packet.EndpointFrom(port(b6, 80))
		}
		for _, c := range []struct{ length, mss, pieces int }{
			{0, 0, 1}, {1, 1, 1}, {2, 1, 2}, {1448, 1448, 3}, {1449, 1448, 1}, {4000, 1447, 16}, {65000, 1448, 7}, {3000, 999, 16},
		} {
			data := randomBytes(c.length)
			tx := &Tx{mode: Raw}
			h := packet.Header{Src: src, Dst: dst, Seq: seq, Ack: 9, ID: id, Window: 77, Options: []byte{1, 1, 1, 0},
				Flags: packet.ACK | packet.PSH | packet.FIN | packet.CWR}
			head := append([]byte(nil), tx.Begin()...)
			head = head[:packet.Build(head, &h, c.length)]
			for _, p := range pieces(data, c.pieces) {
				if tx.Payload(p) != len(p) {
					t.Fatal("not all of a piece is taken")
				}
			}
			for i, off := 0, 0; i == 0 || off < c.length; i++ {
				n := min(c.mss, c.length-off)
				room := append([]byte(nil), head...)
				tx.part.cut(&tx.data, off, n)
				parsed, ok := parseHeader(room)
				if !ok {
					t.Fatal("malformed")
				}
				segment(parsed, &tx.part, i, off, off+n == c.length)
				got := room
				for _, p := range tx.part.pieces[:tx.part.n] {
					got = append(got, p...)
				}
				var s packet.Segment
				if m := packet.Decode(got, len(got), &s); m != packet.WellFormed {
					t.Fatal(m)
				}
				flags := packet.ACK
				if i == 0 {
					flags |= packet.CWR
				}
				if off+n == c.length {
					flags |= packet.PSH | packet.FIN
				}
				if s.Src != h.Src || s.Dst != h.Dst || s.Seq != h.Seq+uint32(off) || s.Ack != h.Ack || s.Window != h.Window ||
					s.Flags != flags || !bytes.Equal(s.Options, h.Options) || !bytes.Equal(s.Payload, data[off:off+n]) {
					t.Fatalf("%+v: segment %d: %+v", c, i, s)
				}
				if tcpSum(got) != 0 {
					t.Fatalf("%+v: segment %d: TCP checksum", c, i)
				}
				if src.Addr.Is4() {
					if naive(got[:20]) != 0 {
						t.Fatalf("%+v: segment %d: IP checksum", c, i)
					}
					if got := binary.BigEndian.Uint16(got[4:]); got != h.ID+uint16(i) {
						t.Fatalf("%+v: segment %d: identification %#x", c, i, got)
					}
				}
				off += n
			}
		}
	}
}

func TestPayloadStopsAtTheLimits(t *testing.T) {
	tx := &Tx{}
	tx.Begin()
	for range MaxPieces {
		if tx.Payload([]byte("x")) != 1 {
			t.Fatal("not taken")
		}
	}
	if tx.Payload([]byte("x")) != 0 {
		t.Error("a piece too many is taken")
	}
	tx.Begin()
	if n := tx.Payload(make([]byte, MaxPayload-1)); n != MaxPayload-1 {
		t.Error(n)
	}
	if n := tx.Payload([]byte("xyz")); n != 1 {
		t.Error(n)
	}
	if n := tx.Payload([]byte("xyz")); n != 0 {
		t.Error(n)
	}
	if n := tx.Payload(nil); n != 0 {
		t.Error(n)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{})
	f.Add(tcp(port(a4, 1), port(b4, 2), nil))
	f.Add(tcp(port(a6, 1), port(b6, 2), nil))
	f.Add(append([]byte{0x4f}, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseHeader(b); ok {
			segment(header{bytes.Clone(h.b), h.ip}, new(payload), 1, 10, true)
		}
	})
}
