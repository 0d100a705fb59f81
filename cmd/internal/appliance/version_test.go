package appliance

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

func TestTheVersionIsASemanticOneBelowOne(t *testing.T) {
	if !regexp.MustCompile(`^0\.\d+\.\d+(-dev)?$`).MatchString(version) {
		t.Errorf("version %q", version)
	}
}

func TestTheCommitIsThatOfTheRepository(t *testing.T) {
	for _, test := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"no build information", nil, ""},
		{"not in a repository", new(debug.BuildInfo), ""},
		{"clean", buildInfo("vcs.revision", "59ea04d5bb1c8d3f", "vcs.modified", "false"), "59ea04d5bb1c"},
		{"modified", buildInfo("vcs.revision", "59ea04d5bb1c8d3f", "vcs.modified", "true"), "59ea04d5bb1c-modified"},
		{"short", buildInfo("vcs.revision", "59ea"), "59ea"},
	} {
		if got := stamped(test.info); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func buildInfo(settings ...string) *debug.BuildInfo {
	info := new(debug.BuildInfo)
	for i := 0; i < len(settings); i += 2 {
		info.Settings = append(info.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
	}
	return info
}

// The Makefile reads the version by a pattern, which a change of the line
// would break.
func TestTheMakefileFindsTheVersion(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("make", "--no-print-directory", "-C", root, "version").CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != version {
		t.Errorf("make version: %q, %v; want %q", got, err, version)
	}
}
