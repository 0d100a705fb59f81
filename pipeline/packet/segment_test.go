package packet

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// spec is a packet for gopacket to serialize.
type spec struct {
	name     string
	src, dst string
	ip4      []layers.IPv4Option
	ext      []byte // extension headers of IPv6, next header of the last one 6
	first    byte   // the type of the first of them
	tcp      []layers.TCPOption
	flags    Flags
	payload  int
}

var specs = []spec{
	{name: "IPv4 SYN", src: "192.0.2.1:40000", dst: "198.51.100.7:80", flags: SYN, tcp: synOptions},
	{name: "IPv4 data", src: "192.0.2.1:40000", dst: "198.51.100.7:80", flags: ACK | PSH, tcp: timestamps, payload: 333},
	{name: "IPv4 super-packet", src: "192.0.2.1:1", dst: "198.51.100.7:65535", flags: ACK, payload: 65000},
	{name: "IPv4 FIN", src: "192.0.2.1:40000", dst: "198.51.100.7:80", flags: ACK | FIN},
	{name: "IPv4 RST with all flags", src: "192.0.2.1:40000", dst: "198.51.100.7:80", flags: 0xff},
	{
		name: "IPv4 with options", src: "192.0.2.1:40000", dst: "198.51.100.7:80", flags: ACK, payload: 10, tcp: timestamps,
		ip4: []layers.IPv4Option{{OptionType: 7, OptionLength: 11, OptionData: make([]byte, 9)}},
	},
	{name: "IPv6 SYN", src: "[2001:db8::1]:40000", dst: "[2001:db8::2]:443", flags: SYN, tcp: synOptions},
	{name: "IPv6 data", src: "[2001:db8::1]:40000", dst: "[2001:db8::2]:443", flags: ACK | PSH, payload: 1440},
	{
		name: "IPv6 hop-by-hop", src: "[2001:db8::1]:40000", dst: "[2001:db8::2]:443", flags: ACK, payload: 5,
		first: 0, ext: []byte{6, 0, 5, 2, 0, 0, 1, 0},
	},
	{
		name: "IPv6 destination options and routing", src: "[2001:db8::1]:40000", dst: "[2001:db8::2]:443", flags: ACK, payload: 5,
		first: 60, ext: append([]byte{43, 1, 1, 12, 15: 0}, 6, 0, 4, 0, 0, 0, 0, 0),
	},
}

var (
	synOptions = []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}},
		{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 1, 2, 0, 0, 3, 4}},
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}},
	}
	timestamps = []layers.TCPOption{
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 1, 2, 0, 0, 3, 4}},
	}
)

// bytes has gopacket write the packet.
func (s *spec) bytes(t testing.TB) []byte {
	t.Helper()
	src, dst := netip.MustParseAddrPort(s.src), netip.MustParseAddrPort(s.dst)
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()),
		Seq: 0xfffffff0, Ack: 0x12345678, Window: 54321, Options: s.tcp,
		FIN: s.flags&FIN != 0, SYN: s.flags&SYN != 0, RST: s.flags&RST != 0, PSH: s.flags&PSH != 0,
		ACK: s.flags&ACK != 0, URG: s.flags&URG != 0, ECE: s.flags&ECE != 0, CWR: s.flags&CWR != 0,
	}
	payload := gopacket.Payload(bytes.Repeat([]byte("tcpcopy"), s.payload/7+1)[:s.payload])
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	var err error
	if src.Addr().Is4() {
		ip := &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment,
			SrcIP: net.IP(src.Addr().AsSlice()), DstIP: net.IP(dst.Addr().AsSlice()), Options: s.ip4,
		}
		if err = tcp.SetNetworkLayerForChecksum(ip); err == nil {
			err = gopacket.SerializeLayers(buf, opts, ip, tcp, payload)
		}
	} else {
		ip := &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP,
			SrcIP: net.IP(src.Addr().AsSlice()), DstIP: net.IP(dst.Addr().AsSlice()),
		}
		rest := []gopacket.SerializableLayer{ip}
		if err = tcp.SetNetworkLayerForChecksum(ip); err == nil {
			if s.ext != nil {
				ip.NextHeader = layers.IPProtocol(s.first)
				rest = append(rest, gopacket.Payload(s.ext))
			}
			err = gopacket.SerializeLayers(buf, opts, append(rest, tcp, payload)...)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestDecodeAgreesWithGopacket(t *testing.T) {
	for _, test := range specs {
		t.Run(test.name, func(t *testing.T) { agree(t, test.bytes(t), true) })
	}
}

// agree compares Decode with gopacket's layers. Where gopacket finds fault
// with a packet, or does not know it for TCP, nothing is compared unless it
// must be.
func agree(t *testing.T, b []byte, must bool) {
	t.Helper()
	var s Segment
	m := Decode(b, len(b), &s)
	first := layers.LayerTypeIPv4
	if len(b) > 0 && b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.DecodeOptions{NoCopy: true})
	tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if tcp == nil || p.ErrorLayer() != nil || p.Metadata().Truncated || m != WellFormed {
		if must {
			t.Fatalf("Decode: %v; gopacket: %v", m, p.ErrorLayer())
		}
		return
	}
	src, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
	dst, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
	var flags Flags
	for i, on := range []bool{tcp.FIN, tcp.SYN, tcp.RST, tcp.PSH, tcp.ACK, tcp.URG, tcp.ECE, tcp.CWR} {
		if on {
			flags |= 1 << i
		}
	}
	want := Segment{
		Src: EndpointFrom(netip.AddrPortFrom(src, uint16(tcp.SrcPort))), Dst: EndpointFrom(netip.AddrPortFrom(dst, uint16(tcp.DstPort))),
		Seq: tcp.Seq, Ack: tcp.Ack, Flags: flags, Window: tcp.Window, Len: len(tcp.Payload),
	}
	got := s
	got.Options, got.Payload = nil, nil
	if got.Src != want.Src || got.Dst != want.Dst || got.Seq != want.Seq || got.Ack != want.Ack ||
		got.Flags != want.Flags || got.Window != want.Window || got.Len != want.Len {
		t.Errorf("Decode: %+v\ngopacket: %+v", got, want)
	}
	if !bytes.Equal(s.Payload, tcp.Payload) || !bytes.Equal(s.Options, tcp.Contents[20:]) {
		t.Errorf("payload of %d, options of %d bytes; gopacket %d and %d", len(s.Payload), len(s.Options), len(tcp.Payload), len(tcp.Contents)-20)
	}
	// gopacket reads no further than a Multipath TCP option (kind 30) whose length
	// is none of its subtype's. Linux passes over it as over any other option that
	// it does not want (tcp_parse_options in net/ipv4/tcp_input.c), and so do we:
	// compared is what stands in front of it.
	options := s.Options
	if rest := tcp.Padding; len(rest) > 0 && rest[0] == byte(layers.TCPOptionKindMultipathTCP) {
		options = options[:len(options)-len(rest)]
	}
	agreeOptions(t, options, tcp.Options)
}

