package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// reloadable has the tcpcopy read its transfer, its intercepts and more from a
// file, which the function that it returns writes and has read.
func (p *scenario) reloadable() (reload func(online string, intercepts int, more string)) {
	path := filepath.Join(p.Lab.Dir, "online.toml")
	t := p.Copiers[0]
	write := func(online string, intercepts int, more string) {
		text := fmt.Sprintf("[[transfer]]\nonline = %q\ntarget = \"%s:80\"\n", online, lab.TargetAddr4)
		for i := range intercepts {
			text += fmt.Sprintf("[[intercept]]\naddress = %q\n", lab.AssistantAddr4(i))
		}
		p.must(os.WriteFile(path, []byte(text+more), 0o644))
	}
	write("80", 1, "")
	t.Args = []string{t.Args[0], "--config", path, "-c", lab.Pool4, "-B", "64", "--web.listen-address", testbed.MetricsAddr}
	return func(online string, intercepts int, more string) {
		p.Helper()
		write(online, intercepts, more)
		before := p.metric("tcpcopy_config_last_reload_success_timestamp_seconds")
		p.must(t.Process.Signal(syscall.SIGHUP))
		for range 500 {
			if p.metric("tcpcopy_config_last_reload_success_timestamp_seconds") > before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		p.Fatalf("not reloaded:\n%s", t.Process.Tail(10))
	}
}

func (p *scenario) metric(name string) float64 {
	p.Helper()
	m, err := p.Copiers[0].Metrics()
	p.must(err)
	return m.Sum(name)
}

func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true, Assistants: 2}})
	reload := p.reloadable()
	p.must(p.Intercepts[0].Start(p.ctx, "intercept"))
	p.must(p.Intercepts[1].Start(p.ctx, "intercept"))
	p.must(p.Copiers[0].Start(p.ctx, "tcpcopy"))
	reload("80", 2, "") // the target's answers go through both
	linked := 0
	for end := time.Now().Add(5 * time.Second); linked < 2; time.Sleep(20 * time.Millisecond) {
		m, err := p.Copiers[0].Metrics()
		p.must(err)
		if linked = m.Linked(); time.Now().After(end) {
			t.Fatalf("linked to %d of two intercepts", linked)
		}
	}
	long := p.load(load.Config{Conns: 40, Rate: 600, Duration: 4 * time.Second})
	short := p.load(load.Config{Conns: 100, Rate: 100, Duration: 4 * time.Second, Close: "server"})
	for i := range 10 {
		// The filter, the matcher, the limits and the session engine change each time.
		more := fmt.Sprintf("[[transfer]]\nonline = %q\ntarget = \"%s:80\"\n[session]\nmemory = \"%dMiB\"\n", fmt.Sprint(9000+i%3), lab.TargetAddr4, 256+i)
		reload("80", 2, more)
		time.Sleep(300 * time.Millisecond)
	}
	p.wait(long)
	p.wait(short)
	r := p.judge(verdict.Rules{})
	p.exact(r)
	p.unbroken(r)
	p.end()
}

func TestSessionsOfARemovedTransferAreCopiedToTheirEnd(t *testing.T) {
	p := small(t, defaultSmall)
	p.quiet = 2 * time.Second // some are to be missing
	reload := p.reloadable()
	p.copy()
	old := p.load(load.Config{Conns: 20, Rate: 300, Duration: 5 * time.Second})
	time.Sleep(time.Second)
	reload("81", 1, "")
	left := p.wait(p.load(load.Config{Conns: 20, Rate: 100, Duration: time.Second, Close: "server"}))
	reload("80", 1, "")
	again := p.wait(p.load(load.Config{Conns: 20, Rate: 100, Duration: time.Second, Close: "server"}))
	p.wait(old)
	r := p.judge(verdict.Rules{})
	t.Log(r.Copy)
	if r.Copy.Missing != left.Requests || r.Copy.Target != r.Copy.Online-left.Requests || r.Target[0].Connections != 20+again.Connections {
		t.Errorf("want all but the %d requests on new connections while the transfer was removed, on %d connections:\n%s", left.Requests, 20+again.Connections, r)
	}
	p.end()
}

func TestABrokenFileLeavesTheCopyAsItWas(t *testing.T) {
	p := small(t, defaultSmall)
	p.reloadable()
	p.copy()
	l := p.load(load.Config{Conns: 20, Rate: 300, Duration: 3 * time.Second})
	p.must(os.WriteFile(filepath.Join(p.Lab.Dir, "online.toml"), []byte("[[transfer]]\nonline = \"eighty\"\n"), 0o644))
	p.must(p.Copiers[0].Process.Signal(syscall.SIGHUP))
	p.wait(l)
	p.exact(p.judge(verdict.Rules{}))
	if log := p.Copiers[0].Process.Tail(30); !strings.Contains(log, "the old one stays") || p.metric("tcpcopy_config_last_reload_successful") != 0 {
		t.Errorf("nothing tells of the broken file:\n%s", log)
	}
	p.end()
}

func TestTheCheckTellsWhatThisHostLacks(t *testing.T) {
	p := small(t, defaultSmall)
	tcpcopy, ready := p.Copiers[0], p.Intercepts[0]
	n := 0
	check := func(args ...string) (status int, said string) {
		t.Helper()
		n++
		c, err := tcpcopy.Host.Start(lab.Command{Name: fmt.Sprint("check", n), Args: append(append([]string{}, tcpcopy.Args...), append(args, "--check-config")...)})
		p.must(err)
		status, err = c.Wait()
		p.must(err)
		return status, c.Tail(20)
	}
	if status, said := check(); status != 0 || !strings.Contains(said, "warning: no connection to intercept: dial tcp "+lab.AssistantAddr4(0)) {
		t.Errorf("without an intercept: status %d, %s", status, said)
	}
	p.must(ready.Start(p.ctx, "intercept"))
	if status, said := check(); status != 0 || strings.Contains(said, "warning") || !strings.Contains(said, "tcpcopy: the configuration is right") {
		t.Errorf("with everything there: status %d, %s", status, said)
	}
	if status, said := check("-x", "81-192.0.2.1"); status != 0 || !strings.Contains(said, "warning: ring: no route to 192.0.2.1") {
		t.Errorf("with a target that cannot be reached: status %d, %s", status, said)
	}
	if status, said := check("-x", "81-"+lab.OnlineAddr4); status != 2 || !strings.Contains(said, lab.OnlineAddr4+" is this host") {
		t.Errorf("with this host as a target: status %d, %s", status, said)
	}
	if log := ready.Process.Tail(20); strings.Contains(log, "refused") {
		t.Errorf("intercept complains of being looked at:\n%s", log)
	}
}
