package appliance

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// toJournal reports whether f is a stream of systemd's journal
// (systemd.exec(5), JOURNAL_STREAM), which has times and levels of its own.
func toJournal(f *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journal writes records for the journal: with their level in front, as
// sd-daemon(3) says. slog writes a record at once and one after the other.
type journal struct {
	out io.Writer
	buf []byte
}

var priorities = []struct {
	level    slog.Level
	priority string
}{
	{slog.LevelError, "<3>"}, {slog.LevelWarn, "<4>"}, {slog.LevelInfo, "<6>"}, {slog.LevelDebug, "<7>"},
}

// Write takes a record that begins with its level, as text or JSON.
func (j *journal) Write(record []byte) (int, error) {
	j.buf = j.buf[:0]
	for _, p := range priorities {
		if name := p.level.String(); bytes.HasPrefix(record, []byte("level="+name)) || bytes.HasPrefix(record, []byte(`{"level":"`+name)) {
			j.buf = append(j.buf, p.priority...)
		}
	}
	j.buf = append(j.buf, record...)
	_, err := j.out.Write(j.buf)
	return len(record), err
}

// withoutTime is for slog.HandlerOptions.ReplaceAttr: it leaves out when a
// record was made.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.Attr{}
	}
	return a
}
