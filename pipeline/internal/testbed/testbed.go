// Package testbed is what tests of several rooms need: a network namespace with
// an interface, clients whose packets are as a ring hands them over, and frames
// that are sent as fast as the machine can.
package testbed

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Target is where the copies go.
var Target = netip.MustParseAddrPort("10.1.2.100:80")

// Conf is a configuration that copies port 80 to Target, from 10.1.3.x, by n
// workers.
func Conf(t testing.TB, n int) *conf.Tcpcopy {
	t.Helper()
	pool, err := conf.ParsePool([]string{"10.1.3.x"})
	Must(t, err)
	return &conf.Tcpcopy{
		Transfers: []conf.Transfer{{Online: netip.AddrPortFrom(netip.Addr{}, 80), Target: Target}},
		Clients:   pool, Percent: 100, Copies: 1, Workers: n, RingBytes: 1 << 20, SnapLen: 1 << 18,
		MaxSessions: 100_000, Memory: 1 << 30, SendMode: conf.SendLink,
		Intercepts: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, ConnsPerIntercept: 1,
	}
}

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Within fails the test unless ok comes true within d.
func Within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// InNamespace runs the test on a thread in a network namespace of its own, with
// what Connect makes. The thread, and so the namespace, ends with the test.
func InNamespace(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		if testing.Short() {
			t.Skip("namespaces need root")
		}
		t.Fatal("namespaces need root: run the tests as root, or with -short")
	}
	runtime.LockOSThread() // never unlocked
	ns, err := netns.New()
	Must(t, err)
	t.Cleanup(func() { ns.Close() })
	Connect(t)
}

// Connect makes a veth pair of which one end, eth0, has 10.1.2.1/24 and knows a
// MAC address for the target; its packets come from its peer.
func Connect(t testing.TB) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}
	Must(t, netlink.LinkAdd(veth))
	for _, name := range []string{"eth0", "peer", "lo"} {
		l, err := netlink.LinkByName(name)
		Must(t, err)
		Must(t, netlink.LinkSetUp(l))
	}
	l, err := netlink.LinkByName("eth0")
	Must(t, err)
	Must(t, netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 1, 2, 1), Mask: net.CIDRMask(24, 32)}}))
	AddNeighbour(t, Target.Addr())
}

// AddNeighbour has eth0 know a MAC address for addr, so that nothing waits for
// an answer to ARP that does not come.
func AddNeighbour(t testing.TB, addr netip.Addr) {
	t.Helper()
	l, err := netlink.LinkByName("eth0")
	Must(t, err)
	Must(t, netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, IP: addr.AsSlice(),
		State: netlink.NUD_PERMANENT, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
	}))
}

// Client writes the packets of a client as a ring would hand them over.
type Client struct {
	Src, Dst packet.Endpoint
	Seq, Ack uint32

	buf   []byte
	frame ring.Frame
}

// NewClient makes a client of 192.0.2.7.
func NewClient(port uint16) *Client {
	return &Client{
		Src: packet.Endpoint{Addr: packet.Addr4([]byte{192, 0, 2, 7}), Port: port},
		Dst: packet.Endpoint{Addr: packet.Addr4([]byte{10, 9, 0, 10}), Port: 80},
		Seq: 1000, buf: make([]byte, 2048),
	}
}

// Frame is the client's next packet. It is valid until the one after it.
func (c *Client) Frame(flags packet.Flags, payload string) *ring.Frame {
	n := packet.Build(c.buf, &packet.Header{Src: c.Src, Dst: c.Dst, Seq: c.Seq, Ack: c.Ack, Flags: flags, Window: 1000}, len(payload))
	n += copy(c.buf[n:], payload)
	c.Seq += uint32(len(payload))
	if flags&(packet.SYN|packet.FIN) != 0 {
		c.Seq++
	}
	c.frame = ring.Frame{Data: c.buf[:n], Wire: n, Time: time.Now().UnixNano()}
	return &c.frame
}

// Frames is the argument of a sendmmsg(2) by a packet socket, made once.
type Frames struct {
	fd       int
	messages []struct {
		header unix.Msghdr
		sent   uint32
	}
}

// NewFrames sends data out at iface. Each begins with its Ethernet header.
func NewFrames(t testing.TB, iface string, data [][]byte) *Frames {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	Must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	i, err := net.InterfaceByName(iface)
	Must(t, err)
	Must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20))
	Must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index}))
	f := &Frames{fd: fd}
	f.messages = append(f.messages, make([]struct {
		header unix.Msghdr
		sent   uint32
	}, len(data))...)
	for i := range data {
		v := &unix.Iovec{Base: &data[i][0], Len: uint64(len(data[i]))}
		f.messages[i].header.Iov, f.messages[i].header.Iovlen = v, 1
	}
	return f
}

// Send sends them all, ring.BatchLen in a system call.
func (f *Frames) Send(t testing.TB) {
	for i := 0; i < len(f.messages); {
		n := min(ring.BatchLen, len(f.messages)-i)
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&f.messages[i])), uintptr(n), 0, 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		i += int(sent)
	}
}

// Ethernet is the header of IPv4 frames from the peer to eth0.
func Ethernet(t testing.TB) []byte {
	t.Helper()
	eth0, err := net.InterfaceByName("eth0")
	Must(t, err)
	return append(append(append([]byte{}, eth0.HardwareAddr...), 2, 0, 0, 0, 0, 2), 8, 0)
}
