package ring

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// group opens n rings that the test closes.
func (h host) group(c Config, n int, program []bpf.RawInstruction) []*Ring {
	h.t.Helper()
	var rings []*Ring
	h.in(func() {
		var err error
		rings, err = OpenGroup(c, n, program)
		must(h.t, err)
	})
	h.t.Cleanup(func() {
		for _, r := range rings {
			_ = r.Close()
		}
	})
	return rings
}

// owner is where packet.Shard sends a packet.
func owner(b []byte, n int) int {
	var s packet.Segment
	if packet.Decode(b, len(b), &s) != packet.WellFormed {
		return 0
	}
	return packet.Shard(s.Src.Port, n)
}

func TestShardProgramIsPacketShard(t *testing.T) {
	for n := 1; n <= 9; n++ {
		vm := machine(t, ShardProgram(n))
		for p := range 1 << 16 {
			b := tcp(port(a4, uint16(p)), port(b4, 80), nil)
			if p%2 == 1 {
				b = tcp(port(a6, uint16(p)), port(b6, 80), nil)
			}
			got, err := vm.Run(b)
			must(t, err)
			if got != packet.Shard(uint16(p), n) {
				t.Fatalf("port %d of %d: %d, want %d", p, n, got, packet.Shard(uint16(p), n))
			}
		}
	}
}

