package grafana

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the dashboard")

const (
	golden = "tcpcopy.json"
	rules  = "../prometheus/tcpcopy.rules.yml"
)

func TestDashboardIsTheOneOfTheCode(t *testing.T) {
	got, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("run with -update if this is meant:\n%s", d)
	}
}

// metrics returns the type of each metric that docs/metrics.md describes.
func metrics(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (counter|gauge|histogram) ").FindAllStringSubmatch(string(text), -1) {
		all[m[1]] = m[2]
	}
	if len(all) < 50 {
		t.Fatalf("docs/metrics.md describes %d metrics only", len(all))
	}
	return all
}

var (
	metric = regexp.MustCompile(`\b(?:tcpcopy|intercept)_[a-z_]+\b`)
	rated  = regexp.MustCompile(`\b(?:rate|increase)\((\w+)`)
)

// check compares the metrics of an expression with those that there are.
func check(t *testing.T, where, expr string, known map[string]string) {
	t.Helper()
	for _, name := range metric.FindAllString(expr, -1) {
		base := strings.TrimSuffix(name, "_bucket")
		if _, ok := known[base]; !ok && !strings.HasSuffix(name, "_build_info") {
			t.Errorf("%s: there is no metric %s", where, name)
		}
		if counter := known[base] == "counter"; counter && !strings.Contains(expr, "rate("+name) {
			t.Errorf("%s: %s is a counter and used without rate", where, name)
		}
	}
	for _, m := range rated.FindAllStringSubmatch(expr, -1) {
		if known[m[1]] == "gauge" {
			t.Errorf("%s: %s is a gauge and has no rate", where, m[1])
		}
	}
}

func TestDashboardShowsOnlyMetricsThatExist(t *testing.T) {
	known := metrics(t)
	for _, r := range Rows {
		for _, p := range r.Panels {
			if len(p.Queries) == 0 || p.Title == "" || p.Unit == "" || p.Width == 0 {
				t.Errorf("%s: %q is not complete", r.Title, p.Title)
			}
			for _, q := range p.Queries {
				check(t, r.Title+": "+p.Title, q.Expr, known)
				if strings.Count(q.Expr, "{") != strings.Count(q.Expr, "$sel") {
					t.Errorf("%s: %s: a metric is not restricted to what the variables select: %s", r.Title, p.Title, q.Expr)
				}
			}
		}
	}
}

func TestEveryMetricOfImportanceIsShown(t *testing.T) {
	var all strings.Builder
	for _, r := range Rows {
		for _, p := range r.Panels {
			for _, q := range p.Queries {
				all.WriteString(q.Expr + "\n")
			}
		}
	}
	// What is in others, or hardly ever moves.
	parts := map[string]bool{
		"tcpcopy_captured_packets_total": true, "tcpcopy_accepted_packets_total": true, "tcpcopy_matched_packets_total": true,
		"tcpcopy_handed_over_packets_total": true, "tcpcopy_accepted_payload_bytes_total": true, "tcpcopy_reproduction_ratio": true,
		"tcpcopy_sessions_midstream_total": true, "tcpcopy_link_reconnects_total": true,
		"intercept_replies_captured_total": true, "intercept_malformed_packets_total": true, "intercept_link_rtt_seconds": true,
		"tcpcopy_config_last_reload_successful": true, "tcpcopy_config_last_reload_success_timestamp_seconds": true,
		"intercept_config_last_reload_successful": true, "intercept_config_last_reload_success_timestamp_seconds": true,
	}
	// What a service, which has assistants and records nothing, does not have.
	offline := regexp.MustCompile(`^tcpcopy_(replay_|reply_capture_|replies_captured_)`)
	for name := range metrics(t) {
		if offline.MatchString(name) {
			continue
		}
		if shown := regexp.MustCompile(`\b` + name + `(_bucket)?\b`).MatchString(all.String()); shown == parts[name] {
			t.Errorf("%s: shown %v", name, shown)
		}
	}
}

func TestPanelsFillLinesAndDoNotOverlap(t *testing.T) {
	text, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	type cell struct{ x, y int }
	taken, ids := make(map[cell]string), make(map[int]bool)
	bottom := 0
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s has the id of another", p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		bottom = max(bottom, g.Y+g.H)
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := taken[cell{x, y}]; ok || x >= 24 {
					t.Fatalf("%s lies on %q, or beyond the edge", p.Title, other)
				}
				taken[cell{x, y}] = p.Title
			}
		}
	}
	if want := 24 * bottom; len(taken) != want {
		t.Errorf("%d of %d cells are filled", len(taken), want)
	}
}

func TestRulesUseOnlyMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	known := metrics(t)
	for i, line := range strings.Split(string(text), "\n") {
		expr, _, _ := strings.Cut(strings.TrimSpace(line), "#")
		if strings.HasPrefix(expr, "- name:") || strings.HasPrefix(expr, "rule_files") {
			continue
		}
		for _, name := range metric.FindAllString(expr, -1) {
			if _, ok := known[name]; !ok && !strings.HasSuffix(name, "_build_info") && !strings.Contains(expr, "instance:"+name) {
				t.Errorf("%s:%d: there is no metric %s", rules, i+1, name)
			}
		}
	}
}

func TestRulesDoWhatTheySay(t *testing.T) {
	for _, args := range [][]string{
		{"check", "rules", "--lint-fatal", rules},
		{"test", "rules", "../prometheus/tcpcopy.rules.test.yml"},
	} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestEveryAlertIsExplained(t *testing.T) {
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(doc), "`"+m[1]+"`") {
			t.Errorf("docs/operations.md lacks %s", m[1])
		}
	}
}
