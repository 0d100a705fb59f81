package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func randomEndpoint(r *rand.Rand, v6 bool) packet.Endpoint {
	e := packet.Endpoint{Port: uint16(r.Uint32())}
	binary.BigEndian.PutUint32(e.Addr[12:], r.Uint32())
	if v6 {
		binary.BigEndian.PutUint64(e.Addr[:], r.Uint64())
	} else {
		e.Addr[10], e.Addr[11] = 0xff, 0xff
	}
	return e
}

func randomReply(r *rand.Rand) packet.Reply {
	v6 := r.IntN(2) == 0
	p := packet.Reply{
		Src: randomEndpoint(r, v6), Dst: randomEndpoint(r, v6),
		Seq: r.Uint32(), Ack: r.Uint32(), Len: r.Uint32(),
		Flags: packet.Flags(r.Uint32()), Window: uint16(r.Uint32()),
		Options: packet.Options{WindowScale: packet.NoWindowScale, SACKOK: r.IntN(2) == 0},
	}
	if r.IntN(2) == 0 {
		p.HasTimestamp, p.TSVal, p.TSEcr = true, r.Uint32(), r.Uint32()
	}
	if r.IntN(2) == 0 {
		p.MSS = uint16(r.Uint32())
	}
	if r.IntN(2) == 0 {
		p.WindowScale = uint8(r.IntN(maxWindowScale + 1))
	}
	p.SACKCount = uint8(r.IntN(packet.MaxSACK + 1))
	for i := range int(p.SACKCount) {
		p.SACK[i] = packet.SACKBlock{Start: r.Uint32(), End: r.Uint32()}
	}
	return p
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := make([]packet.Reply, r.IntN(40))
		var b []byte
		for i := range want {
			want[i] = randomReply(r)
			before := len(b)
			b = appendRecord(b, &want[i])
			if n, err := recordLen(b[before]); err != nil || n != len(b)-before || n > maxRecord {
				t.Fatalf("a record of %d bytes, recordLen says %d, %v", len(b)-before, n, err)
			}
		}
		got, err := decodeRecords(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
	}
}

func TestRecordOfAnIPv4SegmentIsShort(t *testing.T) {
	r := packet.Reply{
		Src: packet.EndpointFrom(netip.MustParseAddrPort("10.1.2.100:80")),
		Dst: packet.EndpointFrom(netip.MustParseAddrPort("10.1.3.7:40000")),
		Options: packet.Options{
			WindowScale: packet.NoWindowScale, HasTimestamp: true, TSVal: 1, TSEcr: 2,
		},
	}
	if n := len(appendRecord(nil, &r)); n != 36 {
		t.Errorf("%d bytes", n)
	}
}

