package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// What anybody may send to production's port must neither end tcpcopy, nor
// make it grow, nor touch the copies of real clients.
func TestHostilePacketsHarmNoCopy(t *testing.T) {
	const memory = 64 // MiB, -m
	for _, c := range []struct {
		name    string
		packets int
		make    func(r *rand.Rand, i int) [][]byte // the i-th packets
	}{
		{"SYN flood", 50_000, flood},
		{"garbage", 30_000, garbage},
		{"segments that contradict each other", 3000, contradiction},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The lab's own server: it logs no line for what is no request.
			p := small(t, testbed.Small{
				Options: lab.Options{Offload: true}, Origin: testbed.Origin{Embedded: true}, Args: []string{"-m", strconv.Itoa(memory)},
			})
			p.copy()
			l := p.load(load.Config{Conns: 20, Rate: 300, Duration: 6 * time.Second})
			time.Sleep(time.Second)
			before := p.resident()
			p.inject(c.packets, c.make)
			p.wait(l)
			after := p.resident()
			p.Logf("private memory %d MiB before, %d MiB after", before>>20, after>>20)
			if after > 2*memory<<20 {
				p.Errorf("tcpcopy has %d MiB of private memory with -m %d", after>>20, memory)
			}
			p.exact(p.judge(verdict.Rules{}))
			if p.Failed() {
				p.counters()
			}
			p.end()
		})
	}
}

// resident is tcpcopy's private memory in bytes; rings are not part of it.
func (p *scenario) resident() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Copiers[0].Process.PID()))
	p.must(err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "RssAnon:" {
			kb, err := strconv.Atoi(f[1])
			p.must(err)
			return kb << 10
		}
	}
	p.Fatal("no RssAnon in /proc/PID/status")
	return 0
}

// inject sends packets with addresses of their own from the client's host, at
// some ten thousand a second.
func (p *scenario) inject(n int, make func(*rand.Rand, int) [][]byte) {
	p.Helper()
	fd := -1
	p.must(p.Client.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	}))
	defer unix.Close(fd)
	to := &unix.SockaddrInet4{Addr: netip.MustParseAddr(lab.OnlineAddr4).As4()}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		for _, packet := range make(r, i) {
			// The kernel refuses headers that it cannot route by.
			if err := unix.Sendto(fd, packet, 0, to); err != nil && err != unix.EINVAL && err != unix.EMSGSIZE && err != unix.ENOBUFS {
				p.Fatal(err)
			}
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// flood is a SYN from an address and port of its own.
func flood(r *rand.Rand, _ int) [][]byte {
	return [][]byte{tcp(unknownClient(r), layers.TCP{SrcPort: layers.TCPPort(r.IntN(64000) + 1024), SYN: true, Seq: r.Uint32()}, nil)}
}

// garbage is what has a TCP header's place, from strangers and in the name of
// real clients.
func garbage(r *rand.Rand, i int) [][]byte {
	from := unknownClient(r)
	if i%2 == 0 {
		from = netip.MustParseAddr(lab.ClientAddr4(r.IntN(lab.ClientAddrs)))
	}
	// Not the ports of the clients' own connections.
	t := layers.TCP{SrcPort: layers.TCPPort(r.IntN(9000) + 1), Seq: r.Uint32(), Ack: r.Uint32(), Window: uint16(r.Uint32())}
	flags := r.Uint32()
	t.FIN, t.SYN, t.RST, t.PSH, t.ACK, t.URG = flags&1 > 0, flags&2 > 0, flags&4 > 0, flags&8 > 0, flags&16 > 0, flags&32 > 0
	packet := tcp(from, t, randomBytes(i, r.IntN(1400)))
	switch i % 4 {
	case 0: // a data offset of its own
		packet[20+12] = byte(r.Uint32())
	case 1: // options of their own
		packet = tcp(from, t, randomBytes(i, 40+r.IntN(100)))
		packet[20+12] = 0xf0
	case 2: // ends early
		packet = packet[:20+r.IntN(len(packet)-20)]
	}
	return [][]byte{packet}
}

// contradiction is a connection whose segments overlap and disagree, and which
// ends twice.
func contradiction(r *rand.Rand, i int) (packets [][]byte) {
	from, seq := unknownClient(r), r.Uint32()
	t := layers.TCP{SrcPort: layers.TCPPort(r.IntN(64000) + 1024)}
	add := func(at uint32, length int, change func(*layers.TCP)) {
		s := t
		s.Seq, s.Ack, s.ACK = seq+at, 1+at/700, true
		change(&s)
		packets = append(packets, tcp(from, s, randomBytes(r.IntN(1<<16), length)))
	}
	add(0, 0, func(t *layers.TCP) { t.SYN, t.ACK, t.Ack = true, false, 0 })
	add(1, 0, func(*layers.TCP) {})
	for range 8 {
		add(uint32(r.IntN(3000)), r.IntN(1400), func(t *layers.TCP) { t.PSH = true })
	}
	add(2500, 100, func(t *layers.TCP) { t.FIN = true })
	add(1, 1000, func(t *layers.TCP) { t.PSH = true })
	add(100, 10, func(t *layers.TCP) { t.FIN = true })
	if i%2 == 0 {
		add(50, 0, func(t *layers.TCP) { t.RST = true })
	}
	return packets
}

// unknownClient is an address that nobody has.
func unknownClient(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 9, byte(r.Uint32()), byte(r.IntN(254) + 1)})
}

// tcp is a packet to production's web server.
func tcp(from netip.Addr, t layers.TCP, payload []byte) []byte {
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.AsSlice(), DstIP: net.ParseIP(lab.OnlineAddr4).To4()}
	t.DstPort = 80
	t.SetNetworkLayerForChecksum(&ip)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, &ip, &t, gopacket.Payload(payload)); err != nil {
		panic(err) // of the test's own making
	}
	return b.Bytes()
}
