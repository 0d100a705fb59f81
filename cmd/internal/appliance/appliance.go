// Package appliance is what the mains of tcpcopy and intercept share: the log,
// the daemon, the pid file, signals, reloading, the metrics listener and exit
// statuses.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
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

	name  string
	parse Parse
	tool  Tool // as it runs
	conf  *conf.Process
	level *slog.LevelVar
	out   *logFile
	tell  func(*logFile) error // tells the process that started a daemon, and leaves the terminal
	ready atomic.Bool

	manager *notifier
	reloads reloads
}

// Tool is a tool with its configuration.
type Tool interface {
	// Process is what is configured now.
	Process() *conf.Process
	// Check tells what the configuration needs of this host and does not find,
	// a line each with the mend: problems, with which the tool would not work,
	// and warnings, which may pass by themselves.
	Check(ctx context.Context) (problems, warnings []string)
	// Run is the tool's work. It calls Ready when its sockets are open, returns
	// nil when ctx is cancelled and it has ended in order, and an error of one
	// line if it cannot work.
	Run(ctx context.Context, a *Appliance) error
	// Reload takes on what differs in the configuration of next, which is a
	// tool of the same type that does not run; only settings differ that a
	// reload can change. On an error nothing has changed. It is called between
	// Ready and the end of Run.
	Reload(next Tool) error

	// Beat returns when everything that moves packets has come round once more,
	// or has ended.
	Beat()
	// Status says in one line how far the work is.
	Status() string
}

// Readiness is implemented by tools that may lose what they need while they run.
type Readiness interface {
	// Ready tells why the tool does nothing of use at present; it is nil while
	// it works.
	Ready() error
}

// InputError marks an error of Run whose cause is in what the tool was given to read.
// Main returns 2 then, as it does for an error of Parse.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }

func (e *InputError) Unwrap() error { return e.Err }

// Parse reads a command line; its errors are those of package conf. What it
// finds wrong with the configuration exits with 2, what Run finds with 1.
type Parse func(args []string, out io.Writer) (Tool, error)

// Main runs the tool of that name and returns the exit status of the process.
//
// SIGINT and SIGTERM cancel the context of Run; a second one exits at once.
// SIGHUP reopens the log file and reloads the configuration. With -d the
// process starts itself anew in the background and waits until that one is
// ready or has failed.
func Main(name string, parse Parse) int {
	// Neither a lost reader of our output nor a lost terminal ends us.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	tool, err := parse(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, conf.ErrHelp), errors.Is(err, conf.ErrPrinted):
		return exitOK
	case errors.Is(err, conf.ErrVersion):
		fmt.Println(name, Version())
		return exitOK
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return exitUsage
	}
	c := tool.Process()
	if c.Check {
		return check(name, tool)
	}
	tell := func(*logFile) error { return nil }
	if c.Daemon {
		if !isDaemon() {
			return daemonize(name, c)
		}
		tell = enterDaemon()
	}
	a := &Appliance{name: name, parse: parse, tool: tool, conf: c, tell: tell, Registry: newRegistry(name), manager: newNotifier()}
	if err := a.host(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		var input *InputError
		if errors.As(err, &input) {
			return exitUsage
		}
		return exitFailed
	}
	return exitOK
}

// check tells whether this host has what the tool needs, and returns the exit
// status.
func check(name string, tool Tool) int {
	problems, warnings := tool.Check(context.Background())
	for _, line := range tool.Process().Notes {
		fmt.Printf("%s: note: %s\n", name, line)
	}
	for _, line := range warnings {
		fmt.Printf("%s: warning: %s\n", name, line)
	}
	for _, line := range problems {
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, line)
	}
	if len(problems) > 0 {
		return exitUsage
	}
	fmt.Printf("%s: the configuration is right\n", name)
	return exitOK
}

// host opens log, pid file and listener, runs the tool, and closes them.
func (a *Appliance) host() (err error) {
	c := a.conf
	if a.out, err = openLog(c.LogFile); err != nil {
		return err
	}
	defer a.out.Close()
	pid, err := lockPidFile(c.PidFile)
	if err != nil {
		return err
	}
	defer pid.Close()

	a.Log, a.level = newLogger(c, a.out, c.LogFile == "" && toJournal(os.Stderr))
	a.reloads.prefix = a.name + "_"
	a.reloads.ended(nil)
	a.Registry.MustRegister(&a.reloads)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a.watchSignals(stop, pid)
	closeWeb, err := a.serveWeb()
	if err != nil {
		return err
	}
	defer closeWeb()

	a.Log.Info("starting", "tool", a.name, "version", version, "commit", Commit(), "pid", os.Getpid())
	for _, n := range c.Notes {
		a.Log.Warn(n)
	}
	if err := a.tool.Run(ctx, a); err != nil {
		if c.LogFile != "" {
			a.Log.Error("failed", "error", err)
		}
		return err
	}
	a.Log.Info("ended")
	return nil
}

// Ready says that the tool works: /-/ready answers 200 unless its Readiness has
// an error, the process that started a daemon returns to its shell, and a
// service manager hears of it. Further calls do nothing.
func (a *Appliance) Ready() {
	if a.ready.Swap(true) {
		return
	}
	if err := a.tell(a.out); err != nil {
		a.Log.Warn("cannot leave the terminal", "error", err)
	}
	if a.manager != nil {
		a.manager.ready()
		go a.manager.watch(a.tool.Beat, a.status)
	}
}

// unready is why the tool does nothing of use, on one line; empty while it works.
func (a *Appliance) unready() string {
	if !a.ready.Load() {
		return a.name + " is starting"
	}
	if tool, ok := a.tool.(Readiness); ok {
		if err := tool.Ready(); err != nil {
			return strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	}
	return ""
}

// status is what the service manager shows.
func (a *Appliance) status() string {
	s := a.tool.Status()
	if why := a.unready(); why != "" {
		s = "NOT READY: " + why + "; " + s
	}
	if err := a.reloads.failure(); err != nil {
		s += "; the last reload failed: " + err.Error()
	}
	return s
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
			case s == syscall.SIGHUP && !stopping:
				a.hangup()
			case s == syscall.SIGHUP:
				a.reopen()
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
