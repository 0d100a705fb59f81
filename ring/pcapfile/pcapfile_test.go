package pcapfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// ip is packet number n of a recording, from its network header.
func ip(n int) []byte {
	h := packet.Header{
		Src: packet.Endpoint{Addr: packet.Addr4([]byte{192, 0, 2, 1}), Port: uint16(1000 + n)},
		Dst: packet.Endpoint{Addr: packet.Addr4([]byte{10, 0, 0, 1}), Port: 80}, Seq: uint32(n), Flags: packet.ACK,
	}
	if n%2 == 1 {
		h.Src.Addr, h.Dst.Addr = packet.Addr{0: 0xfd, 15: 1}, packet.Addr{0: 0xfd, 15: 2}
	}
	b := make([]byte, 200)
	payload := fmt.Sprintf("payload %d", n)
	k := packet.Build(b, &h, len(payload))
	return append(b[:k], payload...)
}

func at(n int) time.Time { return time.Unix(1_700_000_000+int64(n), 123_456_789) }

// protocol is the EtherType of ip(n).
func protocol(n int) []byte {
	if n%2 == 1 {
		return []byte{0x86, 0xdd}
	}
	return []byte{0x08, 0x00}
}

// encapsulations put a link layer before packet n.
var encapsulations = map[string]struct {
	link layers.LinkType
	head func(n int) []byte
}{
	"ethernet": {layers.LinkTypeEthernet, func(n int) []byte { return append(make([]byte, 12), protocol(n)...) }},
	"vlan":     {layers.LinkTypeEthernet, func(n int) []byte { return append(append(make([]byte, 12), 0x81, 0, 0, 7), protocol(n)...) }},
	"qinq": {layers.LinkTypeEthernet, func(n int) []byte {
		return append(append(make([]byte, 12), 0x88, 0xa8, 0, 7, 0x81, 0, 0, 9), protocol(n)...)
	}},
	"cooked":      {layers.LinkTypeLinuxSLL, func(n int) []byte { return append(make([]byte, 14), protocol(n)...) }},
	"cooked vlan": {layers.LinkTypeLinuxSLL, func(n int) []byte { return append(append(make([]byte, 14), 0x81, 0, 0, 7), protocol(n)...) }},
	"cooked2":     {layers.LinkTypeLinuxSLL2, func(n int) []byte { return append(protocol(n), make([]byte, 18)...) }},
	"null":        {layers.LinkTypeNull, func(n int) []byte { return []byte{byte(2 + n%2*28), 0, 0, 0} }},
	"loop":        {layers.LinkTypeLoop, func(n int) []byte { return []byte{0, 0, 0, byte(2 + n%2*28)} }},
	"raw":         {layers.LinkTypeRaw, func(int) []byte { return nil }},
	"old raw":     {12, func(int) []byte { return nil }},
}

// recording writes n packets in classic pcap: order and resolution are the
// file's, cut is how much of each packet is kept.
func recording(order binary.AppendByteOrder, nano bool, link layers.LinkType, head func(int) []byte, from, n int, cut int) []byte {
	magic, unit := uint32(0xa1b2c3d4), 1000
	if nano {
		magic, unit = 0xa1b23c4d, 1
	}
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, uint32(link))
	for i := from; i < from+n; i++ {
		p := append(head(i), ip(i)...)
		b = order.AppendUint32(b, uint32(at(i).Unix()))
		b = order.AppendUint32(b, uint32(at(i).Nanosecond()/unit))
		b = order.AppendUint32(b, uint32(min(len(p), cut)))
		b = order.AppendUint32(b, uint32(len(p)))
		b = append(b, p[:min(len(p), cut)]...)
	}
	return b
}

// usual is a recording of tcpdump on Ethernet.
func usual(from, n int) []byte {
	e := encapsulations["ethernet"]
	return recording(binary.LittleEndian, false, e.link, e.head, from, n, 1<<16)
}

func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// expect reads the set and wants packets from to from+n-1, with time to unit.
func expect(t *testing.T, paths []string, from, n int, unit time.Duration) {
	t.Helper()
	s, err := OpenSet(paths)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	for round := range 2 {
		var f ring.Frame
		for i := from; i < from+n; i++ {
			if err := s.Next(&f); err != nil {
				t.Errorf("packet %d: %v", i, err)
				return
			}
			want := ip(i)
			if !bytes.Equal(f.Data, want) || f.Wire != len(want) {
				t.Errorf("packet %d is %x, %d bytes, want %x", i, f.Data, f.Wire, want)
			}
			if read, size := s.Position(); i == from && len(paths) == 1 && n > 10 && n < 1000 && read > size/2 {
				t.Errorf("at the first packet %d of %d bytes are read", read, size)
			}
			if when := at(i).Truncate(unit).UnixNano(); f.Time != when {
				t.Errorf("packet %d was recorded at %d, want %d", i, f.Time, when)
			}
		}
		if err := s.Next(&f); err != io.EOF {
			t.Errorf("after the last packet: %v", err)
		}
		if read, size := s.Position(); read != size || size == 0 {
			t.Errorf("at the end %d of %d bytes are read", read, size)
		}
		if round == 0 {
			if err := s.Rewind(); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

func TestEveryFormOfAPcapFileIsRead(t *testing.T) {
	for name, e := range encapsulations {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, nano := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %v, nanoseconds %v", name, order, nano), func(t *testing.T) {
					unit := time.Microsecond
					if nano {
						unit = 1
					}
					expect(t, []string{file(t, "a.pcap", recording(order, nano, e.link, e.head, 0, 20, 1<<16))}, 0, 20, unit)
				})
			}
		}
	}
}

