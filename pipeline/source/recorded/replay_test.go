package recorded

import (
	"log/slog"
	"math"
	"testing"
	"time"

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
	"github.com/tcpcopy-go/tcpcopy/pipeline/worker"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// bed is a replay and its workers, which no thread runs.
type bed struct {
	*Replay
	conf    *conf.Tcpcopy
	workers []*worker.Worker
	tx      *ring.Tx
	passed  map[*worker.Worker]session.Time // when its last pass began
}

// noReplies brings nothing.
type noReplies struct{}

func (noReplies) Take(int, func([]packet.Reply)) int     { return 0 }
func (noReplies) Waiting() bool                          { return false }
func (noReplies) Queued() int                            { return 0 }
func (noReplies) Claim(added, removed []packet.Endpoint) {}
func (noReplies) Urgent(bool)                            {}
func (noReplies) Attach(*ring.Poller)                    {}
func (noReplies) Detach()                                {}

// replaying opens a recording for n workers.
func replaying(t *testing.T, n int, file string, change func(*conf.Tcpcopy)) *bed {
	t.Helper()
	testbed.InNamespace(t)
	c := testbed.Conf(t, n)
	c.Replay = conf.Replay{Files: []string{file}, Speed: math.Inf(1), Times: 1, MaxConcurrent: 1000}
	if change != nil {
		change(c)
	}
	log := slog.New(slog.DiscardHandler)
	m, err := match.New(c)
	testbed.Must(t, err)
	hops, err := nexthop.New(t.Context(), "", log)
	testbed.Must(t, err)
	_, err = hops.Give(m)
	testbed.Must(t, err)
	w := worker.Config{Conf: c, Matcher: m, Clock: clock.New(), Parcels: new(source.Parcels)}
	for range n {
		w.Counters = append(w.Counters, new(account.Counters))
	}
	b := &bed{conf: c, passed: map[*worker.Worker]session.Time{}}
	b.Replay, err = Open(c, m, w.Clock, w.Counters, w.Parcels, log)
	testbed.Must(t, err)
	t.Cleanup(b.Close)
	w.Source, w.Replies = b.Source, func(int) replies.Replies { return noReplies{} }
	b.workers, err = worker.New(w)
	testbed.Must(t, err)
	b.tx, err = ring.NewTx(ring.Link)
	testbed.Must(t, err)
	poller, err := ring.NewPoller()
	testbed.Must(t, err)
	t.Cleanup(func() { b.tx.Close(); poller.Close() })
	for _, w := range b.workers {
		w.MoveTo(poller, b.tx, true)
		w.StartClock()
	}
	b.wake = func(int) {}
	return b
}

// totals are the sums of all that was published.
func (b *bed) totals() (c account.Counters) {
	b.AddTo(&c)
	for _, w := range b.workers {
		w.AddTo(&c)
	}
	return c
}

// pass does what a thread of only this worker does in a round.
func (b *bed) pass(w *worker.Worker) int {
	b.passed[w] = b.clock.Now()
	n := w.Pass()
	b.tx.Flush()
	w.Sent(false)
	return n
}

// play reads the recordings, and does the workers' passes, until the end and all
// is taken, or until enough says so.
func play(t *testing.T, p *bed, enough func() bool) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.read(stop) }()
	ended := false
	for !ended {
		select {
		case err := <-done:
			testbed.Must(t, err)
			ended = true
		default:
			if enough != nil && enough() {
				close(stop)
				testbed.Must(t, <-done)
				ended = true
			}
		}
		for i, w := range p.workers {
			for p.pass(w) > 0 || ended && enough == nil && p.sources[i].queue.Len() > 0 {
			}
		}
	}
	for _, w := range p.workers {
		w.Publish()
	}
}

