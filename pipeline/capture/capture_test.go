package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

func TestMain(m *testing.M) {
	lookInterval = 20 * time.Millisecond
	os.Exit(m.Run())
}

// bench is a capture whose readers run, as a tool has one.
type bench struct {
	*Capture
	t    *testing.T
	log  *logBuffer
	seen []atomic.Int64 // frames, by reader
	end  func()         // the goroutines'
	once sync.Once
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// count is how often text was written.
func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func kernel(t testing.TB, expression string) []bpf.RawInstruction {
	t.Helper()
	f, err := filter.Compile(expression)
	must(t, err)
	program, err := f.Kernel(256)
	must(t, err)
	return program
}

// openBench opens a capture in n, whose goroutines begin with start.
func openBench(t *testing.T, n network, readers int, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, log: new(logBuffer), seen: make([]atomic.Int64, readers), end: func() {}}
	c := Config{
		Ring:    ring.Config{Interface: "eth0", Blocks: 4, Filter: kernel(t, "tcp")},
		Readers: readers,
		Name:    "capture",
		Log:     slog.New(slog.NewTextHandler(b.log, nil)),
	}
	if readers > 1 {
		c.Memory = 8 << 20
	}
	if change != nil {
		change(&c)
	}
	n.in(func() {
		var err error
		b.Capture, err = Open(c)
		must(t, err)
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) start() *bench {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range b.seen {
		poller, err := ring.NewPoller()
		must(b.t, err)
		context.AfterFunc(ctx, poller.Wake)
		wg.Go(func() {
			defer poller.Close()
			b.read(ctx, b.Reader(i), poller, &b.seen[i])
		})
	}
	wg.Go(func() { b.Run(ctx) })
	b.end = func() {
		cancel()
		wg.Wait()
	}
	return b
}

func (b *bench) stop() {
	b.once.Do(func() {
		b.end()
		must(b.t, b.Close())
	})
}

func (b *bench) read(ctx context.Context, r *Reader, p *ring.Poller, seen *atomic.Int64) {
	r.AttachPaced(p)
	defer r.Detach()
	for f := (ring.Frame{}); ctx.Err() == nil; {
		r.Refresh()
		n := 0
		for r.Next(&f) {
			seen.Add(1)
			n++
		}
		if n > 0 {
			continue
		}
		if err := p.Wait(-1, func() bool { return ctx.Err() != nil }); err != nil && !errors.Is(err, ring.ErrGone) {
			b.t.Error(err)
		}
	}
}

// all is how many frames the readers saw.
func (b *bench) all() (n int64) {
	for i := range b.seen {
		n += b.seen[i].Load()
	}
	return n
}

func (b *bench) packets() (n uint64) {
	for i := range b.seen {
		n += b.Stats(i).Packets
	}
	return n
}

// reads sends n packets and waits until the readers have had them.
func (b *bench) reads(net network, n int) {
	b.t.Helper()
	before := b.all()
	net.send(20000, 20000+uint16(n), 80)
	eventually(b.t, "the packets are read", func() bool { return b.all() == before+int64(n) })
	if b.packets() != uint64(b.all()) {
		b.t.Errorf("%d packets counted, %d read", b.packets(), b.all())
	}
}

// looksPass returns when a capture has looked at its interface twice, where that
// changes nothing that could be waited for.
func looksPass() { time.Sleep(3 * lookInterval) }

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(list)
}

func TestTheCaptureGoesOnWhenItsInterfaceComesBack(t *testing.T) {
	for name, again := range map[string]func(network, *bench){
		"later": func(n network, b *bench) {
			n.delete("eth0")
			eventually(b.t, "it is told that the interface is gone", func() bool { return errors.Is(b.Err(), ring.ErrGone) })
			looksPass() // it is looked for in vain
			n.pair("eth0", "peer")
		},
		"at once": func(n network, _ *bench) {
			n.delete("eth0")
			n.pair("eth0", "peer")
		},
		"as a bridge": func(n network, _ *bench) {
			n.delete("eth0")
			n.bridge("eth0", "peer")
		},
		"down first": func(n network, b *bench) {
			must(b.t, n.nl.LinkSetDown(n.link("eth0")))
			eventually(b.t, "it is told that the interface is down", func() bool { return b.Err() != nil })
			n.delete("eth0")
			n.pair("eth0", "peer")
		},
	} {
		for _, readers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d readers", name, readers), func(t *testing.T) {
				t.Parallel()
				n := newNetwork(t)
				b := openBench(t, n, readers, nil).start()
				b.reads(n, 50)
				counted := b.packets()
				for round := range uint64(2) {
					if round > 0 && name == "as a bridge" {
						n.delete("port")
					}
					again(n, b)
					eventually(t, "the capture goes on", func() bool {
						if now := b.packets(); now < counted {
							t.Fatalf("%d packets after %d", now, counted)
						}
						return b.Reopened() == round+1 && b.Err() == nil
					})
					b.reads(n, 50)
				}
				if readers == 2 && (b.seen[0].Load() == 0 || b.seen[1].Load() == 0) {
					t.Errorf("the readers had %d and %d", b.seen[0].Load(), b.seen[1].Load())
				}
				if ended, on := b.log.count("capture ended, opening it again"), b.log.count("capture goes on"); ended != 2 || on < 2 {
					t.Errorf("the end was logged %d times and the going on %d times:\n%s", ended, on, &b.log.b)
				}
			})
		}
	}
}

