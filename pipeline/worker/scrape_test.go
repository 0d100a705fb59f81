package worker

import (
	"net/http/httptest"
	"sync"
	"testing"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// What a worker needs for a request while /metrics is read without a pause,
// and while it is not. The time is that of the worker's own thread, so that a
// machine with few CPUs shows the same: what remains is what the two share,
// the lock of publish and the cache.
func BenchmarkRequestWhileScraped(b *testing.B) {
	for scrapers, name := range []string{"alone", "scraped"} {
		b.Run(name, func(b *testing.B) {
			p := newRigs(b, 1, nil)
			w := p[0]
			c := testbed.NewClient(40000)
			end, next := openSession(b, c, w)
			r := prometheus.NewPedanticRegistry()
			testbed.Must(b, r.Register(collector(p)))
			stop := make(chan struct{})
			var wg sync.WaitGroup
			scrapes := 0
			for range scrapers {
				wg.Go(func() {
					for h := promhttp.HandlerFor(r, promhttp.HandlerOpts{}); ; scrapes++ {
						select {
						case <-stop:
							return
						default:
							h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
						}
					}
				})
			}
			n := 0
			began := threadTime(b)
			for b.Loop() {
				w.frame(c.Frame(packet.ACK|packet.PSH, "GET / HTTP/1.1\r\nHost: example\r\n\r\n"))
				pass(w)
				w.reply(&packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: end, Seq: next, Ack: c.Seq, Len: 100, Flags: packet.ACK | packet.PSH, Window: 65535})
				next += 100
				c.Ack += 100
				pass(w)
				w.Publish() // as before each sleep
				n++
			}
			b.ReportMetric(float64(threadTime(b)-began)/float64(n), "cpu-ns/op")
			close(stop)
			wg.Wait()
			b.ReportMetric(float64(scrapes)/b.Elapsed().Seconds(), "scrapes/s")
		})
	}
}

// threadTime is the CPU time of this thread in ns.
func threadTime(tb testing.TB) int64 {
	tb.Helper()
	var ts unix.Timespec
	testbed.Must(tb, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
	return ts.Nano()
}

func BenchmarkPublish(b *testing.B) {
	var p account.Published
	var c account.Counters
	for b.Loop() {
		p.Put(&c)
	}
	b.ReportMetric(float64(unsafe.Sizeof(c)), "bytes")
}
