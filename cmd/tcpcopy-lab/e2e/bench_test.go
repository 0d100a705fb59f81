package e2e

import (
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/bench"
)

// With itself as the peer, since there is no other here.
func TestABenchmarkMeasuresACopyAndItsPeer(t *testing.T) {
	p := needs(t)
	run := func(c bench.Config) map[bench.Side][]bench.Values {
		c.Programs, c.Runs, c.Duration = p, 1, time.Second
		r, err := bench.Run(t.Context(), c, t.Output())
		if err != nil {
			t.Fatal(err)
		}
		return r.Results[0].Samples
	}
	cost := run(bench.Config{Rows: []string{"keep-alive 2000/s"}})[bench.Ours][0]
	if cost[bench.Copied] != 100 || cost[bench.TcpcopyCPU] <= 0 || cost[bench.InterceptCPU] <= 0 {
		t.Errorf("%v", cost)
	}
	both := run(bench.Config{Rows: []string{"lag"}, Peer: p})
	for _, s := range []bench.Side{bench.Ours, bench.Peer} {
		if lag := both[s][0]; lag[bench.Copied] < 99 || lag[bench.LagP50] <= 0 || lag[bench.LagP99] < lag[bench.LagP50] {
			t.Errorf("%s: %v", s, lag)
		}
	}
}
