package ring

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var versions = map[string]Config{
	"V2": {Interface: "vb", Version: V2, BlockSize: 1 << 16, Blocks: 8, FrameSize: 2048},
	// Many blocks: a slow sender fills one each millisecond.
	"V3": {Interface: "vb", BlockSize: 1 << 14, Blocks: 1000},
}

// onlyTCP keeps what the kernels say to each other out of the tests.
var onlyTCP = assemble([]bpf.Instruction{
	bpf.LoadAbsolute{Off: 0xfff00000, Size: 1}, // SKF_NET_OFF
	bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 2},
	bpf.LoadAbsolute{Off: 0xfff00009, Size: 1},
	bpf.Jump{Skip: 1},
	bpf.LoadAbsolute{Off: 0xfff00006, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipFalse: 1},
	bpf.RetConstant{Val: 1 << 18},
	bpf.RetConstant{Val: 0},
})

func port(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }

func TestFramesOfBothFamiliesAreCaptured(t *testing.T) {
	for name, c := range versions {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c.Filter = onlyTCP
			r := p.b.open(c)
			before := time.Now()
			w := p.a.wire("va")
			sent := [][]byte{
				tcp(port(a4, 1000), port(b4, 80), []byte("hello")),
				tcp(port(a6, 1000), port(b6, 80), bytes.Repeat([]byte("x"), 1400)),
				tcp(port(a4, 1001), port(b4, 80), nil),
			}
			for _, b := range sent {
				w.send(b)
			}
			got := collect(t, r, 3)
			for i, f := range got {
				want := uint16(unix.ETH_P_IP)
				if i == 1 {
					want = unix.ETH_P_IPV6
				}
				if !bytes.Equal(f.Data, sent[i]) || f.Wire != len(sent[i]) || f.Protocol != want ||
					f.Type != unix.PACKET_BROADCAST || f.Ifindex != p.b.link("vb").Attrs().Index {
					t.Errorf("frame %d: %+v", i, f)
				}
				if at := time.Unix(0, f.Time); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
					t.Errorf("frame %d is of %v", i, at)
				}
			}
			s, err := r.Stats()
			if err != nil || s != (Stats{Packets: 3}) {
				t.Errorf("stats %+v, %v", s, err)
			}
		})
	}
}

func TestAllInterfacesAreCaptured(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Filter: onlyTCP})
	p.a.wire("va").send(tcp(port(a4, 1), port(b4, 2), nil))
	loop := tcp(port(b4, 3), port(b4, 4), nil)
	p.b.wire("lo").send(loop)
	got := collect(t, r, 2)
	if got[0].Ifindex == got[1].Ifindex || !bytes.Equal(got[1].Data, loop) {
		t.Errorf("%+v", got)
	}
}

func TestOutgoingPacketsAreNotCaptured(t *testing.T) {
	for name, c := range versions {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c.Filter = onlyTCP
			r := p.b.open(c)
			var group []*Ring
			p.b.in(func() {
				var err error
				group, err = OpenGroup(c, 1, nil)
				must(t, err)
			})
			defer group[0].Close()
			for range 5 {
				p.b.wire("vb").send(tcp(port(b4, 80), port(a4, 1000), nil))
			}
			p.a.wire("va").send(tcp(port(a4, 1000), port(b4, 80), nil))
			for _, r := range []*Ring{r, group[0]} {
				collect(t, r, 1)
				if s, err := r.Stats(); err != nil || s.Packets != 1 || s.Outgoing != 0 {
					t.Errorf("%+v, %v", s, err)
				}
			}
		})
	}
}

func TestFilterCutsHeadersForV2(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Interface: "vb", Version: V2, Filter: assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 1},
		bpf.RetConstant{Val: 128},
		bpf.RetConstant{Val: 0},
	})})
	b := tcp(port(a4, 1000), port(b4, 80), bytes.Repeat([]byte("y"), 1300))
	w := p.a.wire("va")
	w.send(tcp(port(a6, 1000), port(b6, 80), nil))
	w.send(b)
	f := collect(t, r, 1)[0]
	if f.Wire != len(b) || !bytes.Equal(f.Data, b[:128-linkLen]) {
		t.Errorf("%d bytes of %d", len(f.Data), f.Wire)
	}
}

