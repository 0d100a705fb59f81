package appliance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// toolEnv makes the test binary a tool of its own: its value says how Run
// behaves.
const toolEnv = "APPLIANCE_TEST_TOOL"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(toolEnv); behaviour != "" {
		os.Exit(Main("tool", func(args []string, out io.Writer) (Tool, error) {
			c, err := conf.ParseIntercept(args, out)
			if err != nil {
				return nil, err
			}
			return &testTool{conf: c, behaviour: behaviour}, nil
		}))
	}
	os.Exit(m.Run())
}

// testTool is one that behaves as named.
type testTool struct {
	conf      *conf.Intercept
	behaviour string
}

func (t *testTool) Process() *conf.Process { return &t.conf.Process }

func (t *testTool) Check(context.Context) (problems, warnings []string) {
	if t.behaviour == "misses" {
		return []string{"no interface eth9", "no capability"}, []string{"no route yet"}
	}
	return nil, nil
}

func (t *testTool) Run(ctx context.Context, a *Appliance) error {
	switch t.behaviour {
	case "fails":
		return errors.New("eth9 is gone; name another interface")
	case "refuses":
		return fmt.Errorf("input: %w", &InputError{errors.New("a.pcap is no recording")})
	case "crashes":
		panic("a defect")
	case "quits":
		return nil
	case "keeps":
		a.Keep(unix.CAP_NET_RAW, unix.CAP_NET_ADMIN)
	}
	a.Ready()
	fmt.Println("ready")
	<-ctx.Done()
	if t.behaviour == "lingers" {
		fmt.Println("lingering")
		select {}
	}
	return nil
}

func (t *testTool) Reload(next Tool) error {
	if t.behaviour == "stays" {
		return errors.New("not now")
	}
	t.conf = next.(*testTool).conf
	return nil
}

func (t *testTool) Beat() {
	if t.behaviour == "hangs" {
		select {}
	}
}

func (t *testTool) Status() string { return "all is well" }

// tool prepares a process that behaves as named.
func tool(t *testing.T, behaviour string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), toolEnv+"="+behaviour)
	return c
}

// start runs c and waits until it has written line.
func start(t *testing.T, c *exec.Cmd, line string) *bufio.Reader {
	t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	r := bufio.NewReader(out)
	expect(t, r, line)
	return r
}

func expect(t *testing.T, r *bufio.Reader, line string) {
	t.Helper()
	if got, err := r.ReadString('\n'); err != nil || got != line+"\n" {
		t.Fatalf("the tool wrote %q, %v; want %q", got, err, line)
	}
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never happened: %s", what)
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -2
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

func TestExitStatusAndStandardErrorTellWhatHappened(t *testing.T) {
	for _, tt := range []struct {
		name, behaviour string
		args            []string
		status          int
		stdout, stderr  string // regular expressions
	}{
		{"help", "quits", []string{"-h"}, 0, `(?s)^Usage: .*--version`, `^$`},
		{"version", "quits", []string{"-v"}, 0, `^tool 0\.\d+\.\d+\S*( \(commit \S+\))?\n$`, `^$`},
		{"check", "quits", []string{"--check-config"}, 0, `^tool: the configuration is right\n$`, `^$`},
		{"check fails", "misses", []string{"--check-config"}, 2, `^tool: warning: no route yet\n$`, `^tool: no interface eth9\ntool: no capability\n$`},
		{"usage", "quits", []string{"-p", "x"}, 2, `^$`, `^tool: -p, --port: [^\n]+\n$`},
		{"run", "fails", nil, 1, `^$`, `(?m)^tool: eth9 is gone; name another interface$`},
		{"input", "refuses", nil, 2, `^$`, `(?m)^tool: input: a.pcap is no recording$`},
		{"no error", "quits", nil, 0, `^$`, `level=INFO msg=ended`},
		{"log", "quits", []string{"-l", "/nowhere/log"}, 1, `^$`, `^tool: log file: open /nowhere/log: [^\n]+; name another with -l\n$`},
		{"pid", "quits", []string{"-P", "/nowhere/pid"}, 1, `^$`, `^tool: pid file: open /nowhere/pid: [^\n]+; name another with -P\n$`},
		{"json", "quits", []string{"--log-format", "json"}, 0, `^$`, `"msg":"ended"`},
		{"level", "quits", []string{"--log-level", "error"}, 0, `^$`, `^$`},
		{"web", "quits", []string{"--web.listen-address", "192.0.2.1:1"}, 1, `^$`, `(?m)^tool: metrics: listen [^\n]+; choose another --web.listen-address$`},
		{"daemon, usage", "quits", []string{"-d", "-p", "x"}, 2, `^$`, `^tool: -p, --port: [^\n]+\n$`},
		{"daemon fails", "fails", []string{"-d"}, 1, `^$`, `(?m)^tool: eth9 is gone; name another interface$`},
		{"daemon crashes", "crashes", []string{"-d"}, 2, `^$`, `(?m)^panic: a defect`},
		{"daemon quits", "quits", []string{"-d"}, 1, `^$`, `(?m)^tool: cannot run in the background: it ended before it was ready`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			c := tool(t, tt.behaviour, tt.args...)
			c.Stdout, c.Stderr = &stdout, &stderr
			if got := exitStatus(c.Run()); got != tt.status {
				t.Errorf("exit status %d, want %d", got, tt.status)
			}
			for text, want := range map[string]string{stdout.String(): tt.stdout, stderr.String(): tt.stderr} {
				if !regexp.MustCompile(want).MatchString(text) {
					t.Errorf("it wrote %q, which does not match %q", text, want)
				}
			}
		})
	}
}

