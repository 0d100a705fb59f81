// Package testbed is a network of the lab with its web servers running, and
// with the load generator, tcpcopy, intercept and the verdict ready to be used.
// The demo, the benchmark and the tests are written with it.
package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// Programs are the paths of the binaries.
type Programs struct {
	Tcpcopy, Intercept, Lab string
}

// In are the binaries of dir.
func In(dir string) (Programs, error) {
	p := Programs{filepath.Join(dir, "tcpcopy"), filepath.Join(dir, "intercept"), filepath.Join(dir, "tcpcopy-lab")}
	for _, path := range []string{p.Tcpcopy, p.Intercept, p.Lab} {
		if _, err := os.Stat(path); err != nil {
			return p, fmt.Errorf("testbed: %w: build the binaries with `make build`", err)
		}
	}
	return p, nil
}

// A Testbed is a network whose production servers run.
type Testbed struct {
	Lab      *lab.Lab
	Programs Programs

	Client  *lab.Host
	Front   string   // what clients connect to
	Sources []string // clients' addresses

	Online  []*Server
	Target  []*Server
	Gateway *Server // where a proxy stands before the target; else nil

	Backend *lab.Host // for the server behind a target that is a gateway; nil without lab.Options.Backend

	Copiers    []*Tool
	Intercepts []*Tool

	loads, replays int
}

// Close ends every process and removes the network and its files.
func (s *Testbed) Close() error { return s.Lab.Close() }

// TargetCount and OnlineCount are the requests logged so far.
func (s *Testbed) TargetCount() int { return count(s.Target) }

// OnlineCount is production's.
func (s *Testbed) OnlineCount() int { return count(s.Online) }

// Forget leaves the requests so far, all of them answered, out of the counts
// and the verdict.
func (s *Testbed) Forget() {
	for _, server := range append(append([]*Server{}, s.Online...), s.Target...) {
		server.forget()
	}
	if s.Gateway != nil {
		s.Gateway.forget()
	}
}

// Settle waits until the target has logged as many requests as production, or
// nothing new for as long as quiet, and then a moment for what is too much.
func (s *Testbed) Settle(ctx context.Context, quiet time.Duration) {
	last, since := -1, time.Now()
	for ctx.Err() == nil && time.Since(since) < quiet {
		n := s.TargetCount()
		if n >= s.OnlineCount() {
			break
		}
		if n != last {
			last, since = n, time.Now()
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
}

// Judge compares the logs of both sides. Behind a proxy the order of a
// connection shows in the proxy's log; its servers get each request once.
func (s *Testbed) Judge(rules verdict.Rules) (*verdict.Report, error) {
	online, err := servers(s.Online)
	if err != nil {
		return nil, err
	}
	target, err := servers(s.Target)
	if err != nil {
		return nil, err
	}
	r := &verdict.Report{Online: verdict.Counts(online), Target: verdict.Counts(target)}
	if s.Gateway == nil {
		r.Copy = verdict.Compare(online, target, rules)
		return r, nil
	}
	gateway, err := servers([]*Server{s.Gateway})
	if err != nil {
		return nil, err
	}
	r.Gateway = verdict.Counts(gateway)
	r.Copy = verdict.Compare(online, gateway, rules)
	rules.Proxied = true
	r.Behind = verdict.Compare(online, target, rules)
	return r, nil
}

// Account adds what the tcpcopys count to a report.
func (s *Testbed) Account(r *verdict.Report) error {
	for _, t := range s.Copiers {
		m, err := t.Metrics()
		if err != nil {
			return err
		}
		r.Account(m)
	}
	return nil
}
