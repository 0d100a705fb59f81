package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Command is a program to be run on a host.
type Command struct {
	Name   string   // unique on the host; names the log
	Args   []string // the program first
	Stdin  io.Reader
	Stdout io.Writer // nil: into the log, with standard error
}

// A Process is a running command. It dies with the lab, and with the lab's
// process.
type Process struct {
	Command
	Log  string // path of its output
	Done <-chan struct{}
	cmd  *exec.Cmd
	err  error
}

// Start runs c on h.
func (h *Host) Start(c Command) (*Process, error) {
	path := filepath.Join(h.lab.Dir, h.Name+"-"+c.Name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir = h.lab.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, log
	if c.Stdout == nil {
		cmd.Stdout = log
	}
	// A group of its own: Ctrl-C at the terminal is the lab's to handle, which
	// ends its processes in order. Go never ends idle threads, so the death
	// signal comes with the process, not with the thread that started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := h.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("lab: %s on %s: %w", c.Name, h.Name, err)
	}
	done := make(chan struct{})
	p := &Process{Command: c, Log: path, Done: done, cmd: cmd}
	go func() {
		p.err = cmd.Wait()
		close(done)
	}()
	h.lab.mu.Lock()
	h.lab.proc = append(h.lab.proc, p)
	h.lab.mu.Unlock()
	return p, nil
}

// Serve starts c and waits until the host listens on port.
func (h *Host) Serve(ctx context.Context, c Command, port int) (*Process, error) {
	p, err := h.Start(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for !h.Listening(port) {
		select {
		case <-p.Done:
			return nil, fmt.Errorf("lab: %s on %s ended before it listened on port %d:\n%s", c.Name, h.Name, port, p.Tail(20))
		case <-ctx.Done():
			p.Kill()
			return nil, fmt.Errorf("lab: %s on %s does not listen on port %d:\n%s", c.Name, h.Name, port, p.Tail(20))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends s to the process.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process and its group at once.
func (p *Process) Kill() {
	select {
	case <-p.Done:
	default:
		syscall.Kill(-p.PID(), syscall.SIGKILL)
		<-p.Done
	}
}

// Stop asks the process to end and returns its exit status; after grace it is
// killed, which is an error.
func (p *Process) Stop(grace time.Duration) (int, error) {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Done:
		return p.Wait()
	case <-time.After(grace):
		p.Kill()
		return -1, fmt.Errorf("lab: %s did not end %v after SIGTERM", p.Name, grace)
	}
}

// Wait waits for the process's end and returns its exit status, -1 where a
// signal ended it.
func (p *Process) Wait() (int, error) {
	<-p.Done
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		return -1, fmt.Errorf("lab: %s: %w", p.Name, p.err)
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// Used is the time that the process, which has ended, used of all processors.
func (p *Process) Used() time.Duration {
	<-p.Done
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// PeakMemory is the most that the process, which has ended, or this one had in
// memory, in bytes: the kernel does not tell them apart (getrusage(2)).
func (p *Process) PeakMemory() int64 {
	<-p.Done
	usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss << 10 // getrusage(2)
}

// CPU is the time that the process, which runs, has used of all processors, in
// user and kernel mode, to the nanosecond: its clock of clock_getcpuclockid(3).
func (p *Process) CPU() (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED, include/linux/posix-timers_types.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.PID()<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("lab: CPU clock of %s: %w", p.Name, err)
	}
	return time.Duration(ts.Nano()), nil
}

// Memory is what the process, which runs, has resident, in bytes (VmRSS,
// proc_pid_status(5)).
func (p *Process) Memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("lab: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		return 0, fmt.Errorf("lab: VmRSS of %s: %w", p.Name, err)
	}
	return kb << 10, nil
}

// Tail is the last n lines of the process's log.
func (p *Process) Tail(n int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return strings.TrimSpace(string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))))
}
