package conf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChangesNameEverySettingThatDiffers(t *testing.T) {
	for _, tt := range []struct {
		before, after string
		want          []Change
	}{
		{"-x 80-10.1.2.100", "-x 80-10.1.2.100:80 -r 100", nil},
		{"-x 80-10.1.2.100 -r 10", "-x 80-10.1.2.100,443-10.1.2.101 -r 50%", []Change{
			{"transfer", "80-10.1.2.100:80", "80-10.1.2.100:80,443-10.1.2.101:443", true},
			{"session.percent", "10", "50", true},
		}},
		{"-x 80-10.1.2.100 -s 10.1.2.30 -B 32", "-x 80-10.1.2.100 -s 10.1.2.31 -B 16 --log-level debug -m 64", []Change{
			{"intercept", "10.1.2.30:36524", "10.1.2.31:36524", true},
			{"capture.ring_size", "32MiB", "16MiB", false},
			{"session.memory", "2GiB", "64MiB", true},
			{"session.max_sessions", "1048576", "32768", true}, // follows from the memory
			{"log.level", "info", "debug", true},
		}},
	} {
		if d := cmp.Diff(tt.want, tcpcopy(t, tt.before).Changes(&tcpcopy(t, tt.after).Process)); d != "" {
			t.Errorf("%q, %q: %s", tt.before, tt.after, d)
		}
	}
}

func TestChangesDoNotShowTheSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	with := func(secret string) *Tcpcopy {
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		return tcpcopy(t, "-x 80-10.1.2.100 --link.secret-file "+path)
	}
	before := with("sesame")
	want := []Change{{"link.secret_file", "its old content", "its new content", false}}
	if d := cmp.Diff(want, before.Changes(&with("mustard").Process)); d != "" {
		t.Error(d)
	}
}
