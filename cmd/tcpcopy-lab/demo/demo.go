// Package demo shows tcpcopy at work on the seed's network: production runs
// alone, then it is copied to the gateway under test, then the copy is judged.
package demo

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// Config says what the demo does.
type Config struct {
	Gateway    lab.Gateway
	Assistants int
	Offload    bool
	Alone      time.Duration // production without a copy
	Copied     time.Duration
	Rate       float64 // requests per second; a fifth of them on connections of their own
	Terminal   bool    // out can be drawn on
}

// quiet is how long the target may log nothing before what is missing is
// given up.
const quiet = 5 * time.Second

// Run runs the demo, writes what happens to out and returns the verdict. It
// leaves nothing behind, also when it fails or ctx ends.
func Run(ctx context.Context, p testbed.Programs, c Config, out io.Writer) (report *verdict.Report, err error) {
	fmt.Fprintln(out, Picture(c.Gateway, c.Assistants))
	for _, program := range []struct{ name, instead string }{
		{"nginx", "the lab's own web server"}, {"haproxy", "the lab's own balancer"},
	} {
		if _, err := exec.LookPath(program.name); err != nil {
			fmt.Fprintf(out, "%s is not installed: %s stands for it\n", program.name, program.instead)
		}
	}
	s, err := testbed.NewSeed(ctx, p, testbed.Seed{Options: lab.Options{Offload: c.Offload, Assistants: c.Assistants}, Gateway: c.Gateway})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
	}()
	fmt.Fprintf(out, "lab %s is up: %d hosts, each a network namespace (ip netns)\n\n", s.Lab.Run, len(s.Lab.Hosts()))

	fmt.Fprintf(out, "1. production alone, %v\n", c.Alone)
	before, err := traffic(ctx, s, c, c.Alone, out)
	if err != nil {
		return nil, err
	}
	s.Forget()

	fmt.Fprintf(out, "\n2. copied, %v\n", c.Copied)
	for _, t := range append(append([]*testbed.Tool{}, s.Intercepts...), s.Copiers...) {
		fmt.Fprintf(out, "   %-11s %s\n", t.Host.Name+":", t)
	}
	if err := s.StartCopy(ctx); err != nil {
		return nil, err
	}
	during, err := traffic(ctx, s, c, c.Copied, out)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.Logs(10))
	}
	s.Settle(ctx, quiet)
	if report, err = s.Judge(verdict.Rules{}); err != nil {
		return nil, err
	}
	if err := s.Account(report); err != nil {
		return nil, err
	}
	report.Before, report.During = &before, &during
	if !report.Exact() {
		fmt.Fprint(out, s.Logs(15))
	}
	fmt.Fprintf(out, "\n3. the verdict\n\n%s", report)
	return report, ctx.Err()
}

// traffic drives production for a while: long connections, and short ones.
func traffic(ctx context.Context, s *testbed.Testbed, c Config, d time.Duration, out io.Writer) (load.Stat, error) {
	view := newView(out, c.Terminal, s, d)
	var loads []*testbed.Load
	for i, l := range []load.Config{
		{Conns: 60, Rate: c.Rate * 0.8, Duration: d},
		{Conns: 500, Rate: c.Rate * 0.2, Duration: d, Close: "server"},
	} {
		running, err := s.Load(l, func(second load.Stat) { view.latency(i, second) })
		if err != nil {
			return load.Stat{}, err
		}
		loads = append(loads, running)
	}
	done := make(chan struct{})
	go view.run(ctx, done)
	var sum load.Stat
	var failed error
	for _, l := range loads {
		r, err := l.Wait(ctx)
		if err != nil {
			failed = err
			break
		}
		// The worse of two latencies is the latency of both.
		sum.Seconds = max(sum.Seconds, r.Seconds)
		sum.Requests, sum.Answers, sum.Bytes = sum.Requests+r.Requests, sum.Answers+r.Answers, sum.Bytes+r.Bytes
		sum.P50, sum.P99, sum.Max = max(sum.P50, r.P50), max(sum.P99, r.P99), max(sum.Max, r.Max)
	}
	close(done)
	view.wait()
	return sum, failed
}
