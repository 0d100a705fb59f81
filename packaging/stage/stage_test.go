package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// configured writes the configuration of a tool's service.
func configured(t *testing.T, tool, sample string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", sample))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), services[tool])
	if err := os.WriteFile(path, []byte(configuration(tool, string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServiceOfTcpcopyHasTheDefaultsAndNoExample(t *testing.T) {
	path := configured(t, "tcpcopy", "tcpcopy.toml")
	if _, err := conf.ParseTcpcopy([]string{"--config", path}, io.Discard); err == nil || !strings.Contains(err.Error(), "nothing to copy") {
		t.Errorf("as installed: %v", err)
	}
	copied := []string{"-x", "80-10.1.2.100", "-s", "10.1.2.30"}
	got, err := conf.ParseTcpcopy(append(copied, "--config", path), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want, err := conf.ParseTcpcopy(append(copied, "--web.listen-address", listen["tcpcopy"], "-m", "1GiB"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	got.Config = ""
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(want.LoopbackClient, want.Intercepts[0]), cmpopts.IgnoreUnexported(want.Process)); d != "" {
		t.Error(d)
	}
}

func TestServiceOfInterceptHasTheDefaults(t *testing.T) {
	got, err := conf.ParseIntercept([]string{"--config", configured(t, "intercept", "packaging/intercept.toml")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want, err := conf.ParseIntercept([]string{"--web.listen-address", listen["intercept"]}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	got.Config = ""
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(want.Listen[0]), cmpopts.IgnoreUnexported(want.Process)); d != "" {
		t.Error(d)
	}
}

func TestEveryLinkedModuleHasItsLicense(t *testing.T) {
	t.Chdir("../..")
	text, err := licenses()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The standard library of Go", "golang.org/x/sys v", "github.com/prometheus/client_golang v", "Apache License"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(text, "go-cmp") {
		t.Error("a module of the tests is listed")
	}
}

func TestStageIsReproducible(t *testing.T) {
	t.Chdir("../..")
	at := time.Unix(1780000000, 0).UTC()
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		if err := stage(dir, "1.2.3", at); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	err := filepath.WalkDir(a, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		rel, _ := filepath.Rel(a, path)
		one, _ := os.ReadFile(path)
		other, err := os.ReadFile(filepath.Join(b, rel))
		if string(one) != string(other) {
			t.Errorf("%s differs", rel)
		}
		return err
	})
	if err != nil || n < 20 {
		t.Errorf("%d files, %v", n, err)
	}
}
