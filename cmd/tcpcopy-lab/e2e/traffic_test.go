package e2e

import (
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

const megabyte = 1_000_000

// Each kind of traffic, over wires with segmentation offloads and without.
func TestEveryRequestIsCopiedExactlyOnceAndInOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		testbed testbed.Small
		load    load.Config
	}{
		{"short, server closes", testbed.Small{}, load.Config{Conns: 1000, Rate: 1000, Duration: 5 * time.Second, Close: "server"}},
		{"short, client closes", testbed.Small{}, load.Config{Conns: 1000, Rate: 1000, Duration: 5 * time.Second, Close: "client"}},
		{"keep-alive", testbed.Small{}, load.Config{Conns: 50, Rate: 2000, Duration: 5 * time.Second}},
		{"keep-alive, IPv6", testbed.Small{V6: true}, load.Config{Conns: 50, Rate: 2000, Duration: 5 * time.Second}},
		{"1000 connections, 10000 a second", testbed.Small{}, load.Config{Conns: 1000, Rate: 10000, Duration: 10 * time.Second}},
		{"pipelined", testbed.Small{}, load.Config{Conns: 20, Rate: 4000, Depth: 8, Duration: 4 * time.Second}},
		{"post", testbed.Small{Origin: testbed.Origin{Embedded: true}}, load.Config{Conns: 10, Rate: 40, Duration: 4 * time.Second, Post: megabyte}},
		{"download", testbed.Small{Origin: testbed.Origin{Downloads: []int{10 * megabyte}}}, load.Config{Conns: 5, Rate: 10, Duration: 4 * time.Second, Get: 10 * megabyte}},
		{"upload of 100 MB", testbed.Small{Origin: testbed.Origin{Embedded: true}}, load.Config{Conns: 1, Rate: 1, Duration: time.Second, Post: 100 * megabyte}},
		{"download of 100 MB", testbed.Small{Origin: testbed.Origin{Downloads: []int{100 * megabyte}}}, load.Config{Conns: 2, Rate: 2, Duration: time.Second, Get: 100 * megabyte}},
	} {
		for _, offload := range []bool{true, false} {
			name := c.name + ", offloads on"
			if !offload {
				name = c.name + ", offloads off"
			}
			t.Run(name, func(t *testing.T) {
				c.testbed.Options = lab.Options{Offload: offload}
				p := small(t, c.testbed)
				p.copy()
				report := p.wait(p.load(c.load))
				p.exact(p.judge(verdict.Rules{}))
				p.Logf("production: %.0f requests/s, latency p50 %d us, p99 %d us", report.Rate(), report.P50, report.P99)
				p.end()
			})
		}
	}
}

func TestClientsCanKeepTheirAddresses(t *testing.T) {
	for name, o := range map[string]testbed.Small{"IPv4": {KeepAddresses: true}, "IPv6": {KeepAddresses: true, V6: true}} {
		t.Run(name, func(t *testing.T) {
			o.Options = lab.Options{Offload: true, Assistants: 2}
			p := small(t, o)
			p.copy()
			long := p.load(load.Config{Conns: 20, Rate: 500, Duration: 3 * time.Second})
			short := p.load(load.Config{Conns: 200, Rate: 200, Duration: 3 * time.Second, Close: "client"})
			p.wait(long)
			p.wait(short)
			p.exact(p.judge(verdict.Rules{}))
			p.end()
		})
	}
}
