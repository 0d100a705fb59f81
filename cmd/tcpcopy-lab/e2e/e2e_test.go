// Package e2e tells whether tcpcopy and intercept, as built, copy every request
// exactly once and in order. Its scenarios run on the lab's networks.
//
// TCL_PCAP=1 keeps a capture of each host of a test that failed, TCL_KEEP=1 the
// logs. TCL_SOAK=1 makes the loads of some last a minute.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

var bin string // directory of the binaries, removed by TestMain

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tcpcopy-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// programs builds the binaries once.
var programs = sync.OnceValues(func() (testbed.Programs, error) {
	args := []string{"build", "-o", bin}
	for _, c := range []string{"tcpcopy", "intercept", "tcpcopy-lab"} {
		args = append(args, "github.com/tcpcopy-go/tcpcopy/cmd/"+c)
	}
	build := exec.Command("go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return testbed.Programs{}, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return testbed.In(bin)
})

// loadDuration is how long a load lasts, which `make soak` makes a minute.
func loadDuration(short time.Duration) time.Duration {
	if soak() {
		return time.Minute
	}
	return short
}

func soak() bool { return os.Getenv("TCL_SOAK") != "" }

func needs(t *testing.T) testbed.Programs {
	t.Helper()
	if testing.Short() {
		t.Skip("plays for minutes")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root: the lab makes network namespaces")
	}
	p, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A scenario is a test with its testbed.
type scenario struct {
	*testbed.Testbed
	*testing.T
	ctx     context.Context
	quiet   time.Duration // how long the target may log nothing before what is missing counts
	settled time.Duration // how long the last judge waited for the copies
}

func small(t *testing.T, o testbed.Small) *scenario {
	t.Helper()
	p := needs(t)
	o.Assistants = max(1, o.Assistants)
	s, err := testbed.NewSmall(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return begin(t, s)
}

func seed(t *testing.T, o testbed.Seed) *scenario {
	t.Helper()
	p := needs(t)
	s, err := testbed.NewSeed(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return begin(t, s)
}

func begin(t *testing.T, s *testbed.Testbed) *scenario {
	t.Helper()
	p := &scenario{Testbed: s, T: t, ctx: t.Context(), quiet: 5 * time.Second}
	captures := p.capture()
	t.Cleanup(func() {
		if t.Failed() {
			load, _ := os.ReadFile("/proc/loadavg") // a starved machine explains kernel drops
			t.Logf("load average of the machine: %s%s", load, s.Logs(40))
			p.keep(captures)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// must ends the test on an error.
func (p *scenario) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *scenario) copy() {
	p.Helper()
	p.must(p.StartCopy(p.ctx))
}

func (p *scenario) load(c load.Config) *testbed.Load {
	p.Helper()
	l, err := p.Load(c, nil)
	p.must(err)
	return l
}

func (p *scenario) wait(l *testbed.Load) *load.Report {
	p.Helper()
	r, err := l.Wait(p.ctx)
	p.must(err)
	return r
}

// judge waits for the copies and compares; tcpcopy's account must be even, and
// no process may have ended on its own.
func (p *scenario) judge(rules verdict.Rules) *verdict.Report {
	p.Helper()
	start := time.Now()
	p.Settle(p.ctx, p.quiet)
	p.settled = time.Since(start).Round(100 * time.Millisecond)
	r, err := p.Judge(rules)
	p.must(err)
	for _, t := range append(append([]*testbed.Tool{}, p.Copiers...), p.Intercepts...) {
		if !t.Alive() {
			p.Errorf("%s on %s ended on its own", t, t.Host.Name)
		}
	}
	p.must(p.Account(r))
	if r.Tcpcopy.Unaccounted() != 0 {
		p.Errorf("tcpcopy's sums do not agree: %+v", r.Tcpcopy)
	}
	return r
}

// exact fails unless the copy is, and the tcpcopys count what they did.
func (p *scenario) exact(r *verdict.Report) {
	p.Helper()
	if !r.Exact() {
		p.Errorf("not an exact copy\n%s", r)
		p.counters()
		return
	}
	p.Logf("%v", r.Copy)
}

// unbroken wants each session over one connection.
func (p *scenario) unbroken(r *verdict.Report) {
	p.Helper()
	if r.Target[0].Connections != r.Online[0].Connections {
		p.Errorf("%d connections at the target for %d at production: sessions were given up", r.Target[0].Connections, r.Online[0].Connections)
	}
}

// counters prints every counter that is not zero.
func (p *scenario) counters() {
	for _, t := range append(append([]*testbed.Tool{}, p.Copiers...), p.Intercepts...) {
		m, err := t.Metrics()
		if err != nil {
			p.Log(err)
			continue
		}
		var lines strings.Builder
		for _, s := range m {
			tool := strings.HasPrefix(s.Name, "tcpcopy_") || strings.HasPrefix(s.Name, "intercept_")
			if tool && s.Value != 0 && !strings.HasSuffix(s.Name, "_bucket") {
				fmt.Fprintf(&lines, "  %s%v %v\n", s.Name, s.Labels, s.Value)
			}
		}
		p.Logf("counters of %s:\n%s", t.Host.Name, lines.String())
	}
}

// end asks the tools to end and wants status 0 of each.
func (p *scenario) end() {
	p.Helper()
	for _, t := range append(append([]*testbed.Tool{}, p.Copiers...), p.Intercepts...) {
		status, err := t.Process.Stop(20 * time.Second)
		if err != nil || status != 0 {
			p.Errorf("%s on %s: exit status %d, %v", t.Process.Name, t.Host.Name, status, err)
		}
	}
}

// capture records what passes each host, on demand.
func (p *scenario) capture() (files []string) {
	if os.Getenv("TCL_PCAP") == "" {
		return nil
	}
	for _, h := range p.Lab.Hosts() {
		file := filepath.Join(p.Lab.Dir, h.Name+".pcap")
		_, err := h.Start(lab.Command{Name: "tcpdump", Args: []string{"tcpdump", "-i", "any", "-s", "160", "-U", "-w", file, "tcp"}})
		p.must(err)
		files = append(files, file)
	}
	time.Sleep(500 * time.Millisecond) // tcpdump's sockets open
	return files
}

// keep moves captures, and logs, out of the lab's directory.
func (p *scenario) keep(captures []string) {
	if os.Getenv("TCL_KEEP") != "" {
		logs, _ := filepath.Glob(filepath.Join(p.Lab.Dir, "*.log"))
		access, _ := filepath.Glob(filepath.Join(p.Lab.Dir, "*", "access.log"))
		captures = append(append(captures, logs...), access...)
	}
	if len(captures) == 0 {
		return
	}
	to, err := os.MkdirTemp("", "tcpcopy-e2e-failed-")
	p.must(err)
	for _, c := range captures {
		name, _ := filepath.Rel(p.Lab.Dir, c)
		if err := os.Rename(c, filepath.Join(to, strings.ReplaceAll(name, "/", "-"))); err != nil {
			p.Log(err)
		}
	}
	p.Logf("kept in %s", to)
}
