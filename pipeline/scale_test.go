package pipeline

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/message"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// clientele is the clients of one worker, and its target: each client opens a
// connection, sends a request, gets its answer, and stays. Ring and wire are
// not there: frames are handed to the worker, and what it sends has nowhere to
// go.
type clientele struct {
	t      testing.TB
	w      *worker
	ports  []uint16 // of the worker's shard
	next   int      // client
	client client
	round  []opened
}

// hosts is how many addresses the clients have.
const hosts = 1 << 14

type opened struct {
	src packet.Endpoint
	end packet.Endpoint
}

// newClienteles makes one for each of n workers.
func newClienteles(t testing.TB, n int) (cs []*clientele) {
	t.Helper()
	p := newPipeline(t, n, func(c *conf.Tcpcopy) { c.MaxSessions = 4_000_000 })
	p.now.Load().set.matcher.transfers[0].hop = new(ring.Hop) // never valid
	for _, w := range p.workers {
		c := &clientele{t: t, w: w, client: *newClient(0)}
		for port := 10_000; port < 60_000; port++ {
			if packet.Shard(uint16(port), n) == w.index {
				c.ports = append(c.ports, uint16(port))
			}
		}
		cs = append(cs, c)
	}
	return cs
}

// open brings n more clients, in rounds as a ring would.
func (c *clientele) open(n int) {
	for n > 0 {
		k := min(n, round)
		c.some(k)
		n -= k
	}
}

func (c *clientele) some(n int) {
	const isn, request, answer = 1000, "GET / HTTP/1.1\r\nHost: example\r\n\r\n", 100
	w, p := c.w, &c.client
	c.round = c.round[:0]
	each := func(f func(o *opened)) {
		for i := range c.round {
			p.src = c.round[i].src
			f(&c.round[i])
		}
		pass(w)
	}
	for range n {
		host, port := c.next%hosts, c.ports[c.next/hosts]
		c.round = append(c.round, opened{src: packet.Endpoint{Addr: packet.Addr4([]byte{11, 0, byte(host >> 8), byte(host)}), Port: port}})
		c.next++
	}
	each(func(*opened) { p.seq, p.ack = isn, 0; w.frame(p.frame(packet.SYN, "")) })
	each(func(o *opened) {
		s := w.slab.At(w.clientSession(&packet.Segment{Src: p.src, Dst: p.dst}))
		o.end = s.Endpoint
		r := packet.Reply{Src: s.Target, Dst: o.end, Seq: 5000, Ack: isn + 1, Flags: packet.SYN | packet.ACK, Window: 65535}
		r.MSS, r.WindowScale = 1460, packet.NoWindowScale
		w.reply(&r)
		p.seq, p.ack = isn+1, 7001
		w.frame(p.frame(packet.ACK|packet.PSH, request))
	})
	each(func(o *opened) {
		r := packet.Reply{Src: packet.EndpointFrom(target), Dst: o.end, Seq: 5001, Ack: isn + 1 + uint32(len(request)), Len: answer, Flags: packet.ACK | packet.PSH, Window: 65535}
		r.WindowScale = packet.NoWindowScale
		w.reply(&r)
		p.seq, p.ack = isn+1+uint32(len(request)), 7001+answer
		w.frame(p.frame(packet.ACK, ""))
	})
}

// idle fails unless every session is established and waits for nothing.
func (c *clientele) idle() {
	c.t.Helper()
	c.w.publish()
	st := &c.w.core.Stats
	if n := c.w.counter.Sessions[session.Established]; int(n) != c.next || st.TurnsCopied != uint64(c.next) || c.w.core.Held() != 0 {
		c.t.Errorf("of %d sessions %d are established, %d requests were answered, %d bytes are held", c.next, n, st.TurnsCopied, c.w.core.Held())
	}
}

// live is what the heap holds in use, in bytes.
func live() uint64 {
	debug.FreeOSMemory() // collects, and makes room for resident to grow
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// resident is VmRSS of this process, in bytes.
func resident(t testing.TB) (kb uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	_, err = fmt.Sscan(rest, &kb)
	must(t, err)
	return kb << 10
}

func TestAnIdleSessionTakesHalfAKilobyteAtMost(t *testing.T) {
	c := newClienteles(t, 1)[0]
	c.open(1000) // pools and batches have their size
	before := live()
	const sessions = 1<<14 + 1 // both tables have just doubled
	c.open(sessions)
	c.idle()
	per := float64(live()-before) / sessions
	t.Logf("%.0f bytes a session", per)
	// Half a kilobyte, and what it takes to know where the client's messages end.
	if per > 512+float64(unsafe.Sizeof(message.Framer{})) {
		t.Errorf("%.0f bytes for an idle session", per)
	}
	runtime.KeepAlive(c)
}

// A million sessions, opened by one worker and by two.
func BenchmarkMillionSessions(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			const sessions = 1_000_000
			cs := newClienteles(b, workers)
			heap, rss := live(), resident(b)
			for range b.N {
				b.StopTimer()
				if cs[0].next > 0 {
					cs = newClienteles(b, workers)
				}
				b.StartTimer()
				var wg sync.WaitGroup
				for _, c := range cs {
					wg.Go(func() { c.open(sessions / workers) })
				}
				wg.Wait()
			}
			b.StopTimer()
			b.ReportMetric(sessions*float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
			grown := float64(resident(b) - rss) // with the collector's slack
			b.ReportMetric(grown/sessions, "RSS-B/session")
			b.ReportMetric(float64(live()-heap)/sessions, "heap-B/session")
			for _, c := range cs {
				c.idle()
			}
		})
	}
}
