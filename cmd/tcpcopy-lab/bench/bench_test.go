package bench

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func TestTheReportHasMediansAndTheirRatio(t *testing.T) {
	r := Report{Runs: 3, Seconds: 5, Results: []Result{
		{Row: "slow", Samples: map[Side][]Values{
			Ours: {{Rate: 10, Copied: 100, TcpcopyCPU: 9}, {Rate: 10, Copied: 100, TcpcopyCPU: 3}, {Rate: 10, Copied: 100, TcpcopyCPU: 4}},
			Peer: {{Rate: 10, Copied: 100, TcpcopyCPU: 16}},
		}},
		{Row: "fast", Samples: map[Side][]Values{
			Ours: {{Rate: 30, Copied: 100}},
			Peer: {{Rate: 40, Copied: 99.9996}},
		}},
	}}
	text := r.String()
	for _, want := range []string{
		"tcpcopy, CPU s per million requests 4.00 16.0 0.25",
		"ours: 30 requests/s (fast)", "peer: 10 requests/s (slow)",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestWhatIsMeasuredHasAName(t *testing.T) {
	names := Rows()
	slices.Sort(names)
	if len(slices.Compact(names)) != len(rows) {
		t.Error("two rows have the same name")
	}
	if _, err := Run(t.Context(), Config{Rows: []string{"no such"}, Runs: 1}, os.Stderr); err == nil {
		t.Error("a row that is not there was measured")
	}
}

func TestALagIsFromARequestToItsFirstCopy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lag.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriterNanos(f)
	if err := w.WriteFileHeader(160, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	packet := func(us int, from string, port layers.TCPPort, request string) {
		b := gopacket.NewSerializeBuffer()
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.ParseIP(from), DstIP: net.IPv4(10, 1, 2, 11)}
		tcp := &layers.TCP{SrcPort: port, DstPort: 80, PSH: true, ACK: true}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}, ip, tcp,
			gopacket.Payload(request+" HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 200)+"\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		info := gopacket.CaptureInfo{Timestamp: time.Unix(1000, int64(us)*1000), CaptureLength: 160, Length: len(b.Bytes())}
		if err := w.WritePacket(info, b.Bytes()[:160]); err != nil {
			t.Fatal(err)
		}
	}
	packet(10, "10.1.2.201", 1000, "GET /r/1/0/0")
	packet(15, "10.1.2.202", 1000, "GET /r/1/1/0")
	packet(40, "10.1.3.7", 1000, "GET /r/1/0/0")
	packet(90, "10.1.3.7", 1000, "GET /r/1/0/0") // repeated
	packet(95, "10.1.3.8", 1000, "GET /r/9/9/9") // nobody's
	// The ports of EtherNet/IP, which gopacket takes for its protocol.
	packet(100, "10.1.2.201", 44818, "GET /r/2/0/0")
	packet(101, "10.1.2.201", 2222, "GET /r/2/1/0")
	packet(141, "10.1.3.7", 44818, "GET /r/2/0/0")
	packet(151, "10.1.3.7", 2222, "GET /r/2/1/0")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	lags, err := readLags(file)
	if err != nil || fmt.Sprint(lags) != "[30µs 41µs 50µs]" {
		t.Errorf("lags %v, %v", lags, err)
	}
}