func TestEveryPacketOfARecordingIsInOneCounter(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 500 {
		c := testbed.NewClient(uint16(20000 + i))
		r.Add(c.Frame(packet.SYN, ""))
		r.Add(c.Frame(packet.ACK, ""))
		r.Add(c.Frame(packet.ACK|packet.PSH, "hello"))
		r.Add(c.Frame(packet.ACK|packet.FIN, ""))
		c.Dst.Port = 81
		r.Add(c.Frame(packet.ACK|packet.PSH, "other port"))
		r.Add(&ring.Frame{Data: []byte{0x12}, Wire: 1})
	}
	p := replaying(t, 3, r.File(), nil)
	play(t, p, nil)
	c := p.totals()
	var dropped uint64
	for _, n := range c.Dropped {
		dropped += n
	}
	if c.Captured != 3000 || c.Captured+c.TakenOver != c.Accepted+c.HandedOver+dropped || c.TakenOver != c.HandedOver || c.Accepted != 2000 {
		t.Errorf("captured %d + taken over %d, accepted %d + handed over %d + dropped %v", c.Captured, c.TakenOver, c.Accepted, c.HandedOver, c.Dropped)
	}
	if c.Clients != 500 || c.Session.Opened != 500 || c.Dropped[account.NotMatched] != 500 || c.Dropped[account.NotIP] != 500 {
		t.Errorf("%d clients, %d opened, dropped %v", c.Clients, c.Session.Opened, c.Dropped)
	}
}

func TestAtMostSoManySessionsWaitForTheTargetAtATime(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 300 {
		r.Add(testbed.NewClient(uint16(20000+i)).Frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.File(), func(c *conf.Tcpcopy) { c.Replay.MaxConcurrent = 10 })
	p.wakeAfter = 1
	began := time.Now()
	play(t, p, func() bool { return time.Since(began) > 300*time.Millisecond })
	if c := p.totals(); c.Session.Opened != 10 || p.stalled.Load() == 0 {
		t.Errorf("%d sessions wait for the target, want 10", c.Session.Opened)
	}
}

func TestARecordingWaitsWherePayloadFillsTheMemory(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 30 {
		c := testbed.NewClient(uint16(20000 + i))
		r.Add(c.Frame(packet.SYN, ""))
		r.Add(c.Frame(packet.ACK, ""))
		for range 100 {
			r.Add(c.Frame(packet.ACK|packet.PSH, string(make([]byte, 1000))))
		}
	}
	p := replaying(t, 1, r.File(), func(c *conf.Tcpcopy) { c.Memory = 1 << 20 })
	began := time.Now()
	play(t, p, func() bool { return time.Since(began) > 300*time.Millisecond })
	c := p.totals()
	if c.Session.Dropped[session.MemoryLimit] > 0 || c.Dropped[account.ShedMemory] > 0 || c.Held == 0 || c.Held > 1<<20*6/10 {
		t.Errorf("holds %d bytes, dropped %v, %v", c.Held, c.Session.Dropped, c.Dropped)
	}
}

func TestTheBoundOfMemoryHoldsBeforeAWorkersFirstPass(t *testing.T) {
	r := testbed.NewRecorder(t)
	c := testbed.NewClient(20000)
	r.Add(c.Frame(packet.SYN, ""))
	for range 2000 {
		r.Add(c.Frame(packet.ACK|packet.PSH, string(make([]byte, 1000))))
	}
	p := replaying(t, 1, r.File(), func(c *conf.Tcpcopy) { c.Memory = 1 << 20 })
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.read(stop) }()
	testbed.Within(t, 10*time.Second, "the queue has what it may have", func() bool { return p.queued() > 500 })
	testbed.Within(t, 10*time.Second, "the replay waits", func() bool { return p.stalled.Load() > 0 || p.queued() > 2000 })
	close(stop)
	testbed.Must(t, <-done)
	if n := p.bytes[0]; n > 1<<19+1000 {
		t.Errorf("%d bytes of payload are queued of 1 MiB of memory", n)
	}
}

func TestEachRunMakesConnectionsOfItsOwn(t *testing.T) {
	r := testbed.NewRecorder(t)
	c := testbed.NewClient(20000)
	r.Add(c.Frame(packet.SYN, ""))
	r.Add(c.Frame(packet.ACK, ""))
	r.Add(c.Frame(packet.ACK|packet.PSH, "hello"))
	p := replaying(t, 2, r.File(), func(c *conf.Tcpcopy) { c.Replay.Times = 3 })
	play(t, p, func() bool { return int(p.runs.Load()) > 3 }) // it may be asked at any time
	if c := p.totals(); c.Session.Opened != 3 || c.Clients != 3 || p.runs.Load() != 3 {
		t.Errorf("%d connections of %d clients in %d runs", c.Session.Opened, c.Clients, p.runs.Load())
	}
}