func TestNoDescriptorIsLeftOpen(t *testing.T) {
	n := newNetwork(t)
	before := descriptors(t)
	for _, away := range []bool{false, true} { // at the end
		b := openBench(t, n, 2, nil).start()
		n.delete("eth0")
		n.pair("eth0", "peer")
		eventually(t, "the capture goes on", func() bool { return b.Reopened() == 1 && b.Err() == nil })
		if away {
			n.delete("eth0")
			eventually(t, "it is told that the interface is gone", func() bool { return b.Err() != nil })
		}
		b.stop()
		// A last Wake may be on its way yet.
		eventually(t, "all are closed", func() bool { return descriptors(t) == before })
	}
}

func TestAFilterThatIsSetWhileTheInterfaceIsAwayHoldsAfterwards(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b := openBench(t, n, 2, nil).start()
	n.delete("eth0")
	eventually(t, "it is told that the interface is gone", func() bool { return b.Err() != nil })
	must(t, b.SetFilter(kernel(t, "tcp dst port 80")))
	n.pair("eth0", "peer")
	eventually(t, "the capture goes on", func() bool { return b.Err() == nil })
	n.send(1000, 1100, 81)
	b.reads(n, 10)
}

func TestAFilterThatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b := openBench(t, n, 2, func(c *Config) { c.Ring.Filter = kernel(t, "tcp dst port 80") }).start()
	if err := b.SetFilter([]bpf.RawInstruction{{Op: 0xffff}}); err == nil {
		t.Error("the filter was taken")
	}
	n.send(1000, 1100, 81)
	b.reads(n, 10)
}

func TestWhatWasCapturedBeforeTheInterfaceWentIsRead(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b := openBench(t, n, 2, nil)
	n.send(1000, 1100, 80)
	n.delete("eth0")
	b.start()
	eventually(t, "all is read", func() bool { return b.all() == 100 })
	n.pair("eth0", "peer")
	eventually(t, "the capture goes on", func() bool { return b.Reopened() == 1 && b.Err() == nil })
	b.reads(n, 10)
}

func TestAnInterfaceThatIsDownIsToldAndWaitedFor(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b := openBench(t, n, 1, nil).start()
	must(t, n.nl.LinkSetDown(n.link("eth0")))
	eventually(t, "it is told", func() bool { return b.Err() != nil && strings.Contains(b.Err().Error(), "eth0 is down") })
	n.up("eth0")
	eventually(t, "the capture goes on", func() bool { return b.Err() == nil })
	b.reads(n, 10)
	if b.Reopened() != 0 {
		t.Error("it was opened again")
	}
}

func TestAnInterfaceThatComesBackDownIsOpenedAndWaitedFor(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b := openBench(t, n, 1, nil).start()
	n.delete("eth0")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	must(t, n.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}))
	eventually(t, "it is told that the interface is down", func() bool {
		return b.Reopened() == 1 && b.Err() != nil && strings.Contains(b.Err().Error(), "eth0 is down")
	})
	n.up("peer")
	n.up("eth0")
	eventually(t, "the capture goes on", func() bool { return b.Err() == nil })
	b.reads(n, 10)
}

func TestAnInterfaceThatIsGivenAnotherNameIsStillCaptured(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b := openBench(t, n, 1, nil).start()
	must(t, n.nl.LinkSetName(n.link("eth0"), "eth1"))
	looksPass()
	b.reads(n, 10)
	if err := b.Err(); err != nil || b.Reopened() != 0 {
		t.Errorf("%v, opened again %d times", err, b.Reopened())
	}
	must(t, n.nl.LinkSetDown(n.link("eth1")))
	eventually(t, "it is told that the interface is down", func() bool { return b.Err() != nil })
}

func TestACaptureOfAllInterfacesHasNoneThatItCouldLose(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	b := openBench(t, n, 1, func(c *Config) { c.Ring.Interface = "" }).start()
	n.delete("eth0")
	looksPass()
	if err := b.Err(); err != nil || b.Reopened() != 0 {
		t.Errorf("%v, opened again %d times", err, b.Reopened())
	}
	n.pair("eth0", "peer")
	b.reads(n, 10)
}

func TestAnInterfaceThatIsMissingAtTheStartIsAnError(t *testing.T) {
	n := newNetwork(t)
	before := descriptors(t)
	n.in(func() {
		_, err := Open(Config{Ring: ring.Config{Interface: "eth9"}, Readers: 2, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), `no interface "eth9"`) {
			t.Errorf("the error is %v", err)
		}
	})
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, before there were %d", after, before)
	}
}

func TestReadingDoesNotAllocate(t *testing.T) {
	n := newNetwork(t)
	b := openBench(t, n, 1, nil)
	r, f := b.Reader(0), ring.Frame{}
	if a := testing.AllocsPerRun(100, func() {
		r.Refresh()
		r.Next(&f)
		r.Losing()
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
}
