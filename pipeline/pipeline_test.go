package pipeline

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// newPipeline opens a pipeline of n workers, which do not run.
func newPipeline(t testing.TB, n int, change func(*conf.Tcpcopy)) *Pipeline {
	t.Helper()
	testbed.InNamespace(t)
	c := testbed.Conf(t, n)
	c.Interfaces = []string{"eth0"}
	if change != nil {
		change(c)
	}
	p, err := Open(t.Context(), c, slog.New(slog.DiscardHandler))
	testbed.Must(t, err)
	return p
}

// run lets the pipeline run until the end of the test.
func run(t *testing.T, p *Pipeline) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
}

// A worker that sleeps until the first packet is due knows of it, and one that
// has none is woken.
func TestNoPacketIsSleptOver(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 40 {
		for range 1 + 40*(i%2) { // some come alone, with an empty queue before them
			r.Add(testbed.NewClient(uint16(20000+i)).Frame(packet.SYN, ""))
		}
		r.At = r.At.Add(time.Duration(i%4) * 70 * time.Millisecond)
	}
	p := newPipeline(t, 2, func(c *conf.Tcpcopy) {
		c.Replay = conf.Replay{Files: []string{r.File()}, Speed: 2, Times: 1, MaxConcurrent: 1000}
		c.NoResponseTimeout, c.Intercepts, c.Interfaces = time.Second, nil, nil
	})
	run(t, p)
	testbed.Within(t, 60*time.Second, "all is replayed", func() bool { return p.Totals().Clients == 40 })
	testbed.Within(t, 10*time.Second, "each packet is taken over", func() bool { c := p.Totals(); return c.TakenOver == 20*42 })
}

func TestCaptureAndRepliesGoOnWhenTheirInterfaceComesBack(t *testing.T) {
	p := newPipeline(t, 2, func(c *conf.Tcpcopy) { c.Intercepts, c.ReplyInterface = nil, "eth0" })
	run(t, p)
	captured := func() {
		t.Helper()
		before := p.Totals().Captured
		syn := append(testbed.Ethernet(t), testbed.NewClient(40000).Frame(packet.SYN, "").Data...)
		testbed.NewFrames(t, "peer", [][]byte{syn}).Send(t)
		testbed.Within(t, 10*time.Second, "a packet is captured", func() bool { return p.Totals().Captured > before })
	}
	captured()
	link, err := netlink.LinkByName("eth0")
	testbed.Must(t, err)
	testbed.Must(t, netlink.LinkDel(link))
	testbed.Within(t, 10*time.Second, "the pipeline is not ready", func() bool { return p.Ready() != nil })
	testbed.Connect(t)
	testbed.Within(t, 10*time.Second, "the pipeline is ready again", func() bool { return p.Ready() == nil })
	captured()
}
