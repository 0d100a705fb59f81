package matrix

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func TestADifferenceIsCountedRequestByRequest(t *testing.T) {
	online := Tally{"/1": 1, "/2": 3, "/3": 2}
	for name, c := range map[string]struct {
		target                       Tally
		missing, duplicated, foreign int
	}{
		"the same":    {Tally{"/1": 1, "/2": 3, "/3": 2}, 0, 0, 0},
		"nothing":     {Tally{}, 6, 0, 0},
		"less":        {Tally{"/1": 1, "/2": 1}, 4, 0, 0},
		"more":        {Tally{"/1": 3, "/2": 3, "/3": 2}, 0, 2, 0},
		"other":       {Tally{"/1": 1, "/2": 3, "/3": 2, "/4": 5}, 0, 0, 5},
		"all at once": {Tally{"/1": 2, "/2": 2, "/4": 1}, 3, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			missing, duplicated, foreign := difference(online, c.target)
			if missing != c.missing || duplicated != c.duplicated || foreign != c.foreign {
				t.Errorf("%d missing, %d duplicated, %d foreign; want %d, %d, %d", missing, duplicated, foreign, c.missing, c.duplicated, c.foreign)
			}
		})
	}
}

func TestTheShortFormHasEachServerAndEachClient(t *testing.T) {
	cells, err := Config{Short: true}.cells()
	if err != nil {
		t.Fatal(err)
	}
	var servers, clients []string
	for _, c := range cells {
		servers, clients = append(servers, c.row.name), append(clients, c.column.name)
	}
	for _, r := range rows() {
		for _, c := range r.columns {
			if c.notYet {
				clients = append(clients, c.name)
			}
		}
	}
	for _, want := range [][2][]string{{Rows(), servers}, {Columns(), clients}} {
		for _, name := range want[0] {
			if !slices.Contains(want[1], name) {
				t.Errorf("no cell has %s", name)
			}
		}
	}
	all, err := Config{}.cells()
	if err != nil || len(all) < 2*len(cells) {
		t.Errorf("%d cells in the short form, %d in all, %v", len(cells), len(all), err)
	}
}

func TestCellsAreChosenByName(t *testing.T) {
	cells, err := Config{Rows: []string{"varnish", "redis"}, Columns: []string{"siege", "redis-pipelined"}}.cells()
	if err != nil || len(cells) != 2 {
		t.Errorf("%d cells, %v; want 2", len(cells), err)
	}
	cells[0].row.needs = append(cells[0].row.needs, "no-such-program", "python3-no_such_module")
	if lacks := missing(cells[:1]); !slices.Contains(lacks, "no-such-program") || !slices.Contains(lacks, "python3-no_such_module") || slices.Contains(lacks, "sh") {
		t.Errorf("missing: %v", lacks)
	}
	for _, c := range []Config{{Rows: []string{"squid"}}, {Columns: []string{"telnet"}}} {
		if _, err := c.cells(); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestAResultIsExactOnlyWithoutAnyFault(t *testing.T) {
	good := Result{Online: 10, Expected: 10, Target: 10, OnlineConnections: 10, TargetConnections: 11, Late: 2}
	if !good.Exact() {
		t.Error(good.Faults())
	}
	// Of two requests the capture has a part only.
	lossy := Result{Online: 10, Expected: 8, Target: 8, Partial: 2, OnlineConnections: 10, TargetConnections: 13}
	if !lossy.Exact() {
		t.Error(lossy.Faults())
	}
	for want, spoil := range map[string]func(*Result){
		"1 missing": func(r *Result) { r.Missing = 1 },
		"1 missing, 7 packets that the kernel dropped from tcpcopy's rings": func(r *Result) { r.Missing, r.KernelDrops = 1, 7 },
		"2 duplicated":                              func(r *Result) { r.Duplicated = 2 },
		"3 foreign":                                 func(r *Result) { r.Foreign = 3 },
		"4 not to their end":                        func(r *Result) { r.Partial = 4 },
		"6 with bytes that are not theirs":          func(r *Result) { r.Altered = 6 },
		"5 connections that begin inside a message": func(r *Result) { r.Misbegun = 5 },
		"nothing in production's log":               func(r *Result) { r.Online, r.Expected = 0, 0 },
		"12 connections for 10":                     func(r *Result) { r.TargetConnections = 12 },
		"2.1 s late":                                func(r *Result) { r.Late = 2.1 },
		"mosquitto ended":                           func(r *Result) { r.Error = "mosquitto ended" },
	} {
		bad := good
		spoil(&bad)
		report := Report{Cells: []*Result{&good, &bad}}
		if strings.Join(bad.Faults(), ", ") != want || report.Exact() || !strings.Contains(report.String(), want) || !strings.Contains(report.String(), "1 of 2 cells are exact") {
			t.Errorf("faults %q, want %q; exact: %v\n%s", bad.Faults(), want, report.Exact(), &report)
		}
	}
}

// recording writes TCP segments to production's port 80 as tcpdump would.
func recording(t *testing.T, snaplen int, packets ...packet) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "clients.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, s := range packets {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IPv4(10, 1, 2, 201), DstIP: net.IPv4(10, 1, 2, 11)}
		tcp := &layers.TCP{SrcPort: s.port, DstPort: 80, Seq: s.seq, SYN: s.syn, ACK: !s.syn}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		b := gopacket.NewSerializeBuffer()
		err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}, ip, tcp, gopacket.Payload(s.text))
		if err != nil {
			t.Fatal(err)
		}
		data := b.Bytes()
		kept := data[:min(len(data), snaplen)]
		if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(kept), Length: len(data)}, kept); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

