package capture

import (
	"bytes"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// network is a namespace of its own with an interface eth0, whose packets come
// from its peer.
type network struct {
	t  testing.TB
	ns netns.NsHandle
	nl *netlink.Handle
}

func newNetwork(t testing.TB) network {
	t.Helper()
	if os.Geteuid() != 0 {
		if testing.Short() {
			t.Skip("needs root to make network namespaces")
		}
		t.Fatal("needs root to make network namespaces; -short leaves these tests out")
	}
	n := network{t: t}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		n.ns, err = netns.New()
		made <- err
	}()
	must(t, <-made)
	t.Cleanup(func() { _ = n.ns.Close() })
	var err error
	n.nl, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(n.nl.Close)
	n.pair("eth0", "peer")
	return n
}

// in runs f on a thread in n. f may use t.Fatal.
func (n network) in(f func()) {
	n.t.Helper()
	ended := make(chan bool)
	go func() {
		finished := false
		defer func() { ended <- finished }()
		runtime.LockOSThread()
		if err := netns.Set(n.ns); err != nil {
			n.t.Error(err)
			return
		}
		f()
		finished = true
	}()
	if !<-ended {
		n.t.FailNow()
	}
}

// pair makes two interfaces of which each receives what the other sends.
func (n network) pair(name, peer string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(n.t, n.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}))
	n.up(name)
	n.up(peer)
}

// bridge makes a bridge that receives what peer sends.
func (n network) bridge(name, peer string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(n.t, n.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	n.pair("port", peer)
	must(n.t, n.nl.LinkSetMaster(n.link("port"), n.link(name)))
	n.up(name)
}

func (n network) link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.nl.LinkByName(name)
	must(n.t, err)
	return l
}

func (n network) up(name string) {
	n.t.Helper()
	must(n.t, n.nl.LinkSetUp(n.link(name)))
}

func (n network) delete(name string) {
	n.t.Helper()
	must(n.t, n.nl.LinkDel(n.link(name)))
}

// send has the peer send a packet from each port of from to to, to the port dst.
func (n network) send(from, to, dst uint16) {
	n.t.Helper()
	n.in(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		must(n.t, err)
		defer unix.Close(fd)
		must(n.t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: n.link("peer").Attrs().Index}))
		for port := from; port < to; port++ {
			head := make([]byte, packet.MaxHeader)
			size := packet.Build(head, &packet.Header{Src: endpoint("10.9.0.1", port), Dst: endpoint("10.9.0.2", dst), Flags: packet.ACK}, 0)
			frame := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 9, 8, 0)
			_, err := unix.Write(fd, append(frame, head[:size]...))
			must(n.t, err)
		}
	})
}

func endpoint(addr string, port uint16) packet.Endpoint {
	return packet.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr(addr), port))
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	testbed.Within(t, 20*time.Second, what, f)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