func TestMalformedRecordsAreNamed(t *testing.T) {
	whole := appendRecord(nil, &packet.Reply{Options: packet.Options{MSS: 1460, WindowScale: 7}})
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":       {nil, nil},
		"cut":           {whole[:len(whole)-1], ErrTruncated},
		"only a shape":  {whole[:1], ErrTruncated},
		"five blocks":   {append([]byte{5 << recSACKShift}, make([]byte, 200)...), ErrValue},
		"window scale":  {append(whole[:len(whole)-1:len(whole)-1], 15), ErrValue},
		"second is cut": {append(whole[:len(whole):len(whole)], whole[:5]...), ErrTruncated},
	} {
		if _, err := decodeRecords(tt.b, nil); err != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestHelloComesBackOrIsNamed(t *testing.T) {
	want := hello{Secret: true, Instance: [16]byte{1}, Nonce: nonce(), Index: 1, Count: 2, Name: "生产-1"}
	frame := appendHello(nil, &want)
	p := frame[headerLen:]
	var got hello
	if err := decodeHello(p, &got); err != nil || got != want {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	change := func(at int, v byte) []byte {
		b := bytes.Clone(p)
		b[at] = v
		return b
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":                      {nil, ErrTruncated},
		"not ours":                   {change(0, 'X'), ErrMagic},
		"another version":            {change(5, 9), ErrVersion},
		"a later version's, shorter": {change(5, 9)[:6], ErrVersion},
		"cut":                        {p[:20], ErrTruncated},
		"flags":                      {change(6, 2), ErrReserved},
		"index is count":             {change(55, 2), ErrValue},
		"many connections":           {change(56, MaxConns+1), ErrValue},
		"long name":                  {change(57, 255), ErrValue},
		"name is cut":                {p[:len(p)-1], ErrTruncated},
		"trailing":                   {append(bytes.Clone(p), 0), ErrTrailing},
	} {
		if err := decodeHello(tt.b, &got); err != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestTextsOfPeersAreFitForALog(t *testing.T) {
	long := appendText(nil, TypeError, strings.Repeat("é", MaxText))
	if n := len(long) - headerLen; n > MaxText || n < MaxText-1 {
		t.Errorf("%d bytes", n)
	}
	if s, err := decodeText(long[headerLen:]); err != nil || !strings.HasSuffix(s, "éé") {
		t.Errorf("%q, %v", s, err)
	}
	if s, _ := decodeText([]byte("a\nb\x1b[31m\xff\u0085c")); s != "a?b?[31m??c" {
		t.Errorf("%q", s)
	}
	if _, err := decodeText(make([]byte, MaxText+1)); err != ErrLength {
		t.Error(err)
	}
}

func TestClaimsComeBackInAnyNumberOfFrames(t *testing.T) {
	for _, n := range []int{0, 1, claimsPerFrame, claimsPerFrame + 1, MaxClaims} {
		var want []netip.Prefix
		for i := range n {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
			want = append(want, netip.PrefixFrom(a, 24+i%9).Masked())
			if i%3 == 0 {
				a = netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 8), byte(i)})
				want[i] = netip.PrefixFrom(a, 32+i%97).Masked()
			}
		}
		r := newFrameReader(bytes.NewReader(appendClaims(nil, want)))
		var got []netip.Prefix
		for more := true; more; {
			typ, p, err := r.next()
			if err != nil || typ != TypeClaims {
				t.Fatal(typ, err)
			}
			if got, more, err = decodeClaims(p, got); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d claims: got %d", n, len(got))
		}
		if _, _, err := r.next(); err != io.EOF {
			t.Error(err)
		}
	}
}

func TestMalformedClaimsAreNamed(t *testing.T) {
	one := appendClaims(nil, []netip.Prefix{netip.MustParsePrefix("10.1.3.0/24")})[headerLen:]
	change := func(at int, v byte) []byte {
		b := bytes.Clone(one)
		b[at] = v
		return b
	}
	full := make([]netip.Prefix, MaxClaims)
	for name, tt := range map[string]struct {
		b    []byte
		have []netip.Prefix
		want error
	}{
		"empty":              {nil, nil, ErrTruncated},
		"cut":                {one[:9], nil, ErrTruncated},
		"flag":               {change(0, 2), nil, ErrReserved},
		"more after nothing": {[]byte{claimsMore}, nil, ErrValue},
		"IPv4 above 32 bits": {change(17, 129), nil, ErrValue},
		"half mapped":        {change(17, 90), nil, ErrValue},
		"too many":           {one, full, ErrValue},
	} {
		if _, _, err := decodeClaims(tt.b, tt.have); err != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestFlowsComeBackInAnyNumberOfFrames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, flowsPerFrame, flowsPerFrame + 1} {
		var want, got []packet.Endpoint
		for i := range n {
			want = append(want, randomEndpoint(rnd, i%2 == 0))
		}
		r := newFrameReader(bytes.NewReader(appendFlows(nil, TypeFlowAdd, want)))
		for {
			_, p, err := r.next()
			if err == io.EOF {
				break
			}
			if err == nil {
				got, err = decodeFlows(p, got)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d flows: got %d", n, len(got))
		}
	}
	if _, err := decodeFlows(make([]byte, flowLen+1), nil); err != ErrTruncated {
		t.Error(err)
	}
}

func TestMalformedFramesAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":               {nil, io.EOF},
		"half a header":         {[]byte{1, 0}, io.ErrUnexpectedEOF},
		"half a payload":        {[]byte{byte(TypePong), 0, 0, 8, 1}, io.ErrUnexpectedEOF},
		"no payload":            {[]byte{byte(TypePong), 0, 0, 8}, io.ErrUnexpectedEOF},
		"type 0":                {make([]byte, 8), ErrType},
		"unknown type":          {[]byte{byte(typeEnd), 0, 0, 0}, ErrType},
		"reserved":              {[]byte{byte(TypePong), 1, 0, 0}, ErrReserved},
		"too long":              {[]byte{byte(TypeReplies), 0, 0xff, 0xff}, ErrLength},
		"C tcpcopy's version 6": {[]byte{0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0}, ErrType},
		"HTTP":                  {[]byte("GET / HTTP/1.1\r\n"), ErrType},
		"TLS":                   {[]byte{0x16, 3, 1, 2, 0}, ErrType},
	} {
		if _, _, err := newFrameReader(bytes.NewReader(tt.b)).next(); err != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// drip gives a byte or a few at a time.
type drip struct {
	r   io.Reader
	rnd *rand.Rand
}

func (d drip) Read(p []byte) (int, error) { return d.r.Read(p[:1+d.rnd.IntN(min(len(p), 3000))]) }

func TestFramesSurviveAnyCutOfTheStream(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var stream []byte
	var want [][]byte
	for range 300 {
		p := make([]byte, []int{0, 1, 100, MaxFrame}[rnd.IntN(4)])
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		want = append(want, p)
		stream = appendFrame(stream, TypeReplies, p)
	}
	r := newFrameReader(drip{bytes.NewReader(stream), rnd})
	for i := range want {
		_, p, err := r.next()
		if err != nil || !bytes.Equal(p, want[i]) {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	if _, _, err := r.next(); err != io.EOF {
		t.Error(err)
	}
	if r.bytes != uint64(len(stream)) {
		t.Errorf("%d bytes of %d counted", r.bytes, len(stream))
	}
}

func TestProofDependsOnAllThatWasSaid(t *testing.T) {
	a := proof("secret", proofClient, []byte("hello"), []byte("there"))
	for name, b := range map[string][]byte{
		"secret":   proof("secreT", proofClient, []byte("hello"), []byte("there")),
		"label":    proof("secret", proofServer, []byte("hello"), []byte("there")),
		"client":   proof("secret", proofClient, []byte("hellO"), []byte("there")),
		"server":   proof("secret", proofClient, []byte("hello"), []byte("therE")),
		"boundary": proof("secret", proofClient, []byte("hellot"), []byte("here")),
	} {
		if bytes.Equal(a, b) {
			t.Errorf("another %s, the same proof", name)
		}
	}
}

// decodeAny decodes a frame as either end would.
func decodeAny(t Type, p []byte) error {
	var err error
	switch t {
	case TypeHello:
		err = decodeHello(p, new(hello))
	case TypeClaims:
		_, _, err = decodeClaims(p, nil)
	case TypeFlowAdd, TypeFlowDel:
		_, err = decodeFlows(p, nil)
	case TypeReplies:
		_, err = decodeRecords(p, nil)
	case TypePing:
		_, err = decodePing(p)
	case TypePong:
		_, err = decodePong(p)
	case TypeUrgent:
		_, err = decodeUrgent(p)
	case TypeNotice, TypeError:
		_, err = decodeText(p)
	}
	return err
}

func FuzzStream(f *testing.F) {
	rnd := rand.New(rand.NewPCG(7, 8))
	r := randomReply(rnd)
	f.Add(appendHello(nil, &hello{Name: "S1", Count: 1}))
	f.Add(appendClaims(nil, []netip.Prefix{netip.MustParsePrefix("10.1.3.0/24"), netip.MustParsePrefix("2001:db8::/32")}))
	f.Add(appendFlows(nil, TypeFlowAdd, []packet.Endpoint{r.Dst, r.Src}))
	f.Add(appendFrame(nil, TypeReplies, appendRecord(nil, &r)))
	f.Add(appendPong(appendPing(nil, ping{1, 2, 3}), 4))
	f.Add(appendText(nil, TypeNotice, "why"))
	f.Add(appendUrgent(nil, true))
	f.Add([]byte{byte(TypeReplies), 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newFrameReader(bytes.NewReader(b))
		for {
			typ, p, err := r.next()
			var fault FrameError
			if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &fault) {
					t.Fatalf("an error of no type: %v", err)
				}
				return
			}
			if err := decodeAny(typ, p); err != nil && !errors.As(err, &fault) {
				t.Fatalf("%d: an error of no type: %v", typ, err)
			}
		}
	})
}

func FuzzRecords(f *testing.F) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 8 {
		r := randomReply(rnd)
		f.Add(appendRecord(nil, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rs, err := decodeRecords(b, nil)
		if len(rs) > len(b)/minRecord {
			t.Fatalf("%d records of %d bytes", len(rs), len(b))
		}
		if err != nil {
			return
		}
		var again []byte
		for i := range rs {
			again = appendRecord(again, &rs[i])
		}
		if back, err := decodeRecords(again, nil); err != nil || !slices.Equal(back, rs) {
			t.Fatalf("%v: %s", err, cmp.Diff(rs, back))
		}
	})
}

func TestClientDecodesWithoutAllocating(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	b, at := beginFrame(nil, TypeReplies)
	for range 100 {
		r := randomReply(rnd)
		b = appendRecord(b, &r)
	}
	b = endFrame(b, at)
	src := bytes.NewReader(b)
	r := newFrameReader(src)
	batch := make([]packet.Reply, 0, recordsPerFrame)
	if n := testing.AllocsPerRun(100, func() {
		src.Reset(b)
		_, p, err := r.next()
		if err == nil {
			batch, err = decodeRecords(p, batch[:0])
		}
		if err != nil || len(batch) != 100 {
			t.Fatal(len(batch), err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHostileStreamCostsNoMemory(t *testing.T) {
	b := bytes.Repeat([]byte{byte(TypeReplies), 0, 0x3f, 0xff}, 100)
	src := bytes.NewReader(b)
	r := newFrameReader(src)
	if n := testing.AllocsPerRun(100, func() {
		src.Reset(b)
		r.start, r.end = 0, 0
		if _, _, err := r.next(); err == nil {
			t.Fatal("no error")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func typicalReply() packet.Reply {
	return packet.Reply{
		Src: packet.EndpointFrom(netip.MustParseAddrPort("10.1.2.100:80")),
		Dst: packet.EndpointFrom(netip.MustParseAddrPort("10.1.3.7:40000")),
		Seq: 1, Ack: 2, Len: 1448, Flags: packet.ACK, Window: 500,
		Options: packet.Options{WindowScale: packet.NoWindowScale, HasTimestamp: true, TSVal: 1, TSEcr: 2},
	}
}

func BenchmarkEncodeRecord(b *testing.B) {
	r := typicalReply()
	buf := make([]byte, 0, maxRecord)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendRecord(buf[:0], &r)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeRecord(b *testing.B) {
	r := typicalReply()
	buf := appendRecord(nil, &r)
	rs := make([]packet.Reply, 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		rs, _ = decodeRecords(buf, rs[:0])
	}
	b.SetBytes(int64(len(buf)))
}
