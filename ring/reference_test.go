package ring

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/gopacket/gopacket/afpacket"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// reference opens gopacket's reader on vb.
func (h host) reference(version any, size, blocks int, wait time.Duration) *afpacket.TPacket {
	h.t.Helper()
	var r *afpacket.TPacket
	h.in(func() {
		var err error
		r, err = afpacket.NewTPacket(afpacket.OptInterface("vb"), version, afpacket.OptFrameSize(2048),
			afpacket.OptBlockSize(size), afpacket.OptNumBlocks(blocks),
			afpacket.OptBlockTimeout(time.Millisecond), afpacket.OptPollTimeout(wait))
		must(h.t, err)
	})
	h.t.Cleanup(r.Close)
	return r
}

func TestSameFramesAsGopacket(t *testing.T) {
	for name, version := range map[string]any{"V2": afpacket.TPacketVersion2, "V3": afpacket.TPacketVersion3} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c := versions[name]
			own, other := p.b.open(c), p.b.reference(version, 1<<14, 1000, 50*time.Millisecond)
			w := p.a.wire("va")
			const n = 100
			for i := range n {
				src, dst := a4, b4
				if i%2 == 1 {
					src, dst = a6, b6
				}
				w.send(tcp(port(src, uint16(i)), port(dst, 80), randomBytes(i*9)))
			}
			var theirs [][]byte
			for len(theirs) < n {
				data, _, err := other.ReadPacketData()
				if errors.Is(err, afpacket.ErrTimeout) {
					break
				}
				must(t, err)
				if isOurs(data[linkLen:]) {
					theirs = append(theirs, data[linkLen:])
				}
			}
			var ours [][]byte
			eventually(t, func() bool {
				for f := (Frame{}); own.Next(&f); {
					if isOurs(f.Data) {
						ours = append(ours, bytes.Clone(f.Data))
					}
				}
				return len(ours) >= n
			})
			if len(ours) != n || len(theirs) != n {
				t.Fatalf("%d frames, gopacket has %d, %d were sent", len(ours), len(theirs), n)
			}
			for i := range ours {
				if !bytes.Equal(ours[i], theirs[i]) {
					t.Fatalf("frame %d:\n%x, of gopacket\n%x", i, ours[i], theirs[i])
				}
			}
		})
	}
}

// isOurs tells a packet of tcp from what the kernels say to each other.
func isOurs(b []byte) bool {
	var s packet.Segment
	return packet.Decode(b, len(b), &s) == packet.WellFormed && s.Dst.Port == 80
}

// BenchmarkReader reads full rings; ns/op is per frame, of user time alone.
func BenchmarkReader(b *testing.B) {
	const batch = 4096
	for _, size := range []int{64, 1500} {
		data := tcp(port(a4, 1), port(b4, 80), make([]byte, size-linkLen-40))
		run := func(name string, open func(host) func() int) {
			b.Run(name, func(b *testing.B) {
				p := newPair(b)
				read := open(p.b)
				p.b.down("lo")
				w := p.a.wire("va")
				frame := ethernet(data)
				read()
				b.ReportAllocs()
				b.ResetTimer()
				for done := 0; done < b.N; {
					b.StopTimer()
					for range batch {
						_, _ = unix.Write(w.fd, frame)
					}
					time.Sleep(3 * time.Millisecond) // the last block retires
					b.StartTimer()
					done += read()
				}
			})
		}
		suffix := "/64"
		if size == 1500 {
			suffix = "/1500"
		}
		run("own"+suffix, func(h host) func() int {
			r := h.open(Config{Interface: "vb"})
			return func() (n int) {
				for f := (Frame{}); r.Next(&f); n++ {
					sink += int(f.Data[0])
				}
				return n
			}
		})
		run("gopacket"+suffix, func(h host) func() int {
			r := h.reference(afpacket.TPacketVersion3, DefaultBlockSize, DefaultBlocks, time.Microsecond)
			return func() (n int) {
				for ; ; n++ {
					data, _, err := r.ZeroCopyReadPacketData()
					if err != nil {
						return n
					}
					sink += int(data[0])
				}
			}
		})
	}
}

var sink int
