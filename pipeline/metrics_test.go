package pipeline

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// metric is what the source, or docs/metrics.md, says of one.
type metric struct {
	Type   string // counter, gauge, histogram
	Labels []string
	help   string
}

// describing are the folders whose files make metrics with a function that is
// called desc or Desc (name, help, labels...), or with one of the table of package
// account, and the prefixes that it puts before each name.
var describing = map[string][]string{
	".": {"tcpcopy_"}, "account": {"tcpcopy_"}, "thread": {"tcpcopy_"}, "worker": {"tcpcopy_"},
	"source/live": {"tcpcopy_"}, "source/recorded": {"tcpcopy_"},
	"replies/linked": {"tcpcopy_"}, "replies/local": {"tcpcopy_"},
	"../cmd/intercept":          {"intercept_"},
	"../cmd/internal/appliance": {"tcpcopy_", "intercept_"},
}

// collectors are the functions that are given a description, and the type of
// metric that they make of it.
var collectors = map[string]string{
	"count": "counter", "counter": "counter", "seconds": "counter", "gauge": "gauge", "histogram": "histogram", "MustNewConstHistogram": "histogram",
	"Count": "counter", "Seconds": "counter", "Gauge": "gauge", "Bool": "gauge", "Histogram": "histogram",
}

// rows are the functions of the table, and the type of metric that each makes.
var rows = map[string]string{"counter": "counter", "gauge": "gauge", "ratio": "gauge", "seconds": "histogram"}

// inSource reads the metrics that the programs make.
func inSource(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	for folder, prefixes := range describing {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if !strings.HasSuffix(path, "_test.go") {
				inFile(t, path, prefixes, all)
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("no metric found in the source")
	}
	return all
}

func inFile(t *testing.T, path string, prefixes []string, all map[string]metric) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{} // by variable
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if call, ok := v.Values[0].(*ast.CallExpr); ok && strings.EqualFold(called(call), "desc") {
			args := literals(t, call)
			names[v.Names[0].Name] = args[0]
			for _, prefix := range prefixes {
				all[prefix+args[0]] = metric{help: args[1], Labels: slices.Clip(args[2:])}
			}
		}
		return true
	})
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		if lit, ok := call.Args[0].(*ast.BasicLit); ok && rows[called(call)] != "" && lit.Kind == token.STRING {
			args := literals(t, call)
			for _, prefix := range prefixes {
				all[prefix+args[0]] = metric{Type: rows[called(call)], help: args[1], Labels: slices.Clip(args[2:])}
			}
		}
		if v, ok := call.Args[0].(*ast.Ident); ok && collectors[called(call)] != "" && names[v.Name] != "" {
			for _, prefix := range prefixes {
				m := all[prefix+names[v.Name]]
				m.Type = collectors[called(call)]
				all[prefix+names[v.Name]] = m
			}
		}
		return true
	})
}

// literals are the texts among the arguments of a call.
func literals(t *testing.T, call *ast.CallExpr) (args []string) {
	t.Helper()
	for _, a := range call.Args {
		if lit, ok := a.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, s)
		}
	}
	return args
}

// called is the name of the function or method that is called.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// inDocs reads the tables of docs/metrics.md: | `name` | type | `label`, ... |
func inDocs(t *testing.T) map[string]metric {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (counter|gauge|histogram) \\|([^|]*)\\| (.+) \\|$")
	all := map[string]metric{}
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/metrics.md"), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return strings.ContainsRune(" `,", r) })
		if _, twice := all[m[1]]; twice {
			t.Errorf("%s is described twice", m[1])
		}
		all[m[1]] = metric{Type: m[2], Labels: append([]string{}, labels...), help: m[4]}
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDocsDescribeEveryMetricAndNoOther(t *testing.T) {
	if d := cmp.Diff(inSource(t), inDocs(t), cmp.Transformer("withoutHelp", func(m metric) [2]string {
		return [2]string{m.Type, strings.Join(m.Labels, " ")}
	})); d != "" {
		t.Errorf("docs/metrics.md and the source differ (-source +docs):\n%s", d)
	}
}

func TestDocsNameEveryValueOfALabel(t *testing.T) {
	text := read(t, "../docs/metrics.md")
	var want []string
	for d := range account.NumPacketDrops {
		want = append(want, account.PacketDrop(d).String())
	}
	for r := range session.NumReasons {
		want = append(want, session.Reason(r).String())
	}
	for s := range session.NumStates {
		if session.State(s) != session.Closed {
			want = append(want, session.State(s).String())
		}
	}
	for k := range session.NumKinds {
		want = append(want, session.Kind(k).String())
	}
	for _, value := range want {
		if !strings.Contains(text, "`"+value+"`") {
			t.Errorf("docs/metrics.md lacks the label value `%s`", value)
		}
	}
}

// Of all documents, not only of the metrics' own.
func TestDocsNameNoMetricThatDoesNotExist(t *testing.T) {
	known := inSource(t)
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\b(tcpcopy|intercept)_[a-z_]+\b`)
	for _, path := range append(files, "../README.md") {
		for _, found := range name.FindAllString(read(t, path), -1) {
			base := found
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
			if _, ok := known[base]; !ok {
				t.Errorf("%s: there is no metric %s", path, found)
			}
		}
	}
}

// What promtool check metrics asks for (prometheus.io/docs/practices/naming).
func TestMetricsFollowTheConventions(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	foreign := []string{ // units that are not base units, and types
		"milliseconds", "ms", "microseconds", "us", "nanoseconds", "ns", "minutes", "hours", "days",
		"bits", "kilobytes", "kb", "megabytes", "mb", "gigabytes", "percent",
		"counter", "gauge", "histogram", "summary",
	}
	for name, m := range inSource(t) {
		words := strings.Split(name, "_")
		switch total := words[len(words)-1] == "total"; {
		case m.Type == "":
			t.Errorf("%s is described and never collected", name)
		case m.Type == "counter" && !total:
			t.Errorf("counter %s does not end in _total", name)
		case m.Type != "counter" && total:
			t.Errorf("%s %s ends in _total", m.Type, name)
		}
		if last := words[len(words)-1]; last == "sum" || last == "count" || last == "bucket" || last == "info" {
			t.Errorf("%s ends like a part of a histogram, or an info metric", name)
		}
		for _, w := range words {
			if slices.Contains(foreign, w) {
				t.Errorf("%s has %q in its name: base units only (seconds, bytes, ratio), and no types", name, w)
			}
		}
		for _, l := range append(m.Labels, name) {
			if !snake.MatchString(l) || l == "le" || l == "quantile" {
				t.Errorf("%s: %q is no name for a metric or a label", name, l)
			}
		}
		if !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s: its help %q is no sentence", name, m.help)
		}
	}
}
