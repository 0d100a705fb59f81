package filter

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// inNamespace moves the test to a network namespace of its own, which goes
// with it.
func inNamespace(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a network namespace")
	}
	if os.Getuid() != 0 {
		t.Fatal("needs root for a network namespace: run as root, or with -short")
	}
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	own, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer old.Close()
		defer own.Close()
		if err := netns.Set(old); err != nil {
			t.Error(err) // the thread stays locked, and ends with the goroutine
			return
		}
		runtime.UnlockOSThread()
	})
}

func up(t *testing.T, name string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Index
}

// carrying waits until the interface has its queue: until then it drops.
func carrying(t *testing.T, name string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if link, err := netlink.LinkByName(name); err == nil && link.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	t.Fatalf("%s does not come up", name)
}

// listen opens a socket on the interface with program attached.
func listen(t *testing.T, index int, program []bpf.RawInstruction) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(program)))}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		t.Fatalf("the kernel refuses the program: %v", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		t.Fatal(err)
	}
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// sample is a packet with a name; mark, in its IPv4 type of service or IPv6
// traffic class, tells it from the namespace's own.
type sample struct {
	name string
	tag  uint16 // 0: none
	packet
}

const mark = 0xb4

func samples() []sample {
	web4, web6 := segment("10.1.4.7", "10.1.2.3", 4000, 80), segment("2001:db8::7", "2001:db8::3", 4000, 80)
	dns4, dns6 := segment("10.1.4.7", "10.1.2.3", 4000, 53), segment("2001:db8::7", "2001:db8::3", 4000, 53)
	dns4[9], dns6[6] = udp, udp
	options := append([]byte{0x46}, web4[1:20]...)
	options = append(append(options, 1, 1, 1, 0), web4[20:]...)
	var s []sample
	for _, p := range []struct {
		name string
		tag  uint16
		ip   []byte
	}{{"web4", 0, web4}, {"web6", 0, web6}, {"dns4", 0, dns4}, {"dns6", 0, dns6}, {"options", 0, options}, {"tagged4", 100, web4}, {"tagged6", 5<<13 | 200, web6}} {
		ip := slices.Clone(p.ip)
		if ip[0]>>4 == 4 {
			ip[1] = mark
		} else {
			ip[0], ip[1] = ip[0]|mark>>4, mark<<4&0xff
		}
		s = append(s, sample{p.name, p.tag, packet{version(ip), append(ip, make([]byte, 60)...)}})
	}
	return s
}

// frame is s as it is on the wire; the tag is still in it.
func (s sample) frame() []byte {
	b := s.ethernet()
	b[5], b[11] = 2, 1
	if s.tag != 0 {
		b = slices.Insert(b, 12, 0x81, 0, byte(s.tag>>8), byte(s.tag))
	}
	return b
}

// name finds which sample a packet is; empty: none.
func name(all []sample, tagged bool, ip []byte) string {
	for _, s := range all {
		n := min(len(ip), len(s.data))
		if (s.tag != 0) == tagged && n > 20 && string(ip[:n]) == string(s.data[:n]) {
			return s.name
		}
	}
	return ""
}

var kernelCases = []struct {
	text string
	want []string
}{
	{"", []string{"web4", "web6", "dns4", "dns6", "options", "tagged4", "tagged6"}},
	{"tcp dst port 80", []string{"web4", "web6", "options", "tagged4", "tagged6"}},
	{"udp", []string{"dns4", "dns6"}},
	{"not tcp", []string{"dns4", "dns6"}},
	{"ip6 and dst net 2001:db8::/64", []string{"web6", "dns6", "tagged6"}},
	{"vlan", []string{"tagged4", "tagged6"}},
	{"vlan 100 and tcp dst port 80", []string{"tagged4"}},
	{"vlan 200 and src host 2001:db8::7", []string{"tagged6"}},
	{"not vlan and tcp", []string{"web4", "web6", "options"}},
	{"tcp[tcpflags] & tcp-syn != 0 and ip[0] & 0xf > 5", []string{"options"}},
	{"tcp[((tcp[12] & 0xf0) >> 2) + ip[8] - 64] = 0 and tcp[0:2] > tcp[2:2]", []string{"web4", "options", "tagged4"}},
	{"less 114", []string{"web4", "dns4", "tagged4"}},
}

// received reads from fd as many frames of the samples as are wanted, and
// what there is besides.
func received(t *testing.T, fd, header, want int, all []sample, snap int) []string {
	t.Helper()
	var got []string
	b, oob := make([]byte, 2048), make([]byte, 256)
	for {
		flags := 0
		if len(got) >= want {
			flags = unix.MSG_DONTWAIT
		}
		n, noob, _, _, err := unix.Recvmsg(fd, b, oob, flags)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			slices.Sort(got)
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if s := name(all, tagged(t, oob[:noob]), b[header:n]); s != "" {
			got = append(got, s)
			if n > snap {
				t.Errorf("%s: %d bytes, beyond snap %d", s, n, snap)
			}
		}
	}
}

