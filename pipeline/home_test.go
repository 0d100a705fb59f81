package pipeline

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// atHome changes a configuration so that replies are captured on this host.
func atHome(c *conf.Tcpcopy) {
	c.Intercepts, c.ReplyInterface = nil, "eth0"
}

// hosted reports how many captures of replies the first thread runs.
func hosted(p *Pipeline) (n int) {
	first := p.workers[0].own
	first.own.do(func() { n = len(first.replies) })
	return n
}

// answers are frames of the target, one for each port from 20000 on.
func answers(t *testing.T, n int) *frames {
	t.Helper()
	eth0, err := net.InterfaceByName("eth0")
	must(t, err)
	data := make([][]byte, n)
	for i := range data {
		b := append([]byte{}, eth0.HardwareAddr...)
		b = append(b, 2, 0, 0, 0, 0, 2, 8, 0)
		head := make([]byte, 100)
		size := packet.Build(head, &packet.Header{
			Src: packet.EndpointFrom(target), Dst: packet.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr("10.1.3.7"), uint16(20000+i))),
			Seq: 1, Ack: 1, Flags: packet.ACK, Window: 65535,
		}, 0)
		data[i] = append(b, head[:size]...)
	}
	return newFrames(t, "peer", data)
}

func TestNoReplyIsLostWhoeverReadsThem(t *testing.T) {
	for _, workers := range []int{1, 3} {
		p := newPipeline(t, workers, func(c *conf.Tcpcopy) { atHome(c); c.RingBytes = 16 << 20 })
		wire := answers(t, 100)
		run(t, p)
		first := p.workers[0].own
		capture := p.home.captures[0]
		sent := uint64(0)
		for i := range 3 {
			within(t, 10*time.Second, "the first thread reads replies", func() bool { return hosted(p) == 1 })
			wire.send(t)
			if i%2 == 0 {
				wire.send(t)
				sent += 100
			}
			overload(first)
			wire.send(t)
			sent += 200
			within(t, 10*time.Second, "who has no time gives replies back", func() bool { return hosted(p) == 0 })
			within(t, 10*time.Second, "all are read", func() bool { return capture.Counts().Captured >= sent })
			within(t, 20*time.Second, "one thread runs all again", func() bool { calmDown(first); return first.together.Load() })
		}
		within(t, 10*time.Second, "the workers have all", func() bool {
			for _, w := range p.workers {
				w.do(w.publish)
			}
			c := p.Totals()
			return c.Replies+p.repliesLost.Load() == sent && c.RepliesNoSession == sent
		})
		if c := capture.Counts(); c.Captured != sent || c.Routed != sent {
			t.Errorf("%d workers: %d replies, counted are %+v", workers, sent, c)
		}
	}
}

func TestRepliesAreReadAgainWhenTheirInterfaceComesBack(t *testing.T) {
	p := newPipeline(t, 2, atHome)
	run(t, p)
	c := p.home.captures[0]
	captured := func() {
		t.Helper()
		before := c.Counts().Captured
		answers(t, 100).send(t)
		within(t, 10*time.Second, "all are read", func() bool { return c.Counts().Captured == before+100 })
	}
	again := func(times uint64) {
		t.Helper()
		link, err := netlink.LinkByName("eth0")
		must(t, err)
		must(t, netlink.LinkDel(link))
		connect(t)
		within(t, 10*time.Second, "the capture goes on", func() bool { return c.packets.Reopened() == times && c.packets.Err() == nil })
		p.Beat()
	}
	within(t, 10*time.Second, "the first thread reads replies", func() bool { return hosted(p) == 1 })
	captured()
	again(1)
	captured()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // never a thread that has the time
		for first := p.workers[0].own; ; {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				overload(first)
			}
		}
	}()
	within(t, 10*time.Second, "the replies have a goroutine of their own", func() bool { return hosted(p) == 0 })
	captured()
	again(2)
	captured()
}

func TestAThreadThatNeverSleepsFollowsAnInterfaceThatComesBack(t *testing.T) {
	p := newPipeline(t, 2, atHome)
	first, c := p.workers[0].own, p.home.captures[0]
	c.packets.Reader(0).Attach(first.poller)
	first.replies = append(first.replies, c)
	ctx, cancel := context.WithCancel(t.Context())
	var keeping sync.WaitGroup
	keeping.Go(func() { c.packets.Run(ctx) })
	defer keeping.Wait()
	defer cancel()
	link, err := netlink.LinkByName("eth0")
	must(t, err)
	must(t, netlink.LinkDel(link))
	connect(t)
	within(t, 10*time.Second, "the capture goes on", func() bool {
		first.round()
		return c.packets.Reopened() == 1
	})
	answers(t, 100).send(t)
	within(t, 10*time.Second, "all are read", func() bool {
		first.round()
		return c.Counts().Captured == 100
	})
}