func agreeOptions(t *testing.T, b []byte, list []layers.TCPOption) {
	t.Helper()
	want := Options{WindowScale: NoWindowScale}
	for _, o := range list {
		v := o.OptionData
		switch {
		case o.OptionType == layers.TCPOptionKindMSS && len(v) == 2:
			want.MSS = binary.BigEndian.Uint16(v)
		case o.OptionType == layers.TCPOptionKindWindowScale && len(v) == 1:
			want.WindowScale = min(v[0], 14)
		case o.OptionType == layers.TCPOptionKindSACKPermitted && len(v) == 0:
			want.SACKOK = true
		case o.OptionType == layers.TCPOptionKindTimestamps && len(v) == 8:
			want.HasTimestamp = true
			want.TSVal, want.TSEcr = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
		case o.OptionType == layers.TCPOptionKindSACK && len(v)%8 == 0:
			for ; len(v) > 0 && want.SACKCount < MaxSACK; v = v[8:] {
				want.SACK[want.SACKCount] = SACKBlock{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])}
				want.SACKCount++
			}
		}
	}
	var got Options
	ParseOptions(b, &got)
	if got != want {
		t.Errorf("options % x: %+v\ngopacket: %+v", b, got, want)
	}
}

func TestDecodeOfAPacketCutByTheCapture(t *testing.T) {
	for _, test := range specs {
		b := test.bytes(t)
		var whole Segment
		if m := Decode(b, len(b), &whole); m != WellFormed {
			t.Fatalf("%s: %v", test.name, m)
		}
		headers := len(b) - whole.Len
		for n := range min(len(b), headers+200) {
			var s Segment
			m := Decode(b[:n], len(b), &s)
			switch {
			case n < headers && m == WellFormed:
				t.Fatalf("%s: well formed in %d of %d header bytes", test.name, n, headers)
			case n >= headers && m != WellFormed:
				t.Fatalf("%s: %v in %d bytes of %d", test.name, m, n, headers)
			case n >= headers && (s.Len != whole.Len || len(s.Payload) != n-headers || s.Seq != whole.Seq):
				t.Fatalf("%s: cut to %d: length %d, payload %d", test.name, n, s.Len, len(s.Payload))
			}
		}
	}
}

