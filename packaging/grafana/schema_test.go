package grafana

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// typeErrors has the TypeScript compiler compare dashboards with the types of
// @grafana/schema (testdata/schema), and returns what it says of each.
func typeErrors(t *testing.T, dashboards [][]byte) []string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	source, err := filepath.Abs("testdata/schema")
	must(err)
	schema, err := os.ReadFile(filepath.Join(source, "schema.ts"))
	must(err)
	dir := t.TempDir()
	must(os.Symlink(filepath.Join(source, "node_modules"), filepath.Join(dir, "node_modules")))
	must(os.WriteFile(filepath.Join(dir, "schema.ts"), schema, 0o644))
	tsc := exec.Command("node", filepath.Join(source, "node_modules/typescript/bin/tsc"),
		"--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext", "--moduleResolution", "node")
	tsc.Dir = dir
	for i, d := range dashboards {
		text := append([]byte("import type { Dashboard } from \"./schema\";\n\nexport const dashboard: Dashboard = "), d...)
		name := fmt.Sprintf("%d.ts", i)
		must(os.WriteFile(filepath.Join(dir, name), text, 0o644))
		tsc.Args = append(tsc.Args, name)
	}
	out, err := tsc.CombinedOutput()
	says := make([]string, len(dashboards))
	for line := range strings.Lines(string(out)) {
		var i int
		if _, scanned := fmt.Sscanf(line, "%d.ts(", &i); scanned == nil && i < len(says) {
			says[i] += line
		} else if !strings.HasPrefix(line, " ") { // no further line of the one before
			t.Fatalf("%v, %v\n%s", tsc, err, out)
		}
	}
	return says
}

func TestDashboardHasTheTypesOfGrafanasSchema(t *testing.T) {
	text, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	dashboards := [][]byte{text}
	wrong := [][2]string{
		{`"showPoints": "never"`, `"showPoints": "seldom"`}, // a value of an enumeration
		{`"lineWidth": 1`, `"lineBreadth": 1`},              // a field
		{`"legendFormat": ""`, `"legendFormat": 1`},         // a type
		{`"wideLayout": true`, ``},                          // a field that must be there
	}
	for _, w := range wrong {
		changed := bytes.Replace(text, []byte(w[0]), []byte(w[1]), 1)
		if bytes.Equal(text, changed) {
			t.Fatalf("the dashboard has no %s", w[0])
		}
		dashboards = append(dashboards, changed)
	}
	for i, says := range typeErrors(t, dashboards) {
		switch {
		case i == 0 && says != "":
			t.Error(says)
		case i > 0 && says == "":
			t.Errorf("%q in place of %q passes", wrong[i-1][1], wrong[i-1][0])
		}
	}
}
