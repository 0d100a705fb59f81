package appliance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// A Go process cannot fork, so the daemon is a second process of the same
// command line. It knows itself by daemonEnv, and has the writing end of a pipe
// at readyFD: a byte there means that it works. Until then its standard error
// is its parent's.
const (
	daemonEnv = "TCPCOPY_DAEMON"
	readyFD   = 3
)

func isDaemon() bool { return os.Getenv(daemonEnv) != "" }

// daemonize starts the daemon, waits until it is ready or has failed, and
// returns the exit status: the daemon's own if it failed.
func daemonize(tool string, c *conf.Process) int {
	status, err := startDaemon(tool, c)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot run in the background: %v; leave -d out\n", tool, err)
		return exitFailed
	}
	return status
}

func startDaemon(tool string, c *conf.Process) (int, error) {
	// Not /proc/self/exe: the daemon would be named exe in the list of processes.
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	ready, readyW, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	messages, messagesW, err := os.Pipe()
	if err != nil {
		readyW.Close()
		return 0, err
	}
	defer messages.Close()
	d := exec.Command(self, os.Args[1:]...)
	d.Args[0] = os.Args[0]
	d.Env = append(os.Environ(), daemonEnv+"=1")
	d.Stderr = messagesW // an *os.File: no copying goroutine for Wait to wait for
	d.ExtraFiles = []*os.File{readyW}
	d.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = d.Start()
	readyW.Close()
	messagesW.Close()
	if err != nil {
		return 0, err
	}
	copied := make(chan struct{})
	go func() {
		_, _ = io.Copy(os.Stderr, messages)
		close(copied)
	}()
	n, _ := ready.Read(make([]byte, 1))
	if n == 1 {
		<-copied
		log := c.LogFile
		if log == "" {
			log = "none, name a file with -l"
		}
		fmt.Fprintf(os.Stderr, "%s: running in the background, pid %d, log: %s\n", tool, d.Process.Pid, log)
		return exitOK, nil
	}
	<-copied
	err = d.Wait()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil
	case err != nil:
		return 0, err
	}
	return 0, errors.New("it ended before it was ready")
}

// enterDaemon makes this process, started by startDaemon, a daemon of its own
// once the function that it returns is called.
func enterDaemon() (tell func(*logFile) error) {
	os.Unsetenv(daemonEnv)
	unix.CloseOnExec(readyFD)
	ready := os.NewFile(readyFD, "ready")
	return func(log *logFile) error {
		defer ready.Close()
		if err := log.takeStderr(); err != nil {
			return err
		}
		_, err := ready.Write([]byte{1})
		return err
	}
}
