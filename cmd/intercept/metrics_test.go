package main

import (
	"flag"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tcpcopy-go/tcpcopy/pipeline/capture/leak"
	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

var update = flag.Bool("update", false, "write the golden files")

// fakeCapture is one without packets.
type fakeCapture struct {
	packetCapture
	err error
}

func (f fakeCapture) Err() error           { return f.err }
func (f fakeCapture) Reopened() uint64     { return 0 }
func (f fakeCapture) Stats(int) ring.Stats { return ring.Stats{} }

func TestMetricsAreThoseOfTheGoldenFile(t *testing.T) {
	router := reply.NewRouter(time.Minute, 16)
	i := &intercept{
		router: router,
		server: link.NewServer(link.ServerConfig{Router: router}),
		guard:  new(leak.Guard),
		captures: []interfaceCapture{
			{fakeCapture{}, reply.NewCapture("eth0", nil, router, 0, nil)},
			{fakeCapture{err: ring.ErrGone}, reply.NewCapture("", nil, router, 0, nil)},
		},
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(collector{i})
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	got := rec.Body.String()
	const golden = "testdata/metrics.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("run with -update if this is meant:\n%s", d)
	}
}