func TestTerminationEndsInOrderAndRemovesThePidFile(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	c := tool(t, "waits", "-P", pid)
	start(t, c, "ready")
	if b, err := os.ReadFile(pid); err != nil || string(b) != strconv.Itoa(c.Process.Pid)+"\n" {
		t.Errorf("the pid file of process %d holds %q, %v", c.Process.Pid, b, err)
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if got := exitStatus(c.Wait()); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
	if !missing(pid) {
		t.Error("the pid file stays")
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	c := tool(t, "lingers", "-P", pid)
	r := start(t, c, "ready")
	_ = c.Process.Signal(syscall.SIGINT)
	expect(t, r, "lingering")
	_ = c.Process.Signal(syscall.SIGINT)
	if got := exitStatus(c.Wait()); got != 130 {
		t.Errorf("exit status %d, want 130", got)
	}
	if !missing(pid) {
		t.Error("the pid file stays")
	}
}

func TestHangupReopensTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	c := tool(t, "waits", "-l", log)
	start(t, c, "ready")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	_ = c.Process.Signal(syscall.SIGHUP)
	eventually(t, "a new log file", func() bool { return !missing(log) })
	_ = c.Process.Signal(syscall.SIGTERM)
	if got := exitStatus(c.Wait()); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
	old, _ := os.ReadFile(log + ".1")
	now, _ := os.ReadFile(log)
	if !strings.Contains(string(old), "msg=starting") || !strings.Contains(string(now), "msg=ended") {
		t.Errorf("before the hangup %q, after it %q", old, now)
	}
}

func TestHangupWithoutLogFileAndLostReaderOfStandardErrorEndNothing(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := tool(t, "waits")
	c.Stderr = w
	start(t, c, "ready")
	w.Close()
	r.Close()
	_ = c.Process.Signal(syscall.SIGHUP)
	_ = c.Process.Signal(syscall.SIGTERM) // its log line goes nowhere
	if got := exitStatus(c.Wait()); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
}

func TestDaemonLeavesItsSessionAndReportsReadiness(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, pidPath := filepath.Join(dir, "log"), filepath.Join(dir, "pid")
	out, err := tool(t, "waits", "-d", "-l", log, "-P", pidPath).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(pidPath)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if want := fmt.Sprintf("tool: running in the background, pid %d, log: %s\n", pid, log); string(out) != want {
		t.Errorf("it wrote %q, want %q", out, want)
	}
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("session %d of process %d, %v; want its own", sid, pid, err)
	}
	for fd, want := range []string{os.DevNull, os.DevNull, log} {
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil || got != want {
			t.Errorf("descriptor %d is %s, %v; want %s", fd, got, err, want)
		}
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(env)) == "exe" {
		t.Errorf("the daemon is called %q, %v", env, err)
	}

	out, err = tool(t, "waits", "-d", "-P", pidPath).CombinedOutput()
	if want := fmt.Sprintf("tool: pid file %s belongs to process %d, which runs; stop it or name another file with -P\n", pidPath, pid); exitStatus(err) != 1 || string(out) != want {
		t.Errorf("a second daemon: %v, %q, want %q", err, out, want)
	}

	_ = syscall.Kill(pid, syscall.SIGTERM)
	eventually(t, "the end of the daemon", func() bool { return missing(pidPath) })
}

func TestStalePidFileIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(path, []byte("4000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := lockPidFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("it holds %q", b)
	}
	if _, err := lockPidFile(path); err == nil {
		t.Error("a locked file was taken")
	}
	p.Close()
	p.Close()
	if !missing(path) {
		t.Error("the file stays")
	}
}

func TestStatusStaysBelowTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terminal")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := &logFile{f: f}
	if l.columns() != 0 {
		t.Error("a file has columns")
	}
	write := func(line string) {
		t.Helper()
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Error(n, err)
		}
	}
	write("one\n")
	l.setStatus("50 %")
	l.setStatus("50 %")
	write("two\n")
	l.setStatus("")
	write("three\n")
	const clear = "\r\x1b[K"
	text, err := os.ReadFile(path)
	if want := "one\n" + clear + "50 %" + clear + "two\n50 %" + clear + "three\n"; string(text) != want || err != nil {
		t.Errorf("%q, want %q, %v", text, want, err)
	}
}
