package local

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// taker takes replies as a worker does, as often as it is woken.
type taker struct {
	replies *Reader
	woken   chan struct{}
	taken   atomic.Uint64
}

func (w *taker) Do(f func())                                      { f() }
func (w *taker) Endpoints(es []packet.Endpoint) []packet.Endpoint { return es }
func (w *taker) Wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (w *taker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.woken:
			for w.replies.Waiting() {
				w.taken.Add(uint64(w.replies.Take(256, func([]packet.Reply) {})))
			}
		}
	}
}

// first is the workers' first thread: it takes the capture while it has the time,
// and does its passes without ever sleeping.
type first struct {
	hasTime, does atomic.Bool
	poller        *ring.Poller
	capture       *interfaceReplies
	ctx           context.Context
}

func (f *first) Wanted() bool { return f.hasTime.Load() }

func (f *first) Lend() bool {
	if !f.hasTime.Load() {
		return false
	}
	f.capture.Attach(f.poller)
	f.does.Store(true)
	for f.hasTime.Load() && f.ctx.Err() == nil {
		if f.capture.Pass() == 0 {
			time.Sleep(10 * time.Microsecond)
		}
	}
	f.capture.Detach()
	f.does.Store(false)
	return true
}

// bed is local replies of n workers at work.
type bed struct {
	*Replies
	workers []*taker
	first   *first
}

func newBed(t *testing.T, n int) *bed {
	t.Helper()
	testbed.InNamespace(t)
	c := testbed.Conf(t, n)
	c.Intercepts, c.ReplyInterface, c.RingBytes = nil, "eth0", 16<<20
	m, err := match.New(c)
	testbed.Must(t, err)
	l, err := Open(c, m, n, slog.New(slog.DiscardHandler))
	testbed.Must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	b := &bed{Replies: l, first: &first{capture: l.captures[0], ctx: ctx}}
	b.first.hasTime.Store(true)
	b.first.poller, err = ring.NewPoller()
	testbed.Must(t, err)
	l.captures[0].lender = b.first
	var working sync.WaitGroup
	for i := range n {
		w := &taker{replies: l.readers[i], woken: make(chan struct{}, 1)}
		b.workers = append(b.workers, w)
		l.Serve(i, w)
		working.Go(func() { w.run(ctx) })
	}
	l.Start(ctx, func() account.Counters { return account.Counters{} })
	t.Cleanup(func() {
		stop()
		l.Wait()
		working.Wait()
		l.Close()
		b.first.poller.Close()
	})
	return b
}

func (b *bed) taken() (n uint64) {
	for _, w := range b.workers {
		n += w.taken.Load()
	}
	return n + b.lost.Load()
}

// answers are frames of the target, one for each port from 20000 on.
func answers(t *testing.T, n int) *testbed.Frames {
	t.Helper()
	data := make([][]byte, n)
	for i := range data {
		head := make([]byte, 100)
		size := packet.Build(head, &packet.Header{
			Src: packet.EndpointFrom(testbed.Target), Dst: packet.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr("10.1.3.7"), uint16(20000+i))),
			Seq: 1, Ack: 1, Flags: packet.ACK, Window: 65535,
		}, 0)
		data[i] = append(testbed.Ethernet(t), head[:size]...)
	}
	return testbed.NewFrames(t, "peer", data)
}

func TestNoReplyIsLostWhoeverReadsThem(t *testing.T) {
	for _, workers := range []int{1, 3} {
		b := newBed(t, workers)
		wire := answers(t, 100)
		capture := b.captures[0]
		sent := uint64(0)
		for i := range 20 {
			b.first.hasTime.Store(true)
			if i%2 == 0 {
				testbed.Within(t, 10*time.Second, "the first thread reads replies", b.first.does.Load)
			}
			wire.Send(t)
			if i%2 == 0 {
				wire.Send(t)
				sent += 100
			}
			b.first.hasTime.Store(false)
			wire.Send(t)
			sent += 200
			testbed.Within(t, 10*time.Second, "all are read", func() bool { return capture.Counts().Captured >= sent })
		}
		testbed.Within(t, 10*time.Second, "the workers have all", func() bool { return b.taken() == sent })
		if c := capture.Counts(); c.Captured != sent || c.Routed != sent {
			t.Errorf("%d workers: %d replies, counted are %+v", workers, sent, c)
		}
	}
}

func TestRepliesAreReadAgainWhenTheirInterfaceComesBack(t *testing.T) {
	b := newBed(t, 2)
	c := b.captures[0]
	captured := func() {
		t.Helper()
		before := c.Counts().Captured
		answers(t, 100).Send(t)
		testbed.Within(t, 10*time.Second, "all are read", func() bool { return c.Counts().Captured == before+100 })
	}
	again := func(times uint64) {
		t.Helper()
		link, err := netlink.LinkByName("eth0")
		testbed.Must(t, err)
		testbed.Must(t, netlink.LinkDel(link))
		testbed.Within(t, 10*time.Second, "that it is gone is told", func() bool { return b.Err() != nil })
		testbed.Connect(t)
		testbed.Within(t, 10*time.Second, "the capture goes on", func() bool { return c.capture.Reopened() == times && b.Err() == nil })
	}
	testbed.Within(t, 10*time.Second, "the first thread reads replies", b.first.does.Load)
	captured()
	again(1)
	captured()
	b.first.hasTime.Store(false)
	testbed.Within(t, 10*time.Second, "the replies have a goroutine of their own", func() bool { return !b.first.does.Load() })
	captured()
	again(2)
	captured()
}
