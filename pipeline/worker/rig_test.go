package worker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/nexthop"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replies"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source/live"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// rig is a worker that no thread runs: the test calls pass. It reads no ring,
// unless the test opens one; frames are handed to it.
type rig struct {
	*Worker
	live    *live.Source
	rings   *live.Captures // what the test opened
	replies *noReplies
}

// frame hands the worker a packet as its ring would.
func (r *rig) frame(f *ring.Frame) { r.live.Frame(f, r.Worker) }

// noReplies brings nothing, and remembers what was urgent.
type noReplies struct{ told []bool }

var _ replies.Replies = (*noReplies)(nil)

func (*noReplies) Take(int, func([]packet.Reply)) int     { return 0 }
func (*noReplies) Waiting() bool                          { return false }
func (*noReplies) Queued() int                            { return 0 }
func (*noReplies) Claim(added, removed []packet.Endpoint) {}
func (r *noReplies) Urgent(urgent bool)                   { r.told = append(r.told, urgent) }
func (*noReplies) Attach(*ring.Poller)                    {}
func (*noReplies) Detach()                                {}

// newRigs makes n workers in a network namespace.
func newRigs(t testing.TB, n int, change func(*conf.Tcpcopy)) []*rig {
	t.Helper()
	testbed.InNamespace(t)
	c := testbed.Conf(t, n)
	if change != nil {
		change(c)
	}
	m, err := match.New(c)
	testbed.Must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	log := slog.New(slog.DiscardHandler)
	hops, err := nexthop.New(ctx, "", log)
	testbed.Must(t, err)
	_, err = hops.Give(m)
	testbed.Must(t, err)
	config := Config{
		Conf: c, Matcher: m, Clock: clock.New(), Parcels: new(source.Parcels),
	}
	for range n {
		config.Counters = append(config.Counters, new(account.Counters))
	}
	rigs := make([]*rig, n)
	for i := range rigs {
		rigs[i] = &rig{live: live.NewSource(m, config.Counters[i], 0), replies: new(noReplies)}
	}
	if len(c.Interfaces) > 0 {
		captures, err := live.Open(c, m, config.Counters, log)
		testbed.Must(t, err)
		t.Cleanup(captures.Close)
		for i := range rigs {
			rigs[i].live, rigs[i].rings = captures.Source(i).(*live.Source), captures
		}
	}
	config.Replies = func(i int) replies.Replies { return rigs[i].replies }
	config.Source = func(i int) source.Source { return rigs[i].live }
	workers, err := New(config)
	testbed.Must(t, err)
	for i, w := range workers {
		tx, err := ring.NewTx(ring.Link)
		testbed.Must(t, err)
		poller, err := ring.NewPoller()
		testbed.Must(t, err)
		t.Cleanup(func() { tx.Close(); poller.Close() })
		w.MoveTo(poller, tx, true)
		w.StartClock()
		rigs[i].Worker = w
	}
	return rigs
}

// newRig makes a single worker.
func newRig(t testing.TB, change func(*conf.Tcpcopy)) *rig {
	t.Helper()
	return newRigs(t, 1, change)[0]
}

// pass does what a thread of only this worker does in a round.
func pass(w *rig) int {
	n := w.Pass()
	w.sender.tx.Flush()
	w.Sent(false)
	return n
}

// openSession makes a session of c in w, established at the target, whose
// sequence number is then next.
func openSession(t testing.TB, c *testbed.Client, w *rig) (end packet.Endpoint, next uint32) {
	t.Helper()
	w.frame(c.Frame(packet.SYN, ""))
	pass(w)
	for i := uint32(1); int(i) < len(w.table.entries); i++ {
		if s := w.table.at(i); s.ClientEnd == c.Src && s.State() == session.SynSent {
			end = s.Endpoint
		}
	}
	if end == (packet.Endpoint{}) {
		t.Fatal("no SYN was sent")
	}
	r := packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: end, Seq: 5000, Ack: c.Seq, Flags: packet.SYN | packet.ACK, Window: 65535}
	r.MSS, r.WindowScale = 1460, packet.NoWindowScale
	w.reply(&r)
	c.Ack = 7001
	w.frame(c.Frame(packet.ACK, ""))
	pass(w)
	return end, 5001
}

// totals are the sum of what all have published.
func totals(rigs []*rig) (c account.Counters) {
	for _, w := range rigs {
		w.AddTo(&c)
	}
	return c
}

// collector gives what workers have published.
type collector []*rig

func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c collector) Collect(ch chan<- prometheus.Metric) {
	sum := totals(c)
	account.Collect(account.Metrics(ch), account.Totals{Counters: &sum, Transfers: []string{"80"}})
}

// retire is longer than a ring keeps a block that is not full.
const retire = 2 * time.Millisecond
