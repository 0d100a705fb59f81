package ring

import (
	"bytes"
	"encoding/binary"
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

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// host is a network namespace of its own, with netlink into it.
type host struct {
	t  testing.TB
	ns netns.NsHandle
	nl *netlink.Handle
}

// pair is two hosts and the veth pair between them:
//
//	a: va 10.9.0.1/24 fd00:9::1/64 ── vb 10.9.0.2/24 fd00:9::2/64 :b
type pair struct{ a, b host }

var (
	a4, b4 = netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2")
	a6, b6 = netip.MustParseAddr("fd00:9::1"), netip.MustParseAddr("fd00:9::2")
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if testing.Short() {
		t.Skip("needs root to make network namespaces")
	}
	t.Fatal("needs root to make network namespaces; -short leaves these tests out")
}

func newHost(t testing.TB) host {
	t.Helper()
	needRoot(t)
	h := host{t: t}
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		var err error
		h.ns, err = netns.New()
		done <- err
	}()
	must(t, <-done)
	t.Cleanup(func() { _ = h.ns.Close() })
	var err error
	h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(h.nl.Close)
	h.in(func() {
		// An address that is still being checked (DAD) asks for nobody's.
		for _, c := range []string{"all", "default"} {
			must(t, os.WriteFile("/proc/sys/net/ipv6/conf/"+c+"/accept_dad", []byte("0"), 0))
		}
	})
	h.up("lo")
	return h
}

func newPair(t testing.TB) pair {
	t.Helper()
	p := pair{newHost(t), newHost(t)}
	p.connect()
	return p
}

func (p pair) connect() {
	t := p.a.t
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "va"
	must(t, p.a.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "vb", PeerNamespace: netlink.NsFd(p.b.ns)}))
	p.a.addr("va", "10.9.0.1/24")
	p.a.addr("va", "fd00:9::1/64")
	p.b.addr("vb", "10.9.0.2/24")
	p.b.addr("vb", "fd00:9::2/64")
	p.a.up("va")
	p.b.up("vb")
	// Neighbours are asked from the link-local address, which comes after the
	// carrier.
	eventually(t, func() bool { return p.a.linkLocal("va") && p.b.linkLocal("vb") })
}

// linkLocal reports whether an interface has its IPv6 link-local address.
func (h host) linkLocal(name string) bool {
	h.t.Helper()
	list, err := h.nl.AddrList(h.link(name), netlink.FAMILY_V6)
	must(h.t, err)
	for _, a := range list {
		if a.IP.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// in runs f on a thread in h. f may use t.Fatal.
func (h host) in(f func()) {
	h.t.Helper()
	done := make(chan struct{})
	finished := false
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := netns.Set(h.ns); err != nil {
			h.t.Error(err)
			return
		}
		f()
		finished = true
	}()
	<-done
	if !finished {
		h.t.FailNow()
	}
}

func (h host) link(name string) netlink.Link {
	h.t.Helper()
	l, err := h.nl.LinkByName(name)
	must(h.t, err)
	return l
}

func (h host) up(name string) {
	h.t.Helper()
	must(h.t, h.nl.LinkSetUp(h.link(name)))
}

func (h host) down(name string) {
	h.t.Helper()
	must(h.t, h.nl.LinkSetDown(h.link(name)))
}

func (h host) addr(name, prefix string) {
	h.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	must(h.t, err)
	a.Flags = unix.IFA_F_NODAD
	must(h.t, h.nl.AddrAdd(h.link(name), a))
}

func (h host) route(prefix, gateway string) *netlink.Route {
	h.t.Helper()
	_, dst, err := net.ParseCIDR(prefix)
	must(h.t, err)
	r := &netlink.Route{Dst: dst, Gw: net.ParseIP(gateway)}
	must(h.t, h.nl.RouteAdd(r))
	return r
}

// open opens a ring in h that the test closes.
func (h host) open(c Config) *Ring {
	h.t.Helper()
	var r *Ring
	h.in(func() {
		var err error
		r, err = Open(c)
		must(h.t, err)
	})
	h.t.Cleanup(func() { _ = r.Close() })
	return r
}

// wire opens a socket in h that puts frames on an interface.
func (h host) wire(name string) wire {
	h.t.Helper()
	w := wire{t: h.t}
	h.in(func() {
		var err error
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		must(h.t, err)
		must(h.t, unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: h.link(name).Attrs().Index}))
	})
	h.t.Cleanup(func() { _ = unix.Close(w.fd) })
	return w
}

type wire struct {
	t  testing.TB
	fd int
}

// send sends an IP packet to everybody on the wire.
func (w wire) send(ip []byte) {
	w.t.Helper()
	_, err := unix.Write(w.fd, ethernet(ip))
	must(w.t, err)
}

func ethernet(ip []byte) []byte {
	f := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 9, 8, 0)
	if ip[0]>>4 == 6 {
		binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IPV6)
	}
	return append(f, ip...)
}

// tcp is a whole TCP packet.
func tcp(src, dst netip.AddrPort, payload []byte) []byte {
	var b [packet.MaxHeader]byte
	n := packet.Build(b[:], &packet.Header{Src: packet.EndpointFrom(src), Dst: packet.EndpointFrom(dst), Flags: packet.ACK}, len(payload))
	return append(b[:n:n], payload...)
}

// ether sets an offload of an interface of the calling thread's namespace.
// Commands: include/uapi/linux/ethtool.h.
func (h host) offload(name string, command, value uint32) {
	h.t.Helper()
	h.in(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		must(h.t, err)
		defer func() { _ = unix.Close(fd) }()
		v := [2]uint32{command, value}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}{data: unsafe.Pointer(&v)}
		copy(request.name[:], name)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
		if errno != 0 {
			h.t.Fatal(errno)
		}
	})
}

// collect returns copies of n frames of r, or fails.
func collect(t testing.TB, r *Ring, n int) []Frame {
	t.Helper()
	var list []Frame
	eventually(t, func() bool {
		var f Frame
		for r.Next(&f) {
			c := f
			c.Data = bytes.Clone(f.Data)
			list = append(list, c)
		}
		return len(list) >= n
	})
	if len(list) != n {
		t.Fatalf("%d frames, want %d", len(list), n)
	}
	return list
}

// eventually waits until f is true.
func eventually(t testing.TB, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