type packet struct {
	port layers.TCPPort
	syn  bool
	seq  uint32
	text string
}

func head(uri string) string {
	return "PUT " + uri + " HTTP/1.1\r\nHost: lab\r\nContent-Length: 2000\r\n\r\n"
}

// The sequence numbers wrap, and the last request begins inside a segment.
func TestARequestIsWholeWhenEachOfItsBytesWasSeen(t *testing.T) {
	const port, start = 40000, uint32(0xffffff00)
	body := strings.Repeat("x", 1000)
	var sent []packet
	at := start
	for _, text := range []string{head("/1"), body, body, head("/2"), body, body + head("/3")[:10], head("/3")[10:] + body, body} {
		sent = append(sent, packet{port: port, seq: at, text: text})
		at += uint32(len(text))
	}
	wholeWithout := func(lost ...int) (uris []string) {
		all, err := readStreams(recording(t, 65535, sent...))
		if err != nil {
			t.Fatal(err)
		}
		var rest []packet
		for i, s := range sent {
			if !slices.Contains(lost, i) {
				rest = append(rest, s)
			}
		}
		slices.Reverse(rest) // in disorder
		seen, err := readStreams(recording(t, headBytes, rest...))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := wholeRequests(all, seen)
		if err != nil {
			t.Fatal(err)
		}
		for uri, whole := range whole {
			if whole {
				uris = append(uris, uri)
			}
		}
		slices.Sort(uris)
		return uris
	}
	for _, c := range []struct {
		lost []int
		want string
	}{
		{nil, "/1 /2 /3"}, {[]int{0}, "/2 /3"}, {[]int{2}, "/2 /3"}, {[]int{3}, "/1 /3"}, {[]int{4, 7}, "/1"}, {[]int{5}, "/1"}, {[]int{6}, "/1 /2"}, {[]int{1, 5, 6}, ""},
	} {
		if got := strings.Join(wholeWithout(c.lost...), " "); got != c.want {
			t.Errorf("without the segments %v: %q are whole, want %q", c.lost, got, c.want)
		}
	}
}

func TestAConnectionThatBeginsInsideABodyIsMisbegun(t *testing.T) {
	all, err := readStreams(recording(t, headBytes,
		packet{port: 1, syn: true, seq: 9}, packet{port: 1, seq: 10, text: head("/1")},
		packet{port: 2, syn: true, seq: 9}, packet{port: 2, seq: 10, text: "xxxx"}, packet{port: 2, seq: 14, text: head("/2")},
		packet{port: 3, syn: true, seq: 9},
		packet{port: 1, syn: true, seq: 99}, packet{port: 1, seq: 100, text: "PUT / or not"},
	))
	if n := countMisbegun(all); err != nil || len(all) != 4 || n != 2 {
		t.Errorf("%d of %d connections begin inside a message, %v; want 2 of 4", n, len(all), err)
	}
}

func TestWhatNginxDidNotServeToItsEndIsPartial(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	text := "1.000 1 1 /1 10.1.3.1:1000 300 200\n1.001 1 2 /2 10.1.3.1:1000 300 499\n1.002 2 1 - 10.1.3.2:1000 0 400\n"
	if err := os.WriteFile(log, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	served, partial, err := nginxServed(log)
	if err != nil || served.Total() != 1 || served["/1"] != 1 || partial != 2 {
		t.Errorf("served %v, %d partial, %v", served, partial, err)
	}
}
