package account

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

func TestLossesAreWarnedOfOnceWithTheirMend(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	var l Losses
	for _, c := range []struct {
		drops uint64
		want  string
	}{{0, ""}, {7, " packets=7\n"}, {7, ""}, {10, " packets=3\n"}} {
		b.Reset()
		l.Warn(log, c.drops, new(Counters))
		got := b.String()
		if c.want == "" && got != "" || !strings.HasSuffix(got, c.want) {
			t.Errorf("at %d drops: %q", c.drops, got)
		}
		for _, mend := range []string{"level=WARN", "ring_size", "CPUWeight"} {
			if c.want != "" && !strings.Contains(got, mend) {
				t.Errorf("%q lacks %s", got, mend)
			}
		}
	}
}

func TestSessionsLeftOutForReopeningsAreWarnedOf(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	var l Losses
	var c Counters
	c.Session.Closed[session.ReopenRate] = 3
	l.Warn(log, 0, &c)
	l.Warn(log, 0, &c)
	if got := b.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "session.reopen_rate") || !strings.Contains(got, "sessions=3") {
		t.Errorf("%q", got)
	}
}