// tagged reads from the auxiliary data whether the kernel took a tag.
func tagged(t *testing.T, oob []byte) bool {
	t.Helper()
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA {
			return (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0])).Status&unix.TP_STATUS_VLAN_VALID != 0
		}
	}
	return false
}

func TestKernelAcceptsOnEthernetWhatMatchAccepts(t *testing.T) {
	inNamespace(t)
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "va"}, PeerName: "vb"}); err != nil {
		t.Fatal(err)
	}
	index, peer := up(t, "va"), up(t, "vb")
	carrying(t, "va")
	send := listen(t, index, []bpf.RawInstruction{ins(retK, 0)})
	all := samples()
	type filterCase struct {
		f    *Filter
		want []string
	}
	cases := []filterCase{{ // a numeric program between others
		And(And(compile(t, "tcp"), Not(compile(t, tcpdump(t, "src host 2001:db8::7")))), compile(t, "dst port 80")),
		[]string{"web4", "options", "tagged4"},
	}}
	for _, c := range kernelCases {
		cases = append(cases, filterCase{compile(t, c.text), c.want})
	}
	for _, c := range cases {
		const snap = 100
		f := c.f
		both, err := f.Kernel(snap)
		if err != nil {
			t.Fatal(err)
		}
		other := coder{snap: snap} // what Kernel makes for other link types works here, too
		other.layout(f.graph, netOffset)
		programs := map[string][]bpf.RawInstruction{"as made": both, "for other link types": other.program()}
		fds := map[string]int{}
		for kind, program := range programs {
			fds[kind] = listen(t, peer, program)
			if err := unix.SetsockoptInt(fds[kind], unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range all {
			if err := unix.Send(send, s.frame(), 0); err != nil {
				t.Fatal(err)
			}
			match := f.Match(s.data)
			if s.tag != 0 {
				match = f.MatchTagged(s.data, s.tag)
			}
			if match != slices.Contains(c.want, s.name) {
				t.Errorf("%q: Match(%s) is %v", f, s.name, match)
			}
		}
		want := slices.Sorted(slices.Values(c.want))
		for kind, fd := range fds {
			if got := received(t, fd, ethernetHeader, len(want), all, snap); !slices.Equal(got, want) {
				t.Errorf("%q, program %s: got %v, want %v", f, kind, got, want)
			}
		}
	}
}

func TestKernelWorksWithoutLinkHeader(t *testing.T) {
	inNamespace(t)
	tun, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no tun devices here: %v", err)
	}
	defer unix.Close(tun)
	request, err := unix.NewIfreq("tun0")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, request); err != nil {
		t.Fatal(err)
	}
	index := up(t, "tun0")
	all := samples()
	for _, c := range kernelCases {
		if c.text == "less 114" {
			continue // without 14 bytes of link header, lengths differ
		}
		program, err := compile(t, c.text).Kernel(100)
		if err != nil {
			t.Fatal(err)
		}
		fd := listen(t, index, program)
		var want []string
		for _, s := range all {
			if s.tag != 0 {
				continue
			}
			if _, err := unix.Write(tun, s.data); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(c.want, s.name) {
				want = append(want, s.name)
			}
		}
		slices.Sort(want)
		if got := received(t, fd, 0, len(want), all, 100); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", c.text, got, want)
		}
	}
}

// The payload of a local TCP sender is in pages, outside the linear part of
// the packet.
func TestKernelReadsPayloadOfLargeSegments(t *testing.T) {
	inNamespace(t)
	index := up(t, "lo")
	program, err := compile(t, "tcp dst port 8080 and tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420 and tcp[20000] = 0x78").Kernel(1 << 18)
	if err != nil {
		t.Fatal(err)
	}
	fd := listen(t, index, program)
	server, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	at := &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}}
	request := append([]byte("GET "), slices.Repeat([]byte("x"), 60000)...)
	for _, step := range []func() error{
		func() error { return unix.Bind(server, at) },
		func() error { return unix.Listen(server, 1) },
		func() error { return unix.Connect(client, at) },
		func() error { _, err := unix.Write(client, request); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 1<<17)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil || n < 20000 {
		t.Errorf("%d bytes, %v: want the segment with the request", n, err)
	}
}

func ExampleCompile() {
	f, err := Compile("tcp dst port 80 and not src net 10.1.3.0/24")
	fmt.Println(f, err)
	_, err = Compile("tcp dst port 80 and gateway 10.1.2.1")
	fmt.Println(err.Error()[:44])
	// Output:
	// tcp dst port 80 and not src net 10.1.3.0/24 <nil>
	// filter: column 21, "gateway": not supported;
}
