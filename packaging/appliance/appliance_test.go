// Package appliance tells whether tcpcopy lives the life of a service: real
// systemd boots on two hosts of the lab, dpkg installs the packages, systemctl
// runs them. `make appliance` runs it; it takes about a minute and a half.
package appliance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/stage"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

const online = "tcpcopy@online"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build builds the programs of the lab and the packages of two versions.
func build(t *testing.T) (programs stage.Programs, debs string) {
	t.Helper()
	bin, debs := t.TempDir(), t.TempDir()
	for _, args := range [][]string{
		{"go", "build", "-o", bin, "../../cmd/tcpcopy", "../../cmd/intercept", "../../cmd/tcpcopy-lab"},
		{"../build", filepath.Join(debs, "old"), "v1.2.3", runtime.GOARCH},
		{"../build", filepath.Join(debs, "new"), "v1.3.0", runtime.GOARCH},
	} {
		c := exec.Command(args[0], args[1:]...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	programs, err := stage.In(bin)
	must(t, err)
	return programs, debs
}

func TestServicesLiveAndLeave(t *testing.T) {
	if os.Getenv("TCL_APPLIANCE") == "" {
		t.Skip("boots systemd; make appliance, or TCL_APPLIANCE=1")
	}
	programs, debs := build(t)
	s, err := stage.NewSmall(t.Context(), programs, stage.Small{Options: lab.Options{Offload: true, Assistants: 1}, Origin: stage.Origin{Embedded: true}})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	production := boot(t, "production", s.Copiers[0].Host.Namespace(), debs)
	assistant := boot(t, "assistant", s.Intercepts[0].Host.Namespace(), debs)

	step(t, "installing starts nothing", func() {
		production.run("sh", "-c", "dpkg -i /debs/old/tcpcopy_*.deb")
		assistant.run("sh", "-c", "dpkg -i /debs/old/intercept_*.deb")
		for _, m := range []*machine{production, assistant} {
			if units := m.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "tcpcopy*", "intercept*"); units != "" {
				t.Errorf("%s: %s", m.name, units)
			}
		}
		if out, err := production.try("systemctl", "start", online); err == nil {
			t.Errorf("the configuration as installed copies somewhere: %s", out)
		}
		if log := production.run("journalctl", "-u", online); !strings.Contains(log, "nothing to copy; name the online port") {
			t.Error(log)
		}
		production.run("systemctl", "stop", online)
	})

	configuration := fmt.Sprintf("[[transfer]]\nonline = \"80\"\ntarget = \"%s:80\"\n[[intercept]]\naddress = %q\n[session]\nclients = [%q]\n[metrics]\nlisten = %q\n",
		lab.TargetAddr4, lab.AssistantAddr4(0), lab.Pool4, stage.MetricsAddr)
	production.write("/etc/tcpcopy/online.toml", configuration)
	step(t, "systemctl start", func() {
		assistant.run("systemctl", "enable", "--now", "intercept")
		production.run("systemctl", "enable", "--now", online)
		for unit, m := range map[string]*machine{online: production, "intercept": assistant} {
			user := strings.TrimSuffix(unit, "@online")
			if got := m.run("ps", "-o", "user:20=", "-p", m.property(unit, "MainPID")); got != user {
				t.Errorf("%s runs as %s", unit, got)
			}
		}
		copies(t, s, nil)
		production.eventually("its status tells of the copy", func() bool {
			return strings.HasSuffix(production.property(online, "StatusText"), " sessions, 100.00 % of the turns copied, 1 of 1 intercepts linked")
		})
		assistant.eventually("its status tells of the replies", func() bool {
			return strings.HasPrefix(assistant.property("intercept", "StatusText"), "1 tcpcopys, 1 links, ")
		})
		t.Log(production.run("systemctl", "status", "--no-pager", online))
		t.Log(assistant.run("systemctl", "status", "--no-pager", "intercept"))
		if log := production.run("journalctl", "-o", "cat", "-u", online); !strings.Contains(log, "\nlevel=INFO msg=copying") {
			t.Errorf("the journal does not show the form that is its own:\n%s", log)
		}
		if out := production.run("journalctl", "-p", "warning", "-o", "cat", "-u", online); strings.Contains(out, "level=INFO") {
			t.Errorf("the journal does not know levels:\n%s", out)
		}
	})

	step(t, "the watchdog is fed", func() {
		for unit, m := range map[string]*machine{online: production, "intercept": assistant} {
			before := m.number(unit, "WatchdogTimestampMonotonic")
			m.eventually(unit+" feeds it", func() bool { return m.number(unit, "WatchdogTimestampMonotonic") > before })
		}
	})

	step(t, "reloading costs no session", func() {
		pid := production.property(online, "MainPID")
		copies(t, s, func() {
			production.run("systemctl", "reload", online)
			assistant.run("systemctl", "reload", "intercept")
		})
		if now := production.property(online, "MainPID"); now != pid {
			t.Errorf("process %s is now %s", pid, now)
		}
	})

	step(t, "restarting intercept costs no session", func() {
		copies(t, s, func() { assistant.run("systemctl", "restart", "intercept") })
	})

	step(t, "what is killed comes back", func() {
		production.run("systemctl", "kill", "-s", "KILL", online)
		production.eventually("it is started again", func() bool {
			return production.property(online, "NRestarts") == "1" && production.property(online, "ActiveState") == "active"
		})
		copies(t, s, nil)
	})

	step(t, "upgrading restarts what runs and keeps the configuration", func() {
		production.run("sh", "-c", "dpkg -i /debs/new/tcpcopy_*.deb")
		assistant.run("sh", "-c", "dpkg -i /debs/new/intercept_*.deb")
		for unit, m := range map[string]*machine{online: production, "intercept": assistant} {
			tool := strings.TrimSuffix(unit, "@online")
			log := m.run("journalctl", "-o", "cat", "-u", unit)
			if i := strings.LastIndex(log, "msg=starting"); !strings.HasPrefix(log[max(i, 0):], "msg=starting tool="+tool+" version=v1.3.0") {
				t.Errorf("%s is not the new one: %s", unit, log)
			}
		}
		if got := production.run("cat", "/etc/tcpcopy/online.toml"); got+"\n" != configuration {
			t.Errorf("the configuration is now %s", got)
		}
		copies(t, s, nil)
	})

	step(t, "at the bound of its memory it sheds and lives", func() {
		// A sixteenth of everything in the unit and in its configuration.
		production.write("/etc/default/"+online, `OPTIONS="-m 64"`+"\n")
		production.write("/etc/systemd/system/"+online+".service.d/small.conf", "[Service]\nMemoryMax=128M\nEnvironment=GOMEMLIMIT=115MiB\n")
		production.run("systemctl", "daemon-reload")
		production.run("systemctl", "restart", online)
		eventuallyLinked(t, s)
		pid := production.property(online, "MainPID")
		must(t, s.Target[0].Process.Signal(syscall.SIGSTOP))
		l, err := s.Load(load.Config{Conns: 100, Rate: 60, Duration: 5 * time.Second, Post: 1_000_000}, nil)
		must(t, err)
		most := 0
		for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			most = max(most, production.anonymous(pid))
		}
		_, err = l.Wait(t.Context())
		must(t, err)
		m, err := s.Copiers[0].Metrics()
		must(t, err)
		dropped := m.By("tcpcopy_dropped_payload_bytes_total", "reason")
		shed := dropped["memory_limit"] + dropped["shed_memory"] + dropped["refused_before"]
		t.Logf("%.0f MB held, %.0f MB shed, at most %d MB of memory", m.Sum("tcpcopy_held_payload_bytes")/1e6, shed/1e6, most/1000)
		if most > 128<<10 || shed == 0 {
			t.Errorf("memory of %d kB, %.0f bytes shed", most, shed)
		}
		if now := production.property(online, "MainPID"); now != pid {
			t.Errorf("process %s is now %s", pid, now)
		}
		must(t, s.Target[0].Process.Signal(syscall.SIGCONT))
		production.run("rm", "-r", "/etc/default/"+online, "/etc/systemd/system/"+online+".service.d")
		production.run("systemctl", "daemon-reload")
		production.run("systemctl", "restart", online)
		copies(t, s, nil)
	})

	step(t, "removing ends it, purging leaves nothing", func() {
		production.run("dpkg", "-r", "tcpcopy")
		assistant.run("dpkg", "-r", "intercept")
		for unit, m := range map[string]*machine{online: production, "intercept": assistant} {
			if state := m.property(unit, "ActiveState"); state != "inactive" {
				t.Errorf("%s is removed and %s", unit, state)
			}
			m.run("dpkg", "-P", strings.TrimSuffix(unit, "@online"))
			left := m.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-path", "/var/lib/dpkg", "-prune", "-o", "-newer", "/etc/machine-id",
				"(", "-name", "*tcpcopy*", "-o", "-name", "*intercept*", ")", "-print")
			if left != "" {
				t.Errorf("%s left %s", unit, left)
			}
		}
	})
}

