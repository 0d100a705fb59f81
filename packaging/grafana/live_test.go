package grafana

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// A copy in the lab, scraped by a real Prometheus: what the dashboard asks for
// is there, and no alert fires.
func TestEveryPanelShowsDataOfARealCopy(t *testing.T) {
	if testing.Short() {
		t.Skip("copies for a quarter of a minute")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root: the lab makes network namespaces; -short leaves this test out")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bin := t.TempDir()
	for _, tool := range []string{"tcpcopy", "intercept", "tcpcopy-lab"} {
		build := exec.Command("go", "build", "-o", bin, "../../cmd/"+tool)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	programs, err := testbed.In(bin)
	must(err)
	s, err := testbed.NewSmall(t.Context(), programs, testbed.Small{Options: lab.Options{Offload: true, Assistants: 1}})
	must(err)
	defer s.Close()
	must(s.StartCopy(t.Context()))
	tools := map[string]*testbed.Tool{"tcpcopy": s.Copiers[0], "intercept": s.Intercepts[0]}
	api, native := prometheus(t, tools), prometheus(t, tools, "--enable-feature=native-histograms")
	l, err := s.Load(load.Config{Conns: 20, Rate: 500, Duration: 8 * time.Second, Close: "server"}, nil)
	must(err)
	_, err = l.Wait(t.Context())
	must(err)

	// As Grafana fills in the variables. Of the range, only what a counter did
	// during the load matters.
	vars := strings.NewReplacer("$__rate_interval", "10s", "$job", ".+", "$instance", ".+")
	for _, r := range Rows {
		for _, p := range r.Panels {
			for _, q := range p.Queries {
				for _, api := range []server{api, native} {
					n, err := api.query(vars.Replace(q.Expression()))
					if err != nil || n == 0 {
						t.Errorf("%s: %s: %d series, %v: %s", r.Title, p.Title, n, err, q.Expr)
					}
				}
			}
		}
	}
	// A Prometheus has one of the two kinds of histogram.
	for _, name := range []string{"tcpcopy_target_connect_seconds", "tcpcopy_target_first_byte_seconds", "tcpcopy_copy_lag_seconds"} {
		for _, got := range []struct {
			api     server
			expr    string
			present bool
		}{{api, name + "_bucket", true}, {api, "histogram_count(" + name + ")", false}, {native, name + "_bucket", false}, {native, "histogram_count(" + name + ") > 0", true}} {
			if n, err := got.api.query(got.expr); err != nil || n > 0 != got.present {
				t.Errorf("%s: %d series, %v", got.expr, n, err)
			}
		}
	}
	for _, tool := range tools {
		lint(t, tool)
	}
	if n, err := api.query(Builds); err != nil || n != 2 {
		t.Errorf("the variables find %d processes, %v", n, err)
	}
	for _, name := range []string{"instance:tcpcopy_turns_copied:ratio_rate5m == 1", "instance:tcpcopy_payload_delivered:ratio_rate5m > 0.9"} {
		if n, err := api.query(name); err != nil || n != 1 {
			t.Errorf("%s: %d series, %v", name, n, err)
		}
	}
	if n, err := api.query(`ALERTS`); err != nil || n != 0 {
		t.Errorf("%d alerts, %v", n, err)
	}
}

// lint has promtool look at what a tool exposes.
func lint(t *testing.T, tool *testbed.Tool) {
	t.Helper()
	resp, err := http.Get("http://" + entrance(t, tool) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = resp.Body
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// server is a Prometheus.
type server string

// prometheus runs one that scrapes tools, by job.
func prometheus(t *testing.T, tools map[string]*testbed.Tool, flags ...string) server {
	t.Helper()
	dir := t.TempDir()
	absolute, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	var c strings.Builder
	fmt.Fprintf(&c, "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n", absolute)
	for job, tool := range tools {
		fmt.Fprintf(&c, "  - {job_name: %s, static_configs: [{targets: [%q]}]}\n", job, entrance(t, tool))
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(c.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	// A port that is free now; another may take it, and Prometheus says so.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	p := exec.Command("prometheus", "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr)
	p.Args = append(p.Args, flags...)
	var log strings.Builder
	p.Stdout, p.Stderr = &log, &log
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	api := server("http://" + addr)
	for range 300 {
		if n, err := api.query("up == 1"); err == nil && n == len(tools) {
			return api
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("Prometheus does not scrape")
	return ""
}

// entrance leads to the metrics of the tool, which are on its host's loopback
// interface.
func entrance(t *testing.T, tool *testbed.Tool) (addr string) {
	t.Helper()
	s := httptest.NewServer(tool.Web())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// query returns how many series with a number an expression has now.
func (s server) query(expr string) (int, error) {
	resp, err := http.Get(string(s) + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Value [2]any } // time, and a number as a string
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, err
	}
	if answer.Error != "" {
		return 0, fmt.Errorf("%s", answer.Error)
	}
	n := 0
	for _, r := range answer.Data.Result {
		if r.Value[1] != "NaN" {
			n++
		}
	}
	return n, nil
}
