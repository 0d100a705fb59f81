package appliance

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// reloading is a tool with a file, a log and a service manager.
type reloading struct {
	*testing.T
	*exec.Cmd
	file, log string
	heard     <-chan string
}

func newReloading(t *testing.T, behaviour, text string) *reloading {
	t.Helper()
	dir := t.TempDir()
	r := &reloading{T: t, file: filepath.Join(dir, "c.toml"), log: filepath.Join(dir, "log")}
	r.write(text)
	r.Cmd = tool(t, behaviour, "--config", r.file, "-l", r.log, "--web.listen-address", "127.0.0.1:0")
	r.heard = managed(t, r.Cmd)
	start(t, r.Cmd, "ready")
	hears(t, r.heard, `^STATUS=all is well$`)
	return r
}

func (r *reloading) write(text string) {
	r.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// reload has the file read, which is over when it returns, and wants a status.
func (r *reloading) reload(status string) {
	r.Helper()
	_ = r.Process.Signal(syscall.SIGHUP)
	hears(r.T, r.heard, `^RELOADING=1`)
	hears(r.T, r.heard, status)
	hears(r.T, r.heard, `^READY=1$`)
}

// logged wants the log to match.
func (r *reloading) logged(pattern string) {
	r.Helper()
	b, err := os.ReadFile(r.log)
	if err != nil || !regexp.MustCompile(pattern).Match(b) {
		r.Errorf("the log lacks %s:\n%s", pattern, b)
	}
}

// successful is what the metrics say of the last reload.
func (r *reloading) successful() string {
	r.Helper()
	b, err := os.ReadFile(r.log)
	if err != nil {
		r.Fatal(err)
	}
	resp, err := http.Get("http://" + regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(string(b)) + "/metrics")
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !regexp.MustCompile(`(?m)^tool_config_last_reload_success_timestamp_seconds 1\.\d+e\+09$`).Match(body) {
		r.Errorf("the metrics lack the time of the last reload, %v", err)
	}
	return regexp.MustCompile(`(?m)^tool_config_last_reload_successful (.)$`).FindString(string(body))
}

func TestReloadTakesOnTheWholeFileOrNothing(t *testing.T) {
	t.Parallel()
	const well, failed = "^STATUS=all is well$", "^STATUS=all is well; the last reload failed: "
	const success, failure = "tool_config_last_reload_successful 1", "tool_config_last_reload_successful 0"
	r := newReloading(t, "waits", "[log]\nlevel = \"info\"\n")
	if got := r.successful(); got != success {
		t.Error(got)
	}

	r.write("[log]\nlevel = \"debug\"\n[capture]\nfilter = \"tcp port 80\"\n")
	r.reload(well)
	r.logged(`level=INFO msg="setting changed" key=capture.filter old="" new="tcp port 80"\n.*key=log.level old=info new=debug\n.*level=INFO msg="configuration reloaded" changes=2\n$`)

	// Neither of the two is taken on.
	r.write("[log]\nlevel = \"info\"\n[capture]\nfilter = \"tcp port 80\"\nring_size = \"33MiB\"\n")
	r.reload(failed + `needs a restart: capture\.ring_size \([0-9]+MiB -> 33MiB\)$`)
	r.logged(`level=ERROR msg="the configuration is not reloaded, the old one stays" error="needs a restart: capture.ring_size \([0-9]+MiB -> 33MiB\)"\n$`)
	if got := r.successful(); got != failure {
		t.Error(got)
	}

	r.write("[log]\nlevel = \"loud\"\n")
	r.reload(failed + regexp.QuoteMeta(r.file) + `:2: log\.level: "loud" is none of debug, info, warn, error$`)
	if got := r.successful(); got != failure {
		t.Error(got)
	}

	r.write("[log]\nlevel = \"warn\"\n[capture]\nfilter = \"tcp port 80\"\n")
	r.reload(well)
	r.logged(`key=log.level old=debug new=warn\n$`) // the level is in force
	if got := r.successful(); got != success {
		t.Error(got)
	}
}

func TestWhatTheToolRefusesIsNotReloaded(t *testing.T) {
	t.Parallel()
	r := newReloading(t, "stays", "")
	r.write("[log]\nlevel = \"error\"\n")
	r.reload("^STATUS=all is well; the last reload failed: not now$")
	r.write("[log]\nlevel = \"info\"\n")
	r.reload("not now$")
	r.logged(`level=ERROR msg="the configuration is not reloaded, the old one stays" error="not now"\n(?s).*error="not now"\n$`)
}