// step names what a failure is about.
func step(t *testing.T, name string, f func()) {
	t.Helper()
	t.Logf("%s: %s", time.Now().Format(time.TimeOnly), name)
	failed := t.Failed()
	f()
	if !failed && t.Failed() {
		t.FailNow()
	}
}

// copies fails unless all of a load is copied, while which meanwhile happens.
func copies(t *testing.T, s *stage.Stage, meanwhile func()) {
	t.Helper()
	s.Forget()
	eventuallyLinked(t, s)
	l, err := s.Load(load.Config{Conns: 20, Rate: 500, Duration: 4 * time.Second}, nil)
	must(t, err)
	if meanwhile != nil {
		time.Sleep(time.Second)
		meanwhile()
	}
	_, err = l.Wait(t.Context())
	must(t, err)
	s.Settle(t.Context(), 5*time.Second)
	r, err := s.Judge(verdict.Rules{})
	must(t, err)
	if !r.Exact() {
		t.Errorf("not an exact copy\n%s", r)
	}
}

func eventuallyLinked(t *testing.T, s *stage.Stage) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if m, err := s.Copiers[0].Metrics(); err == nil && m.Sum("tcpcopy_link_up") == 1 {
			return
		}
	}
	t.Fatal("tcpcopy has no link to its intercept")
}