func TestPcapngWithInterfacesOfSeveralKindsIsRead(t *testing.T) {
	var b bytes.Buffer
	var w *pcapgo.NgWriter
	names := []string{"ethernet", "cooked2", "raw", "null"}
	for i, name := range names {
		iface := pcapgo.NgInterface{Name: name, LinkType: encapsulations[name].link, TimestampResolution: 9}
		var err error
		if i == 0 {
			w, err = pcapgo.NewNgWriterInterface(&b, iface, pcapgo.DefaultNgWriterOptions)
		} else {
			_, err = w.AddInterface(iface)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		p := append(encapsulations[names[i%4]].head(i), ip(i)...)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at(i), CaptureLength: len(p), Length: len(p), InterfaceIndex: i % 4}, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, []string{file(t, "a.pcapng", b.Bytes())}, 0, 40, 1)
}

func TestPcapngWithoutPacketsIsEmptyNotCut(t *testing.T) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{LastUpdate: at(0)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, []string{file(t, "a.pcapng", b.Bytes())}, 0, 0, 1)
}

// What others write is read: the tools' own conversions.
func TestConversionsOfEditcapAreRead(t *testing.T) {
	if _, err := exec.LookPath("editcap"); err != nil {
		t.Skip("editcap is not installed")
	}
	in := file(t, "a.pcap", usual(0, 30))
	for _, format := range []string{"pcap", "nsecpcap", "pcapng"} {
		out := filepath.Join(t.TempDir(), "b")
		if text, err := exec.Command("editcap", "-F", format, in, out).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		expect(t, []string{out}, 0, 30, time.Microsecond)
	}
}

func packed(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, make := range map[string]func(io.Writer) io.WriteCloser{
		"gz":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"lz4": func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) },
		"zst": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	} {
		var b bytes.Buffer
		w := make(&b)
		if _, err := w.Write(usual(0, 3000)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all[name] = b.Bytes()
	}
	return all
}

func TestPackedRecordingsAreKnownByTheirContent(t *testing.T) {
	for name, b := range packed(t) {
		t.Run(name, func(t *testing.T) { expect(t, []string{file(t, "no-ending", b)}, 0, 3000, time.Microsecond) })
	}
}

func TestSeveralFilesAreMergedByTime(t *testing.T) {
	e := encapsulations["raw"]
	one := func(i int) []byte { return recording(binary.BigEndian, true, e.link, e.head, i, 1, 1<<16) }
	// Even packets in one file, odd in another, and the end in a third, which
	// is named first; an empty one among them.
	even, odd := one(0), one(1)
	for i := 2; i < 30; i++ {
		if i%2 == 0 {
			even = append(even, one(i)[24:]...)
		} else {
			odd = append(odd, one(i)[24:]...)
		}
	}
	last := recording(binary.LittleEndian, true, e.link, e.head, 30, 10, 1<<16)
	expect(t, []string{file(t, "c", last), file(t, "empty", one(0)[:24]), file(t, "a", odd), file(t, "b", even)}, 0, 40, 1)
}

func TestOnlyTheFilesWhoseTurnItIsAreOpen(t *testing.T) {
	var paths []string
	for i := range 20 {
		paths = append(paths, file(t, "a", usual(10*i, 10)))
	}
	s, err := OpenSet(paths)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var f ring.Frame
	for i := range 200 {
		if err := s.Next(&f); err != nil {
			t.Fatal(err)
		}
		if open := len(*s.open.Load()); open > 1 {
			t.Fatalf("%d files are open at packet %d", open, i)
		}
	}
}