func TestAFilterIsReplacedWithoutALoss(t *testing.T) {
	p := newPair(t)
	only := func(port uint32) []bpf.RawInstruction { // TCP over IPv4 to 80, or to another port too
		return assemble([]bpf.Instruction{
			bpf.LoadAbsolute{Off: 12, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 5},
			bpf.LoadMemShift{Off: linkLen},
			bpf.LoadIndirect{Off: linkLen + 2, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 80, SkipTrue: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: port, SkipFalse: 1},
			bpf.RetConstant{Val: 1 << 18},
			bpf.RetConstant{Val: 0},
		})
	}
	r := p.b.open(Config{Interface: "vb", Filter: only(80)})
	w := p.a.wire("va")
	other := tcp(port(a4, 1000), port(b4, 81), nil)
	w.send(other) // not captured
	const n = 2000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		frame := tcp(port(a4, 1000), port(b4, 80), nil)
		for range n {
			w.send(frame)
		}
	}()
	swaps := 0
	for done := false; !done; swaps++ {
		must(t, r.SetFilter(only([]uint32{80, 82}[swaps%2])))
		select {
		case <-sent:
			done = true
		default:
		}
	}
	must(t, r.SetFilter(only(81)))
	w.send(other)
	if got := collect(t, r, n+1); !bytes.Equal(got[n].Data, other) {
		t.Errorf("the last of %d frames is %x, not what only the last filter lets in", n, got[n].Data)
	}
	t.Logf("%d filters", swaps)
	must(t, r.Close())
	if err := r.SetFilter(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("on a closed ring: %v", err)
	}
}

func TestFramesLongerThanASlotAreCut(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Interface: "vb", Version: V2, FrameSize: 256, Filter: onlyTCP})
	b := tcp(port(a4, 1000), port(b4, 80), bytes.Repeat([]byte("y"), 1300))
	w := p.a.wire("va")
	for range 3 {
		w.send(b)
	}
	for _, f := range collect(t, r, 3) {
		if f.Wire != len(b) || len(f.Data) < 120 || !bytes.HasPrefix(b, f.Data) {
			t.Errorf("%d bytes of %d", len(f.Data), f.Wire)
		}
	}
}

func TestSuperPacketsAreWhole(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	var listener net.Listener
	p.b.in(func() {
		var err error
		listener, err = net.Listen("tcp", port(b4, 8080).String())
		must(t, err)
	})
	defer listener.Close()
	const total = 4 << 20
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 1<<20)
		for err == nil {
			_, err = c.Read(b)
		}
	}()
	p.a.in(func() {
		c, err := net.Dial("tcp", port(b4, 8080).String())
		must(t, err)
		_, err = c.Write(make([]byte, total))
		must(t, err)
		must(t, c.Close())
	})
	longest, bytes := 0, 0
	eventually(t, func() bool {
		var f Frame
		for r.Next(&f) {
			if len(f.Data) != f.Wire {
				t.Fatalf("%d of %d bytes", len(f.Data), f.Wire)
			}
			longest = max(longest, f.Wire)
			bytes += f.Wire
		}
		return bytes > total
	})
	if longest < 10000 {
		t.Errorf("the longest frame has %d bytes: no super-packets", longest)
	}
}

func TestStatsCountWhatFindsTheRingFull(t *testing.T) {
	for name, c := range versions {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c.Filter = onlyTCP
			c.BlockSize, c.Blocks = 1<<14, 2
			r := p.b.open(c)
			w := p.a.wire("va")
			b := tcp(port(a4, 1000), port(b4, 80), bytes.Repeat([]byte("y"), 1000))
			const sent = 200
			for range sent {
				w.send(b)
			}
			got := 0
			var s Stats
			eventually(t, func() bool {
				var f Frame
				for r.Next(&f) {
					got++
				}
				var err error
				s, err = r.Stats()
				must(t, err)
				return s.Packets == sent && got+int(s.Drops) == sent
			})
			if s.Drops == 0 || got == 0 || c.Version == V3 && s.Freezes == 0 {
				t.Errorf("%d frames, %+v", got, s)
			}
			// It goes on where there is room again.
			w.send(b)
			collect(t, r, 1)
			must(t, r.Close())
			if s, err := r.Stats(); !errors.Is(err, net.ErrClosed) || s.Packets != sent+1 {
				t.Errorf("after Close: %+v, %v", s, err)
			}
		})
	}
}

