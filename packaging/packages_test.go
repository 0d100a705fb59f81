// Package packaging has the tests of the packages, as they come from
// packaging/build.
package packaging

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// built has the packages of two versions, one after the other.
var built struct {
	once     sync.Once
	old, new string // folders
	err      error
	out      []byte
}

func TestMain(m *testing.M) {
	status := m.Run()
	if built.old != "" {
		os.RemoveAll(filepath.Dir(built.old))
	}
	os.Exit(status)
}

// packages builds them, for this machine's architecture.
func packages(t *testing.T) (old, new string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds packages, which takes a while")
	}
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "packages")
		if err != nil {
			built.err = err
			return
		}
		built.old, built.new = filepath.Join(dir, "old"), filepath.Join(dir, "new")
		for version, dir := range map[string]string{"1.2.3": built.old, "1.3.0": built.new} {
			if built.out, built.err = exec.Command("./build", dir, version, runtime.GOARCH).CombinedOutput(); built.err != nil {
				return
			}
		}
	})
	if built.err != nil {
		t.Fatalf("packaging/build: %v\n%s", built.err, built.out)
	}
	return built.old, built.new
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// one returns the only file of a pattern.
func one(t *testing.T, pattern ...string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %v, %v", filepath.Join(pattern...), files, err)
	}
	return files[0]
}

func TestPackagesContainWhatTheListsSay(t *testing.T) {
	dir, _ := packages(t)
	// -rwxr-xr-x root/root 123 2026-11-22 14:17 ./usr/bin/tcpcopy
	line := regexp.MustCompile(`(?m)^(\S+) (\S+) +\d+ \S+ \S+ \.(/.*[^/\n])$`)
	for _, tool := range []string{"tcpcopy", "intercept"} {
		var deb, rpm []string
		for _, m := range line.FindAllStringSubmatch(output(t, "dpkg-deb", "-c", one(t, dir, tool+"_*.deb")), -1) {
			if owner := m[2]; owner != "root/root" {
				t.Errorf("%s is of %s", m[3], owner)
			}
			deb = append(deb, m[1]+" "+m[3])
		}
		rpm = strings.Split(strings.TrimSpace(output(t, "rpm", "-qp", "--qf", `[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]`, one(t, dir, tool+"-*.rpm"))), "\n")
		for i, s := range rpm {
			mode, rest, _ := strings.Cut(s, " ")
			owner, path, _ := strings.Cut(rest, " ")
			if owner != "root/root" {
				t.Errorf("%s is of %s", path, owner)
			}
			rpm[i] = mode + " " + path
		}
		// The documents come and go.
		documents := func(s string) bool { return strings.Contains(s, "/usr/share/doc/tcpcopy/docs/") }
		deb, rpm = slices.DeleteFunc(deb, documents), slices.DeleteFunc(rpm, documents)
		slices.Sort(deb)
		slices.Sort(rpm)
		compare(t, filepath.Join("testdata", tool+".deb.files"), strings.Join(deb, "\n")+"\n")
		compare(t, filepath.Join("testdata", tool+".rpm.files"), strings.Join(rpm, "\n")+"\n")
	}
}

// compare compares with a golden file, or writes it.
func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: run with -update if this is meant:\n%s", golden, d)
	}
}

func TestLintianFindsNothing(t *testing.T) {
	dir, _ := packages(t)
	out := output(t, "lintian", "--fail-on", "warning,error", one(t, dir, "tcpcopy_*.deb"), one(t, dir, "intercept_*.deb"))
	if strings.Contains(out, ": ") {
		t.Errorf("lintian:\n%s", out)
	}
}

// throwaway runs a script in a mount namespace of its own.
func throwaway(t *testing.T, script string, args ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root to make a mount namespace; -short leaves this test out")
	}
	return output(t, "unshare", append([]string{"--mount", "--propagation", "private", script}, args...)...)
}

func TestRpmlintFindsNothing(t *testing.T) {
	dir, _ := packages(t)
	out := throwaway(t, "testdata/rpmlint.sh", dir)
	if !strings.Contains(out, "2 packages and 0 specfiles checked; 0 errors, 0 warnings") {
		t.Errorf("rpmlint:\n%s", out)
	}
}

func TestDebsInstallUpgradeRemoveAndPurge(t *testing.T) {
	old, new := packages(t)
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		t.Skip("the debs are installed on Debian only")
	}
	t.Log(throwaway(t, "testdata/dpkg.sh", old, new))
}

func TestRpmsInstallVerifyUpgradeAndErase(t *testing.T) {
	old, new := packages(t)
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		t.Skip("the rpms are installed on Debian only, whose rpm knows no other package")
	}
	t.Log(throwaway(t, "testdata/rpm.sh", old, new))
}
