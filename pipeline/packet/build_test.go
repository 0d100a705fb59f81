package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// naive is RFC 1071 word for word: the sum of the 16-bit words, with the
// carries added at the end.
func naive(parts ...[]byte) uint16 {
	b := bytes.Join(parts, nil)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	var s uint64
	for i := 0; i < len(b); i += 2 {
		s += uint64(b[i])<<8 + uint64(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// pseudo is the pseudo header of a packet (RFC 9293, 3.1; RFC 8200, 8.1).
func pseudo(h *Header, tcp int) []byte {
	if h.Src.Addr.Is4() {
		b := append(bytes.Clone(h.Src.Addr[12:]), h.Dst.Addr[12:]...)
		return append(b, 0, 6, byte(tcp>>8), byte(tcp))
	}
	b := append(bytes.Clone(h.Src.Addr[:]), h.Dst.Addr[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(tcp))
	return append(b, 0, 0, 0, 6)
}

func randomHeader(r *rand.Rand) Header {
	h := Header{
		Src: Endpoint{Port: uint16(r.Uint32())}, Dst: Endpoint{Port: uint16(r.Uint32())},
		Seq: r.Uint32(), Ack: r.Uint32(), Flags: Flags(r.Uint32()), Window: uint16(r.Uint32()), ID: uint16(r.Uint32()),
	}
	for i := range h.Src.Addr {
		h.Src.Addr[i], h.Dst.Addr[i] = byte(r.Uint32()), byte(r.Uint32())
	}
	if r.IntN(2) == 0 {
		h.Src.Addr, h.Dst.Addr = Addr4(h.Src.Addr[:]), Addr4(h.Dst.Addr[:])
		if r.IntN(4) == 0 {
			copy(h.Src.Addr[12:], []byte{255, 255, 255, 255})
		}
	}
	for range r.IntN(11) {
		h.Options = append(h.Options, 1, 1, 1, 1)
	}
	return h
}

func TestBuildIsReadBackByDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		h := randomHeader(r)
		payload := make([]byte, r.IntN(1500))
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		b := bytes.Repeat([]byte{0xaa}, MaxHeader+len(payload)) // Build leaves nothing as it was
		n := Build(b, &h, len(payload))
		b = append(b[:n], payload...)

		var s Segment
		if m := Decode(b, len(b), &s); m != WellFormed {
			t.Fatalf("%v: %+v", m, h)
		}
		if s.Src != h.Src || s.Dst != h.Dst || s.Seq != h.Seq || s.Ack != h.Ack || s.Flags != h.Flags || s.Window != h.Window ||
			!bytes.Equal(s.Options, h.Options) || !bytes.Equal(s.Payload, payload) || s.Len != len(payload) {
			t.Fatalf("built %+v, decoded %+v", h, s)
		}

		tcp := b[n-20-len(h.Options):]
		if got, want := binary.BigEndian.Uint16(tcp[16:]), naive(pseudo(&h, len(tcp))); got != want {
			t.Fatalf("pseudo header sum %#x, want %#x", got, want)
		}
		if h.Src.Addr.Is4() && naive(b[:20]) != 0xffff {
			t.Fatalf("IPv4 checksum of % x", b[:20])
		}
		// What the device does with CHECKSUM_PARTIAL.
		binary.BigEndian.PutUint16(tcp[16:], ^naive(tcp))
		if naive(pseudo(&h, len(tcp)), tcp) != 0xffff {
			t.Fatal("the finished checksum is wrong")
		}
	}
}

func TestBuildAgreesWithGopacket(t *testing.T) {
	for _, test := range specs {
		if test.ip4 != nil || test.ext != nil {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			want := test.bytes(t)
			var s Segment
			Decode(want, len(want), &s)
			h := Header{Src: s.Src, Dst: s.Dst, Seq: s.Seq, Ack: s.Ack, Flags: s.Flags, Window: s.Window, Options: s.Options}
			b := make([]byte, MaxHeader)
			b = append(b[:Build(b, &h, s.Len)], s.Payload...)
			tcp := b[len(b)-s.Len-20-len(s.Options):]
			binary.BigEndian.PutUint16(tcp[16:], ^naive(tcp))
			if !bytes.Equal(b, want) {
				t.Errorf("\nbuilt    % x\ngopacket % x", b[:60], want[:60])
			}
		})
	}
}

func TestAddressesGoRoundTrip(t *testing.T) {
	for _, text := range []string{"0.0.0.0", "10.1.3.254", "255.255.255.255", "::", "::1", "2001:db8::ff", "fe80::1", "::ffff:0:1"} {
		a := netip.MustParseAddr(text)
		got := AddrFrom(a)
		if got.Netip() != a.Unmap() || got.String() != a.Unmap().String() || got.Is4() != a.Unmap().Is4() {
			t.Errorf("%s became %s", text, got)
		}
		if a.Is4() && Addr4(a.AsSlice()) != got {
			t.Errorf("%s: Addr4 differs", text)
		}
		e := netip.AddrPortFrom(a.Unmap(), 65535)
		if EndpointFrom(e).AddrPort() != e || EndpointFrom(e).String() != e.String() {
			t.Errorf("%s became %s", e, EndpointFrom(e))
		}
	}
	if AddrFrom(netip.MustParseAddr("fe80::1%eth0")) != AddrFrom(netip.MustParseAddr("fe80::1")) {
		t.Error("the zone is kept")
	}
	if AddrFrom(netip.MustParseAddr("::ffff:10.0.0.1")) != AddrFrom(netip.MustParseAddr("10.0.0.1")) {
		t.Error("a mapped address is not the address")
	}
}

func TestShardIsInRangeAndEven(t *testing.T) {
	for n := 1; n <= 64; n++ {
		counts := make([]int, n)
		for port := range 1 << 16 {
			i := Shard(uint16(port), n)
			if i < 0 || i >= n {
				t.Fatalf("port %d of %d: %d", port, n, i)
			}
			counts[i]++
		}
		for i, c := range counts {
			if mean := 1 << 16 / n; c < mean*8/10 || c > mean*12/10 {
				t.Errorf("%d ports in shard %d of %d, mean %d", c, i, n, mean)
			}
		}
	}
}

func TestShardSpreadsNeighbours(t *testing.T) {
	// Linux gives even ports to connect(2): they must not meet in half of the
	// shards.
	for _, n := range []int{2, 4, 8, 16} {
		counts := make([]int, n)
		for port := 32768; port < 33792; port += 2 {
			counts[Shard(uint16(port), n)]++
		}
		for i, c := range counts {
			if mean := 512 / n; c < mean/2 || c > mean*2 {
				t.Errorf("%d even ports in shard %d of %d, mean %d", c, i, n, mean)
			}
		}
	}
}

func TestHashDependsOnSeedAndEndpoint(t *testing.T) {
	seen := map[uint64]bool{}
	for port := range 1000 {
		for host := range 50 {
			e := Endpoint{Addr: Addr4([]byte{10, 1, 3, byte(host)}), Port: uint16(port)}
			for seed := range uint64(2) {
				seen[e.Hash(seed)] = true
			}
		}
	}
	if len(seen) != 100_000 {
		t.Errorf("%d hashes of 100000", len(seen))
	}
}

func TestNothingAllocates(t *testing.T) {
	v4, v6 := specs[1].bytes(t), specs[8].bytes(t)
	h := Header{Src: Endpoint{Addr: Addr4([]byte{10, 1, 3, 1}), Port: 1}, Dst: Endpoint{Addr: Addr4([]byte{10, 1, 2, 100}), Port: 80}, Options: make([]byte, 12)}
	var b [MaxHeader]byte
	var s Segment
	var r Reply
	n := testing.AllocsPerRun(100, func() {
		Decode(v4, len(v4), &s)
		Decode(v6, len(v6), &s)
		DecodeReply(v4, len(v4), &r)
		Build(b[:], &h, 1000)
		h.Dst.Hash(1)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	p := specs[1].bytes(b)
	var s Segment
	b.ReportAllocs()
	for range b.N {
		Decode(p, len(p), &s)
	}
}

func BenchmarkDecodeReply(b *testing.B) {
	p := specs[1].bytes(b)
	var r Reply
	b.ReportAllocs()
	for range b.N {
		DecodeReply(p, len(p), &r)
	}
}

func BenchmarkBuild(b *testing.B) {
	var buf [MaxHeader]byte
	for _, f := range []struct {
		name string
		addr Addr
	}{{"IPv4", Addr4([]byte{10, 1, 3, 1})}, {"IPv6", Addr{0x20, 1}}} {
		h := Header{Src: Endpoint{Addr: f.addr, Port: 1}, Dst: Endpoint{Addr: f.addr, Port: 80}, Options: make([]byte, 12)}
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				Build(buf[:], &h, 1000)
			}
		})
	}
}
