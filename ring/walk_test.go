package ring

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzWalk gives the walker memory that no kernel wrote. It must end, and every
// frame must lie in its slot.
func FuzzWalk(f *testing.F) {
	const size, slots = 4096, 2
	for _, v := range []uint8{uint8(V2), uint8(V3)} {
		f.Add(v, []byte{})
		f.Add(v, []byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	}
	block := make([]byte, size)
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(block[at:], v) }
	put(8, unix.TP_STATUS_USER)
	put(12, 2)
	put(16, 48)
	for _, next := range []uint32{0, 1, 200, 4000, 1<<32 - 1} {
		put(48, next)
		put(48+12, 60)
		put(48+16, 60)
		put(48+24, 82|96<<16)
		f.Add(uint8(V3), block[:300])
	}
	f.Fuzz(func(t *testing.T, v uint8, b []byte) {
		mem := make([]byte, size*slots)
		copy(mem, b)
		r := &Ring{version: Version(v % 2)}
		r.walk = newWalk(r.version, mem, size, 256)
		var fr Frame
		for n := 0; ; n++ {
			ready := r.Ready()
			if !r.Next(&fr) {
				break
			}
			if !ready {
				t.Fatal("a frame that was not ready")
			}
			if n > len(mem) {
				t.Fatal("no end")
			}
			if len(fr.Data) > size || fr.Wire < len(fr.Data) {
				t.Fatalf("%d bytes of %d", len(fr.Data), fr.Wire)
			}
		}
		if r.Ready() {
			t.Fatal("it stopped before the end")
		}
	})
}

func TestNextDoesNotAllocate(t *testing.T) {
	for name, c := range versions {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c.Filter = onlyTCP
			r := p.b.open(c)
			w := p.a.wire("va")
			b := tcp(port(a4, 1), port(b4, 2), nil)
			got := 0
			allocs := testing.AllocsPerRun(50, func() {
				_, _ = unix.Write(w.fd, b)
				var f Frame
				for r.Next(&f) {
					got++
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}