func TestPacketsAreNotReplayedBeforeTheyAreDue(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 200 {
		r.Add(testbed.NewClient(uint16(20000+i)).Frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.File(), func(c *conf.Tcpcopy) { c.Replay.Speed = 2 })
	began := time.Now()
	play(t, p, nil)
	if took := time.Since(began); took < 99*time.Millisecond {
		t.Errorf("199 ms were replayed at twice the speed in %v", took)
	}
	c := p.totals()
	if n := c.Late.Count(); n != 200 || c.Late.Quantile(0.5) > c.Late.Quantile(1) {
		t.Errorf("the lateness of %d packets is known, the median %v, the worst %v", n, c.Late.Quantile(0.5), c.Late.Quantile(1))
	}
}

func TestPacketsAreHandedOverAheadOfTheirTime(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 200 {
		r.Add(testbed.NewClient(uint16(20000+i)).Frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.File(), func(c *conf.Tcpcopy) { c.Replay.Speed = 1 })
	waits := 0
	play(t, p, func() bool {
		waiting := 0
		for i, s := range p.sources {
			began := p.passed[p.workers[i]]
			// One that was handed over late itself may have come behind that pass.
			if first := s.queue.Peek(); first != nil && first.due <= began-50*session.Millisecond {
				t.Errorf("a packet that was due %d us before its worker's last pass is left", began-first.due)
			}
			waiting += s.queue.Len()
		}
		waits = max(waits, waiting)
		return p.totals().Clients == 200 || p.runs.Load() == 1 && waiting == 0
	})
	if waits < 10 {
		t.Errorf("%d packets at most waited for their time", waits)
	}
	if n := p.stalled.Load(); n > 0 {
		t.Errorf("a replayer that is ahead of its time waited %v", time.Duration(n))
	}
}

func TestWhatIsNotDueYetWhenTcpcopyEndsIsCounted(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 90 {
		r.Add(testbed.NewClient(uint16(20000+i)).Frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.File(), func(c *conf.Tcpcopy) { c.Replay.Speed = 1 })
	began := time.Now()
	play(t, p, func() bool { return p.runs.Load() == 1 })
	early := time.Since(began) < 80*time.Millisecond // the last is due after 89
	for _, w := range p.workers {
		w.Drain()
		w.Publish()
	}
	c := p.totals()
	if c.TakenOver != 90 || c.TakenOver != c.Accepted+c.Dropped[account.ShuttingDown] || early && c.Dropped[account.ShuttingDown] == 0 {
		t.Errorf("taken over %d, accepted %d, dropped %v", c.TakenOver, c.Accepted, c.Dropped)
	}
}

// Nothing follows of its own kind: neither from this host, nor to it.
func TestARecordingOfTheTargetItselfIsReplayed(t *testing.T) {
	r := testbed.NewRecorder(t)
	c := testbed.NewClient(20000)
	c.Dst = packet.EndpointFrom(testbed.Target)
	c.Src.Addr = packet.Addr4([]byte{10, 1, 3, 7}) // of -c
	r.Add(c.Frame(packet.SYN, ""))
	r.Add(c.Frame(packet.ACK, ""))
	p := replaying(t, 1, r.File(), nil)
	play(t, p, nil)
	if c := p.totals(); c.Session.Opened != 1 {
		t.Errorf("%d opened, dropped %v", c.Session.Opened, c.Dropped)
	}
}

func TestTheFilterOfARecordingIsTheUsers(t *testing.T) {
	r := testbed.NewRecorder(t)
	for i := range 10 {
		c := testbed.NewClient(uint16(20000 + i))
		r.Add(c.Frame(packet.SYN, ""))
		r.Add(c.Frame(packet.ACK, ""))
	}
	p := replaying(t, 1, r.File(), func(c *conf.Tcpcopy) { c.Filter = "tcp src portrange 20003-20005" })
	play(t, p, nil)
	if c := p.totals(); c.Session.Opened != 3 || c.Dropped[account.NotMatched] != 14 {
		t.Errorf("%d opened, dropped %v", c.Session.Opened, c.Dropped)
	}
	s, err := Survey(p.Replay.conf)
	if err != nil || s.Sessions != 3 || s.Packets != 20 {
		t.Errorf("%+v, %v", s, err)
	}
}