func TestACutPacketKeepsItsLength(t *testing.T) {
	e := encapsulations["vlan"]
	s, err := OpenSet([]string{file(t, "a", recording(binary.LittleEndian, false, e.link, e.head, 0, 5, 60))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var f ring.Frame
	for i := range 5 {
		if err := s.Next(&f); err != nil {
			t.Fatal(err)
		}
		if want := ip(i); f.Wire != len(want) || !bytes.Equal(f.Data, want[:60-18]) {
			t.Errorf("packet %d: %d bytes of %d, want 42 of %d", i, len(f.Data), f.Wire, len(want))
		}
		if tci, ok := s.Tag(); !ok || tci != 7 {
			t.Errorf("packet %d: tag %d, %v", i, tci, ok)
		}
	}
}

func TestWhatIsNotIPHasNoData(t *testing.T) {
	e := encapsulations["ethernet"]
	b := recording(binary.LittleEndian, false, e.link, func(int) []byte { return append(make([]byte, 12), 0x08, 0x06) }, 0, 2, 1<<16)
	b = append(b, recording(binary.LittleEndian, false, e.link, e.head, 2, 1, 10)[24:]...)
	s, err := OpenSet([]string{file(t, "a", b)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 3 {
		f := ring.Frame{Data: []byte("of before")}
		if err := s.Next(&f); err != nil || len(f.Data) > 0 {
			t.Errorf("%q, %v", f.Data, err)
		}
	}
}

func TestABrokenFileIsReadUpToItsBreakAndTheOthersToTheirEnd(t *testing.T) {
	whole := usual(0, 10)
	broken := bytes.Clone(whole)
	offset := 24
	for range 6 {
		offset += 16 + int(binary.LittleEndian.Uint32(broken[offset+8:]))
	}
	binary.LittleEndian.PutUint32(broken[offset+8:], 1<<30)
	for name, c := range map[string]struct {
		content []byte
		good    int
		cut     bool
	}{
		"cut":      {whole[:offset+20], 6, true},
		"in head":  {whole[:offset+7], 6, true},
		"no data":  {whole[:offset+16], 6, true},
		"nonsense": {broken, 6, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "broken.pcap", c.content)
			s, err := OpenSet([]string{path, file(t, "later", usual(10, 5))})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var got []int
			var told *Error
			for {
				var f ring.Frame
				err := s.Next(&f)
				if err == io.EOF {
					break
				}
				if errors.As(err, &told) {
					if len(got) != c.good || told.Offset != int64(offset) || told.Cut != c.cut || told.Path != path {
						t.Errorf("after %d packets: %+v (%v)", len(got), told, told)
					}
					continue
				}
				var g packet.Segment
				packet.Decode(f.Data, f.Wire, &g)
				got = append(got, int(g.Seq))
			}
			if told == nil || fmt.Sprint(got) != "[0 1 2 3 4 5 10 11 12 13 14]" {
				t.Errorf("read %v, then %v", got, told)
			}
		})
	}
}

func TestABrokenPackingIsTold(t *testing.T) {
	for name, b := range packed(t) {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 0x55
		b[len(b)/2+1] ^= 0x55
		r, err := Open(file(t, name, b))
		for n := 0; err == nil; n++ {
			var f ring.Frame
			if err = r.Next(&f); n > 3000 {
				t.Fatal("no end")
			}
		}
		var told *Error
		if !errors.As(err, &told) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoRecordingIsRefusedInOneLine(t *testing.T) {
	other := recording(binary.LittleEndian, false, layers.LinkTypeIEEE802_11, func(int) []byte { return nil }, 0, 1, 100)
	for content, want := range map[string]string{
		"":                         "is empty",
		"a":                        "is no recording",
		"GET / HTTP/1.1\r\n\r\n":   "is no recording",
		string(other):              "its link type 105",
		"\x1f\x8b\x08":             "unexpected EOF",
		"\x0a\x0d\x0d\x0a":         "is no recording",
		"\x28\xb5\x2f\xfd\x00\x00": "",
	} {
		_, err := OpenSet([]string{file(t, "a.pcap", []byte(content))})
		var told *Error
		if !errors.As(err, &told) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want an error with %q", content, err, want)
		}
	}
	if _, err := OpenSet([]string{"/nonexistent.pcap"}); err == nil || err.Error() != "/nonexistent.pcap: no such file or directory" {
		t.Error(err)
	}
}

func FuzzReader(f *testing.F) {
	for _, e := range encapsulations {
		f.Add(recording(binary.BigEndian, true, e.link, e.head, 0, 3, 1<<16))
	}
	for _, b := range packed(f) {
		f.Add(b)
	}
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		f.Fatal(err)
	}
	p := append(encapsulations["ethernet"].head(0), ip(0)...)
	w.WritePacket(gopacket.CaptureInfo{Timestamp: at(0), CaptureLength: len(p), Length: len(p)}, p)
	w.Flush()
	f.Add(b.Bytes())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("the error has lines: %q", err)
			}
			return
		}
		defer r.Close()
		for range 10_000 {
			var f ring.Frame
			if err := r.Next(&f); err != nil {
				return
			}
			if f.Wire < len(f.Data) {
				t.Fatalf("%d bytes of %d", len(f.Data), f.Wire)
			}
		}
	})
}

// go test -run '^$' -bench Read ./ring/pcapfile
func BenchmarkRead(b *testing.B) {
	for name, content := range map[string][]byte{"pcap": usual(0, 100_000)} {
		path := file(b, name, content)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s, err := OpenSet([]string{path})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var f ring.Frame
			for b.Loop() {
				if err := s.Next(&f); err == io.EOF {
					err = s.Rewind()
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