func TestDecodeLengths(t *testing.T) {
	v4, v6 := specs[1].bytes(t), specs[7].bytes(t)
	tests := []struct {
		name   string
		packet []byte
		change func(b []byte) []byte
		want   Malformed
		length int
	}{
		{"IPv4, as it is", v4, nil, WellFormed, 333},
		{"IPv4, zero total length follows the wire", v4, func(b []byte) []byte { b[2], b[3] = 0, 0; return b }, WellFormed, 333},
		{"IPv4, padding behind the packet", v4, func(b []byte) []byte { return append(b, make([]byte, 18)...) }, WellFormed, 333},
		{"IPv4, length beyond the wire", v4, func(b []byte) []byte { b[2] = 0xff; return b }, ShortHeader, 0},
		{"IPv4, length below the header", v4, func(b []byte) []byte { b[2], b[3] = 0, 19; return b }, ShortHeader, 0},
		{"IPv4, length below TCP's header", v4, func(b []byte) []byte { b[2], b[3] = 0, 45; return b }, ShortHeader, 0},
		{"IPv4, header below 20", v4, func(b []byte) []byte { b[0] = 0x44; return b }, ShortHeader, 0},
		{"IPv4, first fragment", v4, func(b []byte) []byte { b[6] = 0x20; return b }, Fragment, 0},
		{"IPv4, later fragment", v4, func(b []byte) []byte { b[7] = 1; return b }, Fragment, 0},
		{"IPv4, UDP", v4, func(b []byte) []byte { b[9] = 17; return b }, NotTCP, 0},
		{"TCP header below 20", v4, func(b []byte) []byte { b[32] = 0x40; return b }, ShortHeader, 0},
		{"TCP header beyond the packet", v4[:52], func(b []byte) []byte { b[3], b[2], b[32] = 52, 0, 0xf0; return b }, ShortHeader, 0},
		{"IPv6, as it is", v6, nil, WellFormed, 1440},
		{"IPv6, zero payload length follows the wire", v6, func(b []byte) []byte { b[4], b[5] = 0, 0; return b }, WellFormed, 1440},
		{"IPv6, length beyond the wire", v6, func(b []byte) []byte { b[4] = 0xff; return b }, ShortHeader, 0},
		{"IPv6, length below TCP's header", v6, func(b []byte) []byte { b[4], b[5] = 0, 19; return b }, ShortHeader, 0},
		{"IPv6, UDP", v6, func(b []byte) []byte { b[6] = 17; return b }, NotTCP, 0},
		{"IPv6, fragment", v6, func(b []byte) []byte { b[6] = 44; return b }, Fragment, 0},
		{"IPv6, encrypted", v6, func(b []byte) []byte { b[6] = 50; return b }, NotTCP, 0},
		{"IPv6, endless extension", v6, func(b []byte) []byte { b[6], b[40], b[41] = 0, 0, 255; return b }, ShortHeader, 0},
		{"neither", v4, func(b []byte) []byte { b[0] = 0x50; return b }, NotIP, 0},
		{"nothing", nil, nil, NotIP, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := bytes.Clone(test.packet)
			if test.change != nil {
				b = test.change(b)
			}
			var s Segment
			if m := Decode(b, len(b), &s); m != test.want {
				t.Fatalf("%v, want %v", m, test.want)
			}
			if test.want == WellFormed && (s.Len != test.length || len(s.Payload) != test.length) {
				t.Errorf("length %d, payload %d, want %d", s.Len, len(s.Payload), test.length)
			}
		})
	}
}

func TestDecodeReplyKeepsTheFacts(t *testing.T) {
	for _, test := range specs {
		b := test.bytes(t)
		var s Segment
		var r Reply
		if Decode(b, len(b), &s) != WellFormed || DecodeReply(b[:len(b)-s.Len], len(b), &r) != WellFormed {
			t.Fatal(test.name)
		}
		want := Reply{Src: s.Src, Dst: s.Dst, Seq: s.Seq, Ack: s.Ack, Len: uint32(test.payload), Flags: test.flags, Window: 54321}
		ParseOptions(s.Options, &want.Options)
		if r != want {
			t.Errorf("%s: %+v, want %+v", test.name, r, want)
		}
	}
	if m := DecodeReply([]byte{0x45}, 1, new(Reply)); m != ShortHeader {
		t.Errorf("one byte: %v", m)
	}
}

func TestMalformedHasAName(t *testing.T) {
	for m := WellFormed; m <= ShortHeader; m++ {
		if m.String() == "" {
			t.Errorf("%d has none", m)
		}
	}
}

// FuzzDecode looks for panics, for lengths that cannot be, and for
// disagreement with gopacket.
func FuzzDecode(f *testing.F) {
	for _, test := range specs {
		if test.payload < 2000 {
			b := test.bytes(f)
			f.Add(b, uint16(0))
			f.Add(b[:len(b)-test.payload/2], uint16(test.payload/2))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		wire := len(b) + int(cut)
		var s Segment
		if m := Decode(b, wire, &s); m == WellFormed {
			if s.Len < len(s.Payload) || s.Len > wire || len(s.Options) > 40 || len(s.Options)%4 != 0 {
				t.Fatalf("%d bytes on the wire: length %d, payload %d, options %d", wire, s.Len, len(s.Payload), len(s.Options))
			}
			var o Options
			ParseOptions(s.Options, &o)
			if o.SACKCount > MaxSACK {
				t.Fatalf("%d SACK blocks", o.SACKCount)
			}
		}
		agree(t, b, false)
	})
}
