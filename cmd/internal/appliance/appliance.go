// Package appliance is what the mains of tcpcopy and intercept share: the log,
// the daemon, the pid file, signals, the metrics listener and exit statuses.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// Exit statuses of Main.
const (
	exitOK       = 0
	exitFailed   = 1   // at run time
	exitUsage    = 2   // a mistake in the command line or the file, or in the tool's input
	exitSignaled = 130 // a second signal cut the end short
)

// Appliance is what a running tool gets from its host.
type Appliance struct {
	Log      *slog.Logger
	Registry *prometheus.Registry // what /metrics shows

	tool  string
	conf  *conf.Process
	out   *logFile
	tell  func(*logFile) error // leaves the terminal and the daemon's parent
	ready atomic.Bool

	manager *notifier
}

// Run is a tool's work. It calls Ready when its sockets are open, returns nil
// when ctx is cancelled and it has ended in order, and an error of one line if
// it cannot work.
type Run func(ctx context.Context, a *Appliance) error

// InputError marks an error of Run that is of what the tool was given to read:
// Main returns 2, as for what Parse finds wrong.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }

func (e *InputError) Unwrap() error { return e.Err }

// Parse reads a command line; its errors are those of package conf. What it
// finds wrong with the configuration exits with 2, what Run finds with 1.
type Parse func(args []string, out io.Writer) (*conf.Process, Run, error)

// Main runs tool and returns the exit status of the process.
//
// SIGINT and SIGTERM cancel the context of Run; a second one exits at once.
// SIGHUP reopens the log file. With -d the process starts itself anew in the
// background and waits until that one is ready or has failed.
func Main(tool string, parse Parse) int {
	// Neither a lost reader of our output nor a lost terminal ends us.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	c, run, err := parse(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, conf.ErrHelp), errors.Is(err, conf.ErrChecked):
		return exitOK
	case errors.Is(err, conf.ErrVersion):
		fmt.Println(tool, Version())
		return exitOK
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", tool, err)
		return exitUsage
	}
	tell := func(*logFile) error { return nil }
	if c.Daemon {
		if !isDaemon() {
			return daemonize(tool, c)
		}
		tell = enterDaemon()
	}
	if err := host(tool, c, run, tell); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", tool, err)
		var input *InputError
		if errors.As(err, &input) {
			return exitUsage
		}
		return exitFailed
	}
	return exitOK
}

// host runs the tool between the opening and the closing of what it lives in.
func host(tool string, c *conf.Process, run Run, tell func(*logFile) error) error {
	out, err := openLog(c.LogFile)
	if err != nil {
		return err
	}
	defer out.Close()
	pid, err := lockPidFile(c.PidFile)
	if err != nil {
		return err
	}
	defer pid.Close()

	log := newLogger(c, out, c.LogFile == "" && toJournal(os.Stderr))
	a := &Appliance{Log: log, Registry: newRegistry(tool), tool: tool, conf: c, out: out, tell: tell, manager: newNotifier()}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a.watchSignals(stop, pid)
	closeWeb, err := a.serveWeb()
	if err != nil {
		return err
	}
	defer closeWeb()

	a.Log.Info("starting", "tool", tool, "version", Version(), "pid", os.Getpid())
	for _, n := range c.Notes {
		a.Log.Warn(n)
	}
	if err := run(ctx, a); err != nil {
		if c.LogFile != "" {
			a.Log.Error("failed", "error", err)
		}
		return err
	}
	a.Log.Info("ended")
	return nil
}

// Ready says that the tool works: /-/ready answers 200, the process that
// started a daemon returns to its shell, and a service manager hears of it, as
// of h from now on. Further calls do nothing.
func (a *Appliance) Ready(h Health) {
	if a.ready.Swap(true) {
		return
	}
	if err := a.tell(a.out); err != nil {
		a.Log.Warn("cannot leave the terminal", "error", err)
	}
	if a.manager != nil {
		a.manager.ready()
		go a.manager.watch(h)
	}
}

// reload opens the log file anew.
func (a *Appliance) reload() {
	if a.ready.Load() {
		a.manager.reloading()
		defer a.manager.ready()
	}
	if err := a.out.Reopen(); err != nil {
		a.Log.Error("cannot reopen the log file, going on with the old one", "error", err)
	}
}

// Status shows a line below the log, where that goes to a terminal, until the
// next call; nil takes it away. line gets the width of the terminal.
func (a *Appliance) Status(line func(columns int) string) {
	columns := a.out.columns()
	if columns == 0 {
		return
	}
	text := ""
	if line != nil {
		text = line(columns)
	}
	a.out.setStatus(text)
}

// watchSignals serves signals as long as the process lives.
func (a *Appliance) watchSignals(stop context.CancelFunc, pid *pidFile) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		stopping := false
		for s := range signals {
			switch {
			case s == syscall.SIGHUP:
				a.reload()
			case stopping:
				a.Log.Warn("ending at once", "signal", s.String())
				pid.Close()
				os.Exit(exitSignaled)
			default:
				a.Log.Info("ending", "signal", s.String())
				stopping = true
				a.manager.stopping()
				stop()
			}
		}
	}()
}
