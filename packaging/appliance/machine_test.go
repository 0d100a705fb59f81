package appliance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A machine is one that systemd-nspawn boots.
type machine struct {
	*testing.T
	name   string
	leader string // the process id of its init
}

// boot boots a machine in a network namespace.
func boot(t *testing.T, name, namespace, debs string) *machine {
	t.Helper()
	group := fmt.Sprintf("tcpcopy-appliance-%d-%s", os.Getpid(), name)
	c := exec.Command("unshare", "--mount", "--propagation", "private", "./boot.sh", namespace, debs, group)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	m := &machine{T: t, name: name}
	t.Cleanup(func() {
		// All die with their init, and nspawn ends then.
		if pid, err := strconv.Atoi(m.leader); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		} else {
			_ = c.Process.Kill()
		}
		_ = c.Wait()
		if err := removeGroups(group); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s: %s", name, out.String())
		}
	})
	m.eventually("it boots", func() bool {
		m.leader = leader(c.Process.Pid)
		if m.leader == "" {
			return false
		}
		state, _ := m.try("systemctl", "is-system-running")
		return state == "running" || state == "degraded"
	})
	return m
}

// leader returns the child of nspawn that is the first process of its own
// namespace.
func leader(nspawn int) string {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nspawn, nspawn))
	for _, pid := range strings.Fields(string(children)) {
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		for line := range strings.Lines(string(status)) {
			if ids := strings.Fields(line); len(ids) == 3 && ids[0] == "NSpid:" && ids[2] == "1" {
				return pid
			}
		}
	}
	return ""
}

// removeGroups removes the control groups that boot.sh made, and systemd in them.
func removeGroups(name string) (err error) {
	for range 50 {
		err = nil
		for _, hierarchy := range []string{"", "systemd", "unified"} {
			root := filepath.Join("/sys/fs/cgroup", hierarchy, name)
			var dirs []string
			_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- {
				err = errors.Join(err, os.Remove(dirs[i]))
			}
		}
		if err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// try runs a command in the machine and returns what it wrote.
func (m *machine) try(args ...string) (string, error) {
	c := exec.Command("nsenter", append([]string{"--target", m.leader, "--all", "--wd=/", "env", "-u", "NOTIFY_SOCKET", "DEBIAN_FRONTEND=noninteractive"}, args...)...)
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try for what must not fail.
func (m *machine) run(args ...string) string {
	m.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.Fatalf("%s: %s: %v\n%s\n%s", m.name, strings.Join(args, " "), err, out, m.log())
	}
	return out
}

// write writes a file of the machine.
func (m *machine) write(path, text string) {
	m.Helper()
	if err := os.MkdirAll(filepath.Dir("/proc/"+m.leader+"/root"+path), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile("/proc/"+m.leader+"/root"+path, []byte(text), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) log() string {
	out, _ := m.try("journalctl", "--no-pager", "-n", "60")
	return out
}

// property is what systemctl show says of a unit.
func (m *machine) property(unit, name string) string {
	m.Helper()
	return m.run("systemctl", "show", "--value", "-p", name, unit)
}

func (m *machine) number(unit, name string) int {
	m.Helper()
	n, err := strconv.Atoi(m.property(unit, name))
	if err != nil {
		m.Fatalf("%s: %s: %v", unit, name, err)
	}
	return n
}

// anonymous is the memory of a process, in kB, but for files and rings.
func (m *machine) anonymous(pid string) (kb int) {
	status, _ := os.ReadFile("/proc/" + m.leader + "/root/proc/" + pid + "/status")
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
			kb, _ = strconv.Atoi(f[1])
		}
	}
	return kb
}

// eventually waits for what comes about by itself.
func (m *machine) eventually(what string, ok func() bool) {
	m.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	m.Fatalf("%s: never happened: %s\n%s", m.name, what, m.log())
}
