package pipeline

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// recorder writes a recording, a packet each millisecond.
type recorder struct {
	t    *testing.T
	b    bytes.Buffer
	w    *pcapgo.Writer
	at   time.Time
	path string
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{t: t, at: time.Unix(1_700_000_000, 0), path: filepath.Join(t.TempDir(), "a.pcap")}
	r.w = pcapgo.NewWriter(&r.b)
	must(t, r.w.WriteFileHeader(65536, layers.LinkTypeRaw))
	return r
}

func (r *recorder) add(f *ring.Frame) {
	r.at = r.at.Add(time.Millisecond)
	must(r.t, r.w.WritePacket(gopacket.CaptureInfo{Timestamp: r.at, CaptureLength: len(f.Data), Length: f.Wire}, f.Data))
}

// file ends the recording.
func (r *recorder) file() string {
	must(r.t, os.WriteFile(r.path, r.b.Bytes(), 0o600))
	return r.path
}

// replaying opens a pipeline of n workers for a recording. Its workers and its
// replayer do not run.
func replaying(t *testing.T, n int, file string, change func(*conf.Tcpcopy)) *Pipeline {
	t.Helper()
	return newPipeline(t, n, func(c *conf.Tcpcopy) {
		c.Replay = conf.Replay{Files: []string{file}, Speed: math.Inf(1), Times: 1, MaxConcurrent: 1000}
		if change != nil {
			change(c)
		}
	})
}

// play runs the replayer, and the workers' passes, until it ends and all is
// taken, or until enough says so.
func play(t *testing.T, p *Pipeline, enough func() bool) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.replayer.run(stop) }()
	ended := false
	for !ended {
		select {
		case err := <-done:
			must(t, err)
			ended = true
		default:
			if enough != nil && enough() {
				close(stop)
				must(t, <-done)
				ended = true
			}
		}
		for _, w := range p.workers {
			for pass(w) > 0 || ended && enough == nil && w.feed.queue.Len() > 0 {
			}
		}
	}
	for _, w := range p.workers {
		w.publish()
	}
}

func TestEveryPacketOfARecordingIsInOneCounter(t *testing.T) {
	r := newRecorder(t)
	for i := range 500 {
		c := newClient(uint16(20000 + i))
		r.add(c.frame(packet.SYN, ""))
		r.add(c.frame(packet.ACK, ""))
		r.add(c.frame(packet.ACK|packet.PSH, "hello"))
		r.add(c.frame(packet.ACK|packet.FIN, ""))
		c.dst.Port = 81
		r.add(c.frame(packet.ACK|packet.PSH, "other port"))
		r.add(&ring.Frame{Data: []byte{0x12}, Wire: 1})
	}
	p := replaying(t, 3, r.file(), nil)
	play(t, p, nil)
	c := p.Totals()
	var dropped uint64
	for _, n := range c.Dropped {
		dropped += n
	}
	if c.Captured != 3000 || c.Captured+c.TakenOver != c.Accepted+c.HandedOver+dropped || c.TakenOver != c.HandedOver || c.Accepted != 2000 {
		t.Errorf("captured %d + taken over %d, accepted %d + handed over %d + dropped %v", c.Captured, c.TakenOver, c.Accepted, c.HandedOver, c.Dropped)
	}
	if c.Clients != 500 || c.Session.Opened != 500 || c.Dropped[NotMatched] != 500 || c.Dropped[NotIP] != 500 {
		t.Errorf("%d clients, %d opened, dropped %v", c.Clients, c.Session.Opened, c.Dropped)
	}
}

