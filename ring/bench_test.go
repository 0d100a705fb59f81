package ring

import (
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// BenchmarkSend sends segments of 1448 bytes into a veth whose other end drops
// them; ns/op is per segment.
func BenchmarkSend(b *testing.B) {
	const mss = 1448
	nobody := netip.MustParseAddr("10.9.0.9")
	h := packet.Header{Src: packet.EndpointFrom(port(a4, 999)), Dst: packet.EndpointFrom(port(nobody, 80)), Flags: packet.ACK}
	p := newPair(b)
	p.a.neighbour("va", nobody, net.HardwareAddr{2, 0, 0, 0, 0, 9}, unix.NUD_PERMANENT)
	var hop *Hop
	p.a.in(func() {
		var err error
		hop, err = StaticHop("va", nil, net.HardwareAddr{2, 0, 0, 0, 0, 9})
		must(b, err)
	})

	b.Run("sendto", func(b *testing.B) { // as C tcpcopy
		fd := p.a.newTx(Raw).v4.fd
		packet := tcp(h.Src.AddrPort(), h.Dst.AddrPort(), make([]byte, mss))
		to := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: nobody.As4()}
		for b.Loop() {
			_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)), 0, uintptr(unsafe.Pointer(&to)), unix.SizeofSockaddrInet4)
			if errno != 0 {
				b.Fatal(errno)
			}
		}
	})
	for _, c := range []struct {
		name     string
		mode     Mode
		segments int
	}{{"Raw", Raw, 1}, {"Raw segmenting", Raw, 40}, {"Link", Link, 1}, {"Link segmenting", Link, 40}} {
		b.Run(c.name, func(b *testing.B) {
			tx := p.a.newTx(c.mode)
			data := make([]byte, mss*c.segments)
			for i := 0; i < b.N; i += c.segments {
				head := tx.Begin()
				n := tx.Payload(data)
				tx.Commit(packet.Build(head, &h, n), mss, hop)
			}
			tx.Flush()
			if s := tx.Stats(); len(s.Errors) > 0 {
				b.Fatalf("%+v", s)
			}
		})
	}
}

func BenchmarkChecksum(b *testing.B) {
	data := randomBytes(1500)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var c checksum
		c.add(data)
		sink += int(c.value())
	}
}
