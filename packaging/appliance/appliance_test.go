// Package appliance tells whether tcpcopy lives the life of a service: real
// systemd boots on two hosts of the lab, dpkg installs the packages, systemctl
// runs them. `make packaged` runs the short form, which starts, reloads and
// removes; `make appliance` all of it, in about two minutes.
package appliance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

const online = "tcpcopy@online"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// whole reports whether the long form is asked for.
func whole() bool { return os.Getenv("TCL_APPLIANCE") != "" }

// build builds the programs of the lab and the packages, in the long form of
// two versions.
func build(t *testing.T) (programs testbed.Programs, debs string) {
	t.Helper()
	bin, debs := t.TempDir(), t.TempDir()
	commands := [][]string{
		{"go", "build", "-o", bin, "../../cmd/tcpcopy", "../../cmd/intercept", "../../cmd/tcpcopy-lab"},
		{"../build", filepath.Join(debs, "old"), "1.2.3", runtime.GOARCH},
	}
	if whole() {
		commands = append(commands, []string{"../build", filepath.Join(debs, "new"), "1.3.0", runtime.GOARCH})
	}
	for _, args := range commands {
		c := exec.Command(args[0], args[1:]...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	programs, err := testbed.In(bin)
	must(t, err)
	return programs, debs
}

func TestServicesLiveAndLeave(t *testing.T) {
	if testing.Short() {
		t.Skip("boots systemd")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root to boot systemd; -short leaves this test out")
	}
	programs, debs := build(t)
	s, err := testbed.NewSmall(t.Context(), programs, testbed.Small{Options: lab.Options{Offload: true, Assistants: 1}, Origin: testbed.Origin{Embedded: true}})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	production := boot(t, "production", s.Copiers[0].Host.Namespace(), debs)
	assistant := boot(t, "assistant", s.Intercepts[0].Host.Namespace(), debs)
	services := map[string]*machine{online: production, "intercept": assistant}

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

	configuration := fmt.Sprintf("[[transfer]]\nonline = \"80\"\ntarget = \"%s:80\"\n[[intercept]]\naddress = %q\n[metrics]\nlisten = %q\n[session]\nclients = [%q]\n",
		lab.TargetAddr4, lab.AssistantAddr4(0), testbed.MetricsAddr, lab.Pool4)
	production.write("/etc/tcpcopy/online.toml", configuration)
	step(t, "systemctl start", func() {
		assistant.run("systemctl", "enable", "--now", "intercept")
		production.run("systemctl", "enable", "--now", online)
		for unit, m := range services {
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
			return strings.HasPrefix(assistant.property("intercept", "StatusText"), fmt.Sprintf("1 tcpcopys, %d links, ", runtime.NumCPU()))
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

	step(t, "nothing but what it needs is left of the capabilities", func() {
		for unit, want := range map[string]string{online: "0000000000003000", "intercept": "0000000000002000"} { // CAP_NET_ADMIN and CAP_NET_RAW; CAP_NET_RAW
			m := services[unit]
			status := m.run("cat", "/proc/"+m.property(unit, "MainPID")+"/status")
			for _, set := range []string{"CapPrm", "CapEff"} {
				if !strings.Contains(status, set+":\t"+want+"\n") {
					t.Errorf("%s: %s is not %s:\n%s", unit, set, want, status)
				}
			}
		}
	})

	step(t, "reloading costs no session and takes on what is new", func() {
		reloads(t, s, production, configuration)
		assistant.run("systemctl", "reload", "intercept")
	})
	if whole() {
		lives(t, s, production, assistant, configuration)
	}

	step(t, "removing ends it, purging leaves nothing", func() {
		production.run("dpkg", "-r", "tcpcopy")
		assistant.run("dpkg", "-r", "intercept")
		for unit, m := range services {
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
func copies(t *testing.T, s *testbed.Testbed, meanwhile func()) {
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

func eventuallyLinked(t *testing.T, s *testbed.Testbed) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if m, err := s.Copiers[0].Metrics(); err == nil && m.Linked() == 1 {
			return
		}
	}
	t.Fatal("tcpcopy has no link to its intercept")
}