func TestAtMostSoManySessionsWaitForTheTargetAtATime(t *testing.T) {
	r := newRecorder(t)
	for i := range 300 {
		r.add(newClient(uint16(20000+i)).frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.file(), func(c *conf.Tcpcopy) { c.Replay.MaxConcurrent = 10 })
	p.replayer.batch = 1
	began := time.Now()
	play(t, p, func() bool { return time.Since(began) > 300*time.Millisecond })
	if c := p.Totals(); c.Session.Opened != 10 || p.replayer.stalled.Load() == 0 {
		t.Errorf("%d sessions wait for the target, want 10", c.Session.Opened)
	}
}

func TestARecordingWaitsWherePayloadFillsTheMemory(t *testing.T) {
	r := newRecorder(t)
	for i := range 30 {
		c := newClient(uint16(20000 + i))
		r.add(c.frame(packet.SYN, ""))
		r.add(c.frame(packet.ACK, ""))
		for range 100 {
			r.add(c.frame(packet.ACK|packet.PSH, string(make([]byte, 1000))))
		}
	}
	p := replaying(t, 1, r.file(), func(c *conf.Tcpcopy) { c.Memory = 1 << 20 })
	began := time.Now()
	play(t, p, func() bool { return time.Since(began) > 300*time.Millisecond })
	c := p.Totals()
	if c.Session.Dropped[session.MemoryLimit] > 0 || c.Dropped[ShedMemory] > 0 || c.Held == 0 || c.Held > 1<<20*6/10 {
		t.Errorf("holds %d bytes, dropped %v, %v", c.Held, c.Session.Dropped, c.Dropped)
	}
}

func TestEachRunMakesConnectionsOfItsOwn(t *testing.T) {
	r := newRecorder(t)
	c := newClient(20000)
	r.add(c.frame(packet.SYN, ""))
	r.add(c.frame(packet.ACK, ""))
	r.add(c.frame(packet.ACK|packet.PSH, "hello"))
	p := replaying(t, 2, r.file(), func(c *conf.Tcpcopy) { c.Replay.Times = 3 })
	play(t, p, func() bool { return p.Progress().Run > 3 }) // it may be asked at any time
	if c := p.Totals(); c.Session.Opened != 3 || c.Clients != 3 || p.replayer.runs.Load() != 3 {
		t.Errorf("%d connections of %d clients in %d runs", c.Session.Opened, c.Clients, p.replayer.runs.Load())
	}
}

func TestPacketsAreNotReplayedBeforeTheyAreDue(t *testing.T) {
	r := newRecorder(t)
	for i := range 200 {
		r.add(newClient(uint16(20000+i)).frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.file(), func(c *conf.Tcpcopy) { c.Replay.Speed = 2 })
	began := time.Now()
	play(t, p, nil)
	if took := time.Since(began); took < 99*time.Millisecond {
		t.Errorf("199 ms were replayed at twice the speed in %v", took)
	}
	c := p.Totals()
	if n := c.Late.Count(); n != 200 || c.Late.Quantile(0.5) > c.Late.Quantile(1) {
		t.Errorf("the lateness of %d packets is known, the median %v, the worst %v", n, c.Late.Quantile(0.5), c.Late.Quantile(1))
	}
}

func TestPacketsAreHandedOverAheadOfTheirTime(t *testing.T) {
	r := newRecorder(t)
	for i := range 200 {
		r.add(newClient(uint16(20000+i)).frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.file(), func(c *conf.Tcpcopy) { c.Replay.Speed = 1 })
	waits := 0
	play(t, p, func() bool {
		waiting := 0
		for _, w := range p.workers {
			if q := w.feed.queue.Peek(); q != nil && q.due <= w.now {
				t.Errorf("a packet that was due %d us ago is left", w.now-q.due)
			}
			waiting += w.feed.queue.Len()
		}
		waits = max(waits, waiting)
		return p.Totals().Clients == 200 || p.replayer.runs.Load() == 1 && waiting == 0
	})
	if waits < 10 {
		t.Errorf("%d packets at most waited for their time", waits)
	}
	if n := p.replayer.stalled.Load(); n > 0 {
		t.Errorf("a replayer that is ahead of its time waited %v", time.Duration(n))
	}
}

// A worker that sleeps until the first packet is due knows of it, and one that
// has none is woken.
func TestNoPacketIsSleptOver(t *testing.T) {
	r := newRecorder(t)
	for i := range 40 {
		for range 1 + 40*(i%2) { // some come alone, with an empty queue before them
			r.add(newClient(uint16(20000+i)).frame(packet.SYN, ""))
		}
		r.at = r.at.Add(time.Duration(i%4) * 70 * time.Millisecond)
	}
	p := replaying(t, 2, r.file(), func(c *conf.Tcpcopy) {
		c.Replay.Speed, c.NoResponseTimeout, c.Intercepts = 2, time.Second, nil
	})
	run(t, p)
	within(t, 60*time.Second, "all is replayed", func() bool { return p.Totals().Clients == 40 })
	within(t, 10*time.Second, "each packet is taken over", func() bool { c := p.Totals(); return c.TakenOver == 20*42 })
}

func TestWhatIsNotDueYetWhenTcpcopyEndsIsCounted(t *testing.T) {
	r := newRecorder(t)
	for i := range 90 {
		r.add(newClient(uint16(20000+i)).frame(packet.SYN, ""))
	}
	p := replaying(t, 2, r.file(), func(c *conf.Tcpcopy) { c.Replay.Speed = 1 })
	began := time.Now()
	play(t, p, func() bool { return p.replayer.runs.Load() == 1 })
	early := time.Since(began) < 80*time.Millisecond // the last is due after 89
	for _, w := range p.workers {
		w.drain()
		w.publish()
	}
	c := p.Totals()
	if c.TakenOver != 90 || c.TakenOver != c.Accepted+c.Dropped[ShuttingDown] || early && c.Dropped[ShuttingDown] == 0 {
		t.Errorf("taken over %d, accepted %d, dropped %v", c.TakenOver, c.Accepted, c.Dropped)
	}
}

// Nothing follows of its own kind: neither from this host, nor to it.
func TestARecordingOfTheTargetItselfIsReplayed(t *testing.T) {
	r := newRecorder(t)
	c := newClient(20000)
	c.dst = packet.EndpointFrom(target)
	c.src.Addr = packet.Addr4([]byte{10, 1, 3, 7}) // of -c
	r.add(c.frame(packet.SYN, ""))
	r.add(c.frame(packet.ACK, ""))
	p := replaying(t, 1, r.file(), nil)
	play(t, p, nil)
	if c := p.Totals(); c.Session.Opened != 1 {
		t.Errorf("%d opened, dropped %v", c.Session.Opened, c.Dropped)
	}
}

func TestTheFilterOfARecordingIsTheUsers(t *testing.T) {
	r := newRecorder(t)
	for i := range 10 {
		c := newClient(uint16(20000 + i))
		r.add(c.frame(packet.SYN, ""))
		r.add(c.frame(packet.ACK, ""))
	}
	p := replaying(t, 1, r.file(), func(c *conf.Tcpcopy) { c.Filter = "tcp src portrange 20003-20005" })
	play(t, p, nil)
	if c := p.Totals(); c.Session.Opened != 3 || c.Dropped[NotMatched] != 14 {
		t.Errorf("%d opened, dropped %v", c.Session.Opened, c.Dropped)
	}
	s, err := Survey(p.cfg)
	if err != nil || s.Sessions != 3 || s.Packets != 20 {
		t.Errorf("%+v, %v", s, err)
	}
}
