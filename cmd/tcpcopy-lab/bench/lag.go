package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// lag is the time from when the kernel of production's host has a client's
// request to when it has the copy, by its own timestamps: one capture sees
// both, and the requests' lines tell which belong together.
func lag(ctx context.Context, w row, s *testbed.Testbed, _ *pair) (Values, error) {
	file := filepath.Join(s.Lab.Dir, "lag.pcap")
	tcpdump, err := s.Copiers[0].Host.Start(lab.Command{Name: "tcpdump", Args: []string{
		"tcpdump", "-i", "eth0", "-s", "160", "-B", "65536", "--time-stamp-precision=nano", "-w", file,
		"tcp dst port 80 and tcp[tcpflags] & tcp-push != 0",
	}})
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(5 * time.Second); !strings.Contains(tcpdump.Tail(5), "listening"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return nil, errors.New("tcpdump does not listen: " + tcpdump.Tail(5))
		}
	}
	report, err := runLoad(ctx, w, s)
	if err != nil {
		return nil, err
	}
	time.Sleep(settleTime)
	if _, err := tcpdump.Stop(5 * time.Second); err != nil {
		return nil, err
	}
	lags, err := readLags(file)
	if err != nil {
		return nil, err
	}
	if len(lags) == 0 {
		return nil, errors.New("nothing was copied")
	}
	slices.Sort(lags)
	us := func(share float64) float64 {
		return float64(lags[int(share*float64(len(lags)-1))]) / float64(time.Microsecond)
	}
	return Values{Copied: 100 * float64(len(lags)) / float64(report.Answers), LagP50: us(0.5), LagP99: us(0.99)}, nil
}

// readLags are the times between each request and its first copy. The copies'
// clients are not on the lab's own network.
func readLags(file string) (lags []time.Duration, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, err
	}
	var eth layers.Ethernet
	var ip layers.IPv4
	var tcp layers.TCP
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip, &tcp)
	// gopacket guesses what a TCP payload is by the ports, and a client's port
	// may be 44818, EtherNet/IP's. The payload is read from the TCP layer.
	parser.IgnoreUnsupported = true
	var decoded []gopacket.LayerType
	came := map[string]time.Time{}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return lags, nil
		}
		if err != nil {
			return nil, err
		}
		parser.Truncated = false
		if err := parser.DecodeLayers(data, &decoded); err != nil {
			return nil, err
		}
		line, _, ok := bytes.Cut(tcp.Payload, []byte("\r\n"))
		if !slices.Contains(decoded, layers.LayerTypeTCP) || !ok {
			continue
		}
		at, again := came[string(line)]
		switch copied := strings.HasPrefix(ip.SrcIP.String(), strings.TrimSuffix(lab.Pool4, "x")); {
		case !copied && !again:
			came[string(line)] = info.Timestamp
		case copied && again:
			lags = append(lags, info.Timestamp.Sub(at))
			delete(came, string(line))
		}
	}
}
