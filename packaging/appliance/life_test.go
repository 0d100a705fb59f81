package appliance

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// reloads has tcpcopy take on another share and another transfer, while it
// copies, then a file with a mistake and one that needs a restart.
func reloads(t *testing.T, s *testbed.Testbed, production *machine, configuration string) {
	t.Helper()
	const file = "/etc/tcpcopy/online.toml"
	metrics := func() verdict.Metrics {
		t.Helper()
		m, err := s.Copiers[0].Metrics()
		must(t, err)
		return m
	}
	pid := production.property(online, "MainPID")
	copies(t, s, func() {
		// It is about new sessions: those that run are copied to their end.
		production.write(file, configuration+"percent = 0.000001\n"+fmt.Sprintf("[[transfer]]\nonline = \"81\"\ntarget = \"%s:81\"\n", lab.TargetAddr4))
		production.run("systemctl", "reload", online)
		production.eventually("the new transfer is there", func() bool {
			_, ok := metrics().By("tcpcopy_matched_packets_total", "transfer")["81-"+lab.TargetAddr4+":81"]
			return ok
		})
	})
	before := metrics().Sum("tcpcopy_online_connections_total")
	l, err := s.Load(load.Config{Conns: 10, Rate: 100, Duration: time.Second}, nil)
	must(t, err)
	_, err = l.Wait(t.Context())
	must(t, err)
	production.eventually("new sessions are left out", func() bool {
		return metrics().By("tcpcopy_dropped_packets_total", "reason")["sampled_out"] >= 100
	})
	if n := metrics().Sum("tcpcopy_online_connections_total") - before; n > 0 {
		t.Errorf("%v sessions outside of the new share are copied", n)
	}

	for mistake, want := range map[string]string{
		"percent = 101\n":                             "101 is not a percentage",
		"[capture]\nring_size = \"8MiB\"\n":           "needs a restart: capture.ring_size (",
		"[[transfer]]\nonline = \"82\"\ntarget = 9\n": "target",
	} {
		production.write(file, configuration+mistake)
		out, err := production.try("systemctl", "reload", online)
		if restart := strings.Contains(want, "restart"); (err == nil) != restart {
			t.Errorf("%q: systemctl reload: %v %s", mistake, err, out)
		}
		production.eventually("its status tells of the mistake", func() bool {
			status := production.property(online, "StatusText")
			return strings.Contains(status, "the last reload failed: ") && strings.Contains(status, want)
		})
		if n := metrics().Sum("tcpcopy_config_last_reload_successful"); n != 0 {
			t.Errorf("%q: tcpcopy_config_last_reload_successful %v", mistake, n)
		}
	}

	production.write(file, configuration)
	production.run("systemctl", "reload", online)
	production.eventually("the configuration is taken on", func() bool { return metrics().Sum("tcpcopy_config_last_reload_successful") == 1 })
	copies(t, s, nil)
	if now := production.property(online, "MainPID"); now != pid {
		t.Errorf("process %s is now %s", pid, now)
	}
	t.Log(production.run("journalctl", "-o", "cat", "-n", "30", "-u", online))
}

// lives has the services restarted, killed, hanging, upgraded and short of
// memory.
func lives(t *testing.T, s *testbed.Testbed, production, assistant *machine, configuration string) {
	t.Helper()
	services := map[string]*machine{online: production, "intercept": assistant}
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

	step(t, "the watchdog is fed, and ends what hangs", func() {
		for unit, m := range services {
			m.write("/etc/systemd/system/"+unit+".service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
			m.run("systemctl", "daemon-reload")
			m.run("systemctl", "restart", unit)
			pid, before := m.property(unit, "MainPID"), m.number(unit, "WatchdogTimestampMonotonic")
			m.eventually(unit+" feeds it", func() bool { return m.number(unit, "WatchdogTimestampMonotonic") > before })
			m.run("kill", "-STOP", pid)
			m.eventually(unit+" is started again", func() bool {
				now := m.property(unit, "MainPID")
				return now != pid && now != "0" && m.property(unit, "ActiveState") == "active"
			})
			if log := m.run("journalctl", "-o", "cat", "-n", "1000", "-u", unit); !strings.Contains(log, "Watchdog timeout") || !strings.Contains(log, "SIGABRT: abort") {
				t.Errorf("%s: the journal lacks the watchdog, or the stacks:\n%s", unit, log)
			}
			m.run("rm", "-r", "/etc/systemd/system/"+unit+".service.d")
			m.run("systemctl", "daemon-reload")
			m.run("systemctl", "restart", unit)
		}
		copies(t, s, nil)
	})

	step(t, "upgrading restarts what runs and keeps the configuration", func() {
		production.run("sh", "-c", "dpkg -i /debs/new/tcpcopy_*.deb")
		assistant.run("sh", "-c", "dpkg -i /debs/new/intercept_*.deb")
		for unit, m := range services {
			tool := strings.TrimSuffix(unit, "@online")
			log := m.run("journalctl", "-o", "cat", "-u", unit)
			if i := strings.LastIndex(log, "msg=starting"); !strings.HasPrefix(log[max(i, 0):], "msg=starting tool="+tool+" version=1.3.0") {
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

}