func TestShardProgramGivesTheRestToTheFirst(t *testing.T) {
	v4 := tcp(port(a4, 4242), port(b4, 80), nil)
	v6 := tcp(port(a6, 4242), port(b6, 80), nil)
	with := func(b []byte, at int, v byte) []byte {
		c := append([]byte(nil), b...)
		c[at] = v
		return c
	}
	vm := machine(t, ShardProgram(4))
	if owner(v4, 4) == 0 {
		t.Fatal("choose another port")
	}
	for name, b := range map[string][]byte{
		"UDP":            with(v4, 9, 17),
		"UDP of IPv6":    with(v6, 6, 17),
		"more fragments": with(v4, 6, 0x20),
		"a fragment":     with(v4, 7, 1),
		"version 5":      with(v4, 0, 0x55),
		"one byte":       v4[:1],
		"no port":        v4[:20],
	} {
		got, err := vm.Run(b)
		must(t, err)
		if got != 0 {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func machine(t *testing.T, program []bpf.RawInstruction) *bpf.VM {
	t.Helper()
	list := make([]bpf.Instruction, len(program))
	for i, raw := range program {
		list[i] = raw.Disassemble()
	}
	vm, err := bpf.NewVM(list)
	must(t, err)
	return vm
}

// options puts four bytes of IPv4 options, end of list, into b.
func options(b []byte) []byte {
	c := append([]byte(nil), b[:20]...)
	c = append(c, 0, 0, 0, 0)
	c = append(c, b[20:]...)
	c[0]++
	c[3] += 4
	c[10], c[11] = 0, 0
	var sum checksum
	sum.add(c[:24])
	v := sum.value()
	c[10], c[11] = byte(v>>8), byte(v)
	return c
}

func TestGroupSpreadsPacketsAsPacketShard(t *testing.T) {
	p := newPair(t)
	w := p.a.wire("va")
	random := rand.New(rand.NewPCG(1, 2))
	send := func() [][]byte {
		var sent [][]byte
		for i := range 120 {
			src, dst := a4, b4
			if i%3 == 1 {
				src, dst = a6, b6
			}
			b := tcp(port(src, uint16(random.Uint32())), port(dst, 80), nil)
			if i%3 == 2 {
				b = options(b)
			}
			w.send(b)
			sent = append(sent, b)
		}
		return sent
	}
	check := func(t *testing.T, rings []*Ring, sent [][]byte) {
		t.Helper()
		want := make([]int, len(rings))
		for _, b := range sent {
			want[owner(b, len(rings))]++
		}
		for i, r := range rings {
			for _, f := range collect(t, r, want[i]) {
				if at := owner(f.Data, len(rings)); at != i {
					t.Errorf("a packet of shard %d is in ring %d", at, i)
				}
			}
		}
	}
	for n := 1; n <= 4; n++ {
		for name, c := range versions {
			c.Filter = onlyTCP
			rings := p.b.group(c, n, ShardProgram(n))
			check(t, rings, send())
			if n < 4 {
				continue
			}
			t.Run(name+" after the interface was down", func(t *testing.T) {
				p.b.down("vb")
				p.b.up("vb")
				eventually(t, func() bool { return p.a.link("va").Attrs().OperState.String() == "up" })
				check(t, rings, send())
			})
		}
	}
}

func TestGroupOnAllInterfacesSpreadsPackets(t *testing.T) {
	p := newPair(t)
	rings := p.b.group(Config{Filter: onlyTCP}, 2, ShardProgram(2))
	outside, loop := p.a.wire("va"), p.b.wire("lo")
	want := make([]int, 2)
	for i := range 50 {
		b := tcp(port(b4, uint16(i)), port(b4, 80), nil)
		want[owner(b, 2)] += 2
		outside.send(b)
		loop.send(b)
	}
	for i, r := range rings {
		collect(t, r, want[i])
	}
}

func TestGroupWithoutProgramKeepsFlowsTogether(t *testing.T) {
	p := newPair(t)
	rings := p.b.group(Config{Interface: "vb", Filter: onlyTCP}, 2, nil)
	w := p.a.wire("va")
	const flows, each = 20, 5
	for i := range flows * each {
		w.send(tcp(port(a4, uint16(1000+i%flows)), port(b4, 80), nil))
	}
	where := map[netip.AddrPort]int{}
	got := 0
	eventually(t, func() bool {
		for i, r := range rings {
			for f := (Frame{}); r.Next(&f); got++ {
				var s packet.Segment
				if packet.Decode(f.Data, f.Wire, &s) != packet.WellFormed {
					t.Fatal("malformed")
				}
				if at, ok := where[s.Src.AddrPort()]; ok && at != i {
					t.Fatal("a flow is in two rings")
				}
				where[s.Src.AddrPort()] = i
			}
		}
		return got == flows*each
	})
}

func TestGroupPutsFragmentsTogether(t *testing.T) {
	p := newPair(t)
	rings := p.b.group(Config{Interface: "vb", Filter: onlyTCP}, 4, ShardProgram(4))
	b := tcp(port(a4, 4242), port(b4, 80), make([]byte, 1000))
	w := p.a.wire("va")
	for _, f := range fragments(b, 512) {
		w.send(f)
	}
	f := collect(t, rings[owner(b, 4)], 1)[0]
	if f.Wire != len(b) || len(f.Data) != len(b) {
		t.Errorf("%d of %d bytes", len(f.Data), f.Wire)
	}
}

// fragments cuts an IPv4 packet at each multiple of n bytes.
func fragments(b []byte, n int) (list [][]byte) {
	for off := 0; off < len(b)-20; off += n {
		end := min(off+n, len(b)-20)
		f := append([]byte(nil), b[:20]...)
		f = append(f, b[20+off:20+end]...)
		f[2], f[3] = byte(len(f)>>8), byte(len(f))
		f[6], f[7] = byte(off>>11), byte(off>>3)
		if end < len(b)-20 {
			f[6] |= 0x20
		}
		f[10], f[11] = 0, 0
		var sum checksum
		sum.add(f[:20])
		v := sum.value()
		f[10], f[11] = byte(v>>8), byte(v)
		list = append(list, f)
	}
	return list
}

func TestGroupsDoNotMeet(t *testing.T) {
	p := newPair(t)
	c := Config{Interface: "vb", Filter: onlyTCP}
	one, two := p.b.group(c, 1, nil)[0], p.b.group(c, 1, ShardProgram(1))[0]
	p.a.wire("va").send(tcp(port(a4, 1), port(b4, 2), nil))
	collect(t, one, 1)
	collect(t, two, 1)
	if _, err := unix.GetsockoptInt(one.FD(), unix.SOL_PACKET, unix.PACKET_FANOUT); err != nil {
		t.Error(err)
	}
}
