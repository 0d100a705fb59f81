package appliance

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// logFile is a file that is appended to and can be opened anew after a
// rotation; without a path it is standard error.
type logFile struct {
	path string

	mu     sync.Mutex
	f      *os.File
	stderr bool   // standard error follows the file
	status string // last line of the terminal
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path, f: os.Stderr}
	if path == "" {
		return l, nil
	}
	f, err := appendTo(path)
	l.f = f
	return l, err
}

func appendTo(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log file: %w; name another with -l", err)
	}
	return f, nil
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == "" {
		return l.f.Write(b)
	}
	if _, err := l.f.WriteString(clearLine + string(b) + l.status); err != nil {
		return 0, err
	}
	return len(b), nil
}

// clearLine goes to the beginning of a terminal's line and empties it (ECMA-48,
// EL).
const clearLine = "\r\x1b[K"

// setStatus shows a line below what is logged; "" takes it away. It is for
// terminals.
func (l *logFile) setStatus(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line != l.status {
		l.status = line
		_, _ = l.f.WriteString(clearLine + line) // nothing depends on it
	}
}

// columns is the width of the terminal that is logged to, 0 if it is none.
func (l *logFile) columns() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(l.f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// Reopen goes on with what is at the path now. On an error the old file stays.
func (l *logFile) Reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := appendTo(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.f.Close()
	l.f = f
	if l.stderr {
		return unix.Dup3(int(f.Fd()), 2, 0)
	}
	return nil
}

// takeStderr points standard error, where the runtime reports a crash, to the
// log, or to nowhere if there is none.
func (l *logFile) takeStderr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" {
		l.stderr = true
		return unix.Dup3(int(l.f.Fd()), 2, 0)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup3(int(null.Fd()), 2, 0)
}

func (l *logFile) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" {
		l.f.Close()
	}
}

// newLogger makes the log that c asks for, with its level. In the journal,
// records have their level in front and no time.
func newLogger(c *conf.Process, out io.Writer, inJournal bool) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, c)
	options := &slog.HandlerOptions{Level: level}
	if inJournal {
		out, options.ReplaceAttr = &journal{out: out}, withoutTime
	}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options)), level
	}
	return slog.New(slog.NewTextHandler(out, options)), level
}

func setLevel(level *slog.LevelVar, c *conf.Process) {
	// conf lets only names of levels through.
	_ = level.UnmarshalText([]byte(c.LogLevel))
}
