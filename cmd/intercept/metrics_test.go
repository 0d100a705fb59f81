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

	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMetricsAreThoseOfTheGoldenFile(t *testing.T) {
	router := reply.NewRouter(time.Minute, 16)
	i := &intercept{
		router:   router,
		server:   link.NewServer(link.ServerConfig{Router: router}),
		captures: []*reply.Capture{reply.NewCapture("eth0", router, 0, nil), reply.NewCapture("", router, 0, nil)},
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
