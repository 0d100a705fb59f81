package verdict

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMetricsAreReadAndSummed(t *testing.T) {
	m, err := ParseMetrics(`# HELP tcpcopy_dropped_packets_total Packets dropped.
# TYPE tcpcopy_dropped_packets_total counter
tcpcopy_dropped_packets_total{stage="decode",reason="fragment"} 3
tcpcopy_dropped_packets_total{reason="fragment",stage="a \"quoted\", {odd} name"} 4
tcpcopy_dropped_packets_total{stage="x",reason="not_tcp"} 1e+06

tcpcopy_buffered_bytes 12
go_info NaN
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Sum("tcpcopy_dropped_packets_total"); got != 1000007 {
		t.Errorf("sum %v", got)
	}
	want := map[string]float64{"fragment": 7, "not_tcp": 1e6}
	if d := cmp.Diff(want, m.By("tcpcopy_dropped_packets_total", "reason")); d != "" {
		t.Error(d)
	}
	if got := m.Sum("tcpcopy_buffered_bytes"); got != 12 {
		t.Errorf("buffered %v", got)
	}
}

func TestBrokenMetricsAreRefused(t *testing.T) {
	for _, text := range []string{"name", "name x", `name{a="b 1`, `name{a} 1`} {
		if _, err := ParseMetrics(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