func TestCaptureResumesWhenTheInterfaceComesUpAgain(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	poller, err := NewPoller(r)
	must(t, err)
	defer poller.Close()
	drain := func() (n int) {
		for f := (Frame{}); r.Next(&f); {
			n++
		}
		return n
	}
	w := p.a.wire("va")
	for i := range 3 {
		p.b.down("vb")
		eventually(t, func() bool {
			drain()
			must(t, poller.Wait(time.Millisecond, nil))
			s, err := r.Stats()
			must(t, err)
			return s.Downs == uint64(i+1)
		})
		// Down, it sleeps; a late notice is allowed, spinning is not.
		eventually(t, func() bool {
			drain()
			start := time.Now()
			must(t, poller.Wait(20*time.Millisecond, nil))
			return time.Since(start) >= 20*time.Millisecond
		})
		p.b.up("vb")
		eventually(t, func() bool {
			// It fails while the peer is not running yet.
			_, _ = unix.Write(w.fd, ethernet(tcp(port(a4, 1), port(b4, 2), nil)))
			return drain() > 0
		})
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func TestDeletedInterfaceIsAnErrorOnce(t *testing.T) {
	p := newPair(t)
	gone := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	all := p.b.open(Config{Filter: onlyTCP})
	poller, err := NewPoller(gone, all)
	must(t, err)
	defer poller.Close()
	must(t, p.b.nl.LinkDel(p.b.link("vb")))
	eventually(t, func() bool {
		err = poller.Wait(time.Millisecond, nil)
		return err != nil
	})
	if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "vb") {
		t.Error(err)
	}
	if err := poller.Wait(time.Millisecond, nil); err != nil {
		t.Error("again:", err)
	}
	if err := gone.Err(); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	p.connect()
	p.a.wire("va").send(tcp(port(a4, 1), port(b4, 2), nil))
	collect(t, all, 1)
	if err := all.Err(); err != nil {
		t.Error(err)
	}
}

func TestRingOfAnInterfaceThatIsDownBeginsWhenItComesUp(t *testing.T) {
	p := newPair(t)
	p.b.down("vb")
	r := p.b.open(Config{Interface: "vb", Filter: onlyTCP})
	p.b.up("vb")
	w := p.a.wire("va")
	eventually(t, func() bool {
		_, _ = unix.Write(w.fd, ethernet(tcp(port(a4, 1), port(b4, 2), nil)))
		var f Frame
		return r.Next(&f)
	})
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		Config
		want string
	}{
		{Config{Interface: "nosuch0"}, `no interface "nosuch0"`},
		{Config{Interface: "lo", BlockSize: 1000}, "block size 1000"},
		{Config{Interface: "lo", Blocks: 1}, "1 blocks"},
		{Config{Interface: "lo", Blocks: 1 << 20}, "4 GB"},
		{Config{Interface: "lo", Version: V2, FrameSize: 300}, "frame size 300"},
		{Config{Interface: "lo", Version: 9}, "version 9"},
		{Config{Interface: "lo", RetireTimeout: time.Microsecond}, "retire timeout"},
		{Config{Promiscuous: true}, "needs the name"},
		{Config{Interface: "lo", Blocks: 2, Filter: []bpf.RawInstruction{}}, "attach the filter"},
	} {
		r, err := Open(c.Config)
		if err == nil {
			_ = r.Close()
			t.Errorf("%+v is accepted", c.Config)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.Config, err, c.want)
		}
	}
	for _, n := range []int{0, 257} {
		if _, err := OpenGroup(Config{Interface: "lo"}, n, nil); err == nil {
			t.Errorf("a group of %d is accepted", n)
		}
	}
}

func TestMissingCapabilityIsNamed(t *testing.T) {
	h := newHost(t)
	h.in(func() {
		// Of this thread alone, which ends.
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		must(t, unix.Capset(&head, &none[0]))
		if _, err := Open(Config{Interface: "lo"}); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "cap_net_raw") {
			t.Error(err)
		}
		for _, mode := range []Mode{Link, Raw} {
			if _, err := NewTx(mode); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "cap_net_raw") {
				t.Error(err)
			}
		}
	})
}

func TestPromiscuousRingOpens(t *testing.T) {
	p := newPair(t)
	p.b.open(Config{Interface: "vb", Promiscuous: true})
	if p.b.link("vb").Attrs().Promisc == 0 {
		t.Error("the interface is not promiscuous")
	}
}

func TestClosedRingHasNoFrames(t *testing.T) {
	p := newPair(t)
	r := p.b.open(Config{Interface: "vb"})
	must(t, r.Close())
	must(t, r.Close())
	var f Frame
	if r.Next(&f) || r.Ready() {
		t.Error("it has")
	}
	if err := r.Err(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
