package manual

import (
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// made returns the files of a tool, and writes them to a folder.
func made(t *testing.T, tool Tool) (files map[string]string, dir string) {
	t.Helper()
	sample, err := os.ReadFile(filepath.Join("../..", tool.Sample))
	if err != nil {
		t.Fatal(err)
	}
	if files, err = Files(tool, string(sample), "January 2, 2026"); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return files, dir
}

// run returns what a command wrote, which must not fail.
func run(t *testing.T, in io.Reader, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = in
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(c.Args, " "), err, out)
	}
	return string(out)
}

func TestPagesAreWellFormed(t *testing.T) {
	for _, tool := range Tools() {
		_, dir := made(t, tool)
		for _, page := range []string{tool.Name + ".8", tool.Name + ".toml.5"} {
			run(t, nil, "mandoc", "-T", "lint", "-W", "warning,stop", filepath.Join(dir, page))
		}
	}
}

func TestPagesShowEveryOptionAndEveryKey(t *testing.T) {
	for _, tool := range Tools() {
		_, dir := made(t, tool)
		// Overstriking and line breaks are of no interest.
		page := func(name string) string {
			text := run(t, nil, "mandoc", "-T", "ascii", "-O", "width=1000", filepath.Join(dir, name))
			return run(t, strings.NewReader(text), "col", "-bx")
		}
		options, keys := page(tool.Name+".8"), page(tool.Name+".toml.5")
		for _, o := range tool.Options {
			spelling := "--" + o.Flag
			if o.Short != "" {
				spelling = "-" + o.Short + ", " + spelling
			}
			if !strings.Contains(options, "     "+spelling) {
				t.Errorf("%s(8) lacks %s", tool.Name, spelling)
			}
			if told := strings.Contains(keys, " "+o.Key+","); o.Key != "" && told != o.Reload {
				t.Errorf("%s.toml(5) on reloading %s: %v", tool.Name, o.Key, told)
			}
			group, key, ok := strings.Cut(o.Key, ".")
			switch {
			case o.Key == "":
			case !ok && !strings.Contains(keys, "[["+o.Key+"]]"):
				t.Errorf("%s.toml(5) lacks [[%s]]", tool.Name, o.Key)
			case ok && !strings.Contains(keys, "["+group+"]"), ok && !strings.Contains(keys, "     "+key+" = "):
				t.Errorf("%s.toml(5) lacks %s", tool.Name, o.Key)
			}
		}
	}
}

func TestSampleIsReadWithItsComments(t *testing.T) {
	got := ParseSample(`# The file.
#
#   tool --config FILE

# What to do.
[[job]]
name = "a # b"   # of it
# Both or none:
# the other.
# side = 'x'
# last = ["p", "q"]  # of all

[run]   
fast = false
`)
	want := []Table{
		{"[[job]]", "What to do.", []Key{
			{"name", `"a # b"`, "of it"},
			{"side", "'x'", "Both or none:\nthe other."},
			{"last", `["p", "q"]`, "of all"},
		}},
		{"[run]", "", []Key{{"fast", "false", ""}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTextMeansNothingToRoff(t *testing.T) {
	for in, want := range map[string]string{
		`a\b`:           `a\eb`,
		".Sh no":        `\&.Sh no`,
		"a\n'b":         "a\n\\&'b",
		"-r and (-c)":   `\&-r and (\-c)`,
		"One. Two. a.b": "One.\nTwo. a.b",
	} {
		if got := text(in); got != want {
			t.Errorf("text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShellsAcceptTheCompletions(t *testing.T) {
	for _, tool := range Tools() {
		_, dir := made(t, tool)
		run(t, nil, "bash", "-n", filepath.Join(dir, tool.Name))
		run(t, nil, "zsh", "-n", filepath.Join(dir, "_"+tool.Name))
		run(t, nil, "fish", "--no-execute", filepath.Join(dir, tool.Name+".fish"))
	}
}

// offers is what shells complete a line to, for tcpcopy.
var offers = map[string][]string{
	"tcpcopy --log-le":         {"--log-level"},
	"tcpcopy --log-level w":    {"warn"},
	"tcpcopy --encrypted ":     {"copy", "skip"},
	"tcpcopy --log-level=d":    {"debug"},
	"tcpcopy -W --config secr": {"secret file"},
	"tcpcopy -i lo":            {"lo"},
}

func TestBashCompletes(t *testing.T) {
	_, dir := made(t, Tools()[0])
	if err := os.WriteFile(filepath.Join(dir, "secret file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range offers {
		// As bash splits a line: at spaces, and around =.
		words := strings.Split(strings.ReplaceAll(line, "=", " = "), " ")
		script := `cd "$1"; source ./tcpcopy; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1))
compopt() { :; }; _tcpcopy; printf '%s\n' "${COMPREPLY[@]}"`
		out := run(t, nil, "bash", append([]string{"-c", script, "bash", dir}, words...)...)
		got := strings.Split(strings.TrimSpace(out), "\n")
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", line, d)
		}
	}
}

func TestFishCompletes(t *testing.T) {
	_, dir := made(t, Tools()[0])
	for _, line := range slices.Sorted(maps.Keys(offers)) {
		if strings.Contains(line, "secr") {
			continue // fish completes the names of files in its own way
		}
		out := run(t, nil, "fish", "-N", "-c", "source "+filepath.Join(dir, "tcpcopy.fish")+"; complete -C"+"'"+line+"'")
		var got []string
		for l := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			if _, v, ok := strings.Cut(word, "="); ok {
				word = v
			}
			got = append(got, word)
		}
		slices.Sort(got)
		if d := cmp.Diff(offers[line], got); d != "" {
			t.Errorf("%q: %s", line, d)
		}
	}
}
