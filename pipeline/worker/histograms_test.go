package worker

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// gathered is a histogram as a scraper gets it.
func gathered(t *testing.T, p []*rig, name string) *dto.Histogram {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	testbed.Must(t, r.Register(collector(p)))
	families, err := r.Gather()
	testbed.Must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].Histogram
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

func TestHistogramsOfTheTargetsTimesAreNativeAndClassic(t *testing.T) {
	p := newRigs(t, 1, nil)
	w := p[0]
	const connect, firstByte = 3000 * session.Millisecond, 8 * session.Millisecond
	ahead := session.Time(0) // of the clock
	pass := func() {
		w.now = w.clock.Now() + ahead
		w.flush()
		w.sender.tx.Flush()
	}
	c := testbed.NewClient(40000)
	w.frame(c.Frame(packet.SYN, ""))
	pass()
	s := w.table.slab.At(1)
	ahead += connect
	w.now += connect
	r := packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: s.Endpoint, Seq: 5000, Ack: c.Seq, Flags: packet.SYN | packet.ACK, Window: 65535}
	w.reply(&r)
	c.Ack = 7001
	w.frame(c.Frame(packet.ACK|packet.PSH, "request"))
	pass()
	w.now += firstByte
	r = packet.Reply{Src: r.Src, Dst: r.Dst, Seq: 5001, Ack: c.Seq, Len: 100, Flags: packet.ACK, Window: 65535}
	w.reply(&r)
	r.Seq += 100 // not the first byte
	w.reply(&r)
	w.Publish()

	for name, want := range map[string]float64{"tcpcopy_target_connect_seconds": 3, "tcpcopy_target_first_byte_seconds": 0.008} {
		h := gathered(t, p, name)
		if h.GetSampleCount() != 1 || math.Abs(h.GetSampleSum()-want) > want/50 {
			t.Errorf("%s: %d of %v s, want 1 of %v s", name, h.GetSampleCount(), h.GetSampleSum(), want)
		}
		for _, b := range h.Bucket {
			if in := h.GetSampleSum() <= b.GetUpperBound(); in != (b.GetCumulativeCount() == 1) {
				t.Errorf("%s: %d in the bucket up to %v", name, b.GetCumulativeCount(), b.GetUpperBound())
			}
		}
		index := int32(math.Ceil(8 * math.Log2(h.GetSampleSum())))
		if h.GetSchema() != 3 || len(h.PositiveSpan) != 1 || h.PositiveSpan[0].GetOffset() != index || h.GetZeroCount() != 0 {
			t.Errorf("%s: native %v, zero %d; want one in bucket %d", name, h.PositiveSpan, h.GetZeroCount(), index)
		}
		if len(h.Bucket) != 21 {
			t.Errorf("%s: %d classic buckets", name, len(h.Bucket))
		}
	}
}

// Of two packets of a pass the first is followed, and only as far as it need
// not wait for its target.
func TestLagIsThatOfThePacketThatWaitedLongest(t *testing.T) {
	p := newRigs(t, 1, nil)
	w := p[0]
	c, other := testbed.NewClient(40000), testbed.NewClient(40001)
	openSession(t, c, w)
	openSession(t, other, w)
	before := w.counter.Lag
	late := func(c *testbed.Client, payload string, d time.Duration) {
		f := c.Frame(packet.ACK|packet.PSH, payload)
		f.Time -= int64(d)
		w.frame(f)
	}
	late(c, "request", 3*time.Second)
	late(other, "request", time.Second)
	pass(w)
	if n, sum := w.counter.Lag.Count()-before.Count(), w.counter.Lag.Sum()-before.Sum(); n != 1 || sum < 3*time.Second {
		t.Errorf("%d packets of %v together, want one of 3 s", n, sum)
	}
	before = w.counter.Lag
	c.Ack += 100
	late(c, "the next, which waits for the response", 3*time.Second)
	pass(w)
	pass(w)
	if n := w.counter.Lag.Count() - before.Count(); n != 0 {
		t.Errorf("%d packets were counted that wait for their target", n)
	}
}
