package e2e

import (
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/relay"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// Loss, delay and disorder on the way to the target and back cost time, not
// requests.
func TestABadNetworkLosesNoRequest(t *testing.T) {
	far := relay.Config{Delay: 10 * time.Millisecond, Jitter: 3 * time.Millisecond, Loss: 0.01, Duplicate: 0.01}
	for _, network := range []struct {
		name    string
		testbed testbed.Small
	}{
		{"1 % loss", testbed.Small{Loss: 0.01}},
		{"5 % loss", testbed.Small{Loss: 0.05}},
		{"10 ms each way, disorder, 1 % loss, 1 % twice", testbed.Small{Wire: &far}},
	} {
		for _, traffic := range []struct {
			name string
			load load.Config
		}{
			{"keep-alive", load.Config{Conns: 20, Rate: 500}},
			{"short", load.Config{Conns: 500, Rate: 300, Close: "server"}},
			{"post", load.Config{Conns: 20, Rate: 20, Post: 100_000}},
		} {
			t.Run(network.name+", "+traffic.name, func(t *testing.T) {
				o := network.testbed
				o.Options = lab.Options{Offload: true}
				o.Embedded = traffic.load.Post > 0
				p := small(t, o)
				p.copy()
				traffic.load.Duration = loadDuration(5 * time.Second)
				p.wait(p.load(traffic.load))
				r := p.judge(verdict.Rules{})
				p.exact(r)
				p.Logf("copied %v after the load", p.settled)
				p.end()
			})
		}
	}
}

// What the capture missed cannot be copied. It costs the request that it was
// part of, at most the one behind as well, and not the connection.
func TestAHoleInTheCaptureCostsNoMoreThanItsRequests(t *testing.T) {
	// The filter looks away when the sequence number ends in 8 certain bits.
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Args: []string{"-F", "tcp dst port 80 and tcp[7] != 77"}})
	p.copy()
	p.wait(p.load(load.Config{Conns: 20, Rate: 300, Duration: 6 * time.Second}))
	r := p.judge(verdict.Rules{})
	c := r.Copy
	p.Logf("%v", c)
	if c.Ratio() < 0.98 || c.Duplicated+c.OutOfOrder+c.Foreign+c.Altered+c.Mixed > 0 {
		p.Errorf("one packet of 256 was not captured:\n%s", r)
		p.counters()
	}
	p.end()
}
