package packaging

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unit reads a unit's settings as a list.
func unit(t *testing.T, name string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile("systemd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestUnitsOfInterceptDifferByTheirFilesOnly(t *testing.T) {
	one, several := unit(t, "intercept.service"), unit(t, "intercept@.service")
	for i, line := range several {
		several[i] = strings.NewReplacer("intercept-%i.toml", "intercept.toml", "intercept@%i", "intercept").Replace(line)
	}
	if d := cmp.Diff(one, several); d != "" {
		t.Error(d)
	}
}

func TestBothToolsAreProtectedAlike(t *testing.T) {
	protection := func(name string) (lines []string) {
		all := unit(t, name)
		for i, line := range all {
			if line == "LimitCORE=0" {
				return all[i:]
			}
		}
		t.Fatalf("%s lacks LimitCORE=0", name)
		return nil
	}
	const affinity = "SystemCallFilter=sched_setaffinity" // only tcpcopy has process.cpu_affinity
	tcpcopy := protection("tcpcopy@.service")
	i := slices.Index(tcpcopy, affinity)
	if i < 0 {
		t.Fatalf("tcpcopy@.service lacks %s", affinity)
	}
	if d := cmp.Diff(slices.Delete(tcpcopy, i, i+1), protection("intercept.service")); d != "" {
		t.Error(d)
	}
}
