package ring

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// longWait waits for descriptors in the runtime's own poller, so that a
// goroutine that waits has neither a thread nor a P. In a system call that the
// runtime knows of it would keep both, and each wait would wake up sysmon some
// fifty times before that goes to sleep again; in one that it does not know of,
// it would be interrupted by a signal every 10 ms. Entering is dearer than
// poll(2), and so is what sends packets to a ring that has somebody in its
// queue: descriptors are in the set only while they are waited for.
type longWait struct {
	set   int // an epoll(7) instance, which the runtime's own has in it
	file  *os.File
	conn  syscall.RawConn
	timer int // timerfd_create(2): a timer of the runtime would wake a thread more

	ready func(uintptr) bool
	event unix.EpollEvent
	until unix.ItimerSpec
}

func newLongWait() (*longWait, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	w := &longWait{set: set, timer: -1}
	w.ready = w.anyReady
	err = unix.SetNonblock(set, true) // os.NewFile gives it to the runtime's poller
	w.file = os.NewFile(uintptr(set), "epoll")
	if err == nil {
		w.conn, err = w.file.SyscallConn()
	}
	if err == nil {
		w.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	}
	if err == nil {
		err = w.control(unix.EPOLL_CTL_ADD, w.timer)
	}
	if err != nil {
		_ = w.close()
		return nil, err
	}
	return w, nil
}

// wait returns when one of fds is ready or timeout is over; negative: never.
func (w *longWait) wait(fds []unix.PollFd, timeout time.Duration) error {
	var err error
	added := 0
	for ; err == nil && added < len(fds); added++ {
		if fds[added].Fd >= 0 {
			err = w.control(unix.EPOLL_CTL_ADD, int(fds[added].Fd))
		}
	}
	if err == nil {
		w.setTimer(max(timeout, 0))
		err = w.conn.Read(w.ready)
		w.setTimer(0)
	}
	for _, fd := range fds[:added] {
		if fd.Fd >= 0 {
			_ = w.control(unix.EPOLL_CTL_DEL, int(fd.Fd)) // it may not be in, for the error
		}
	}
	return err
}

// control changes the set; so does setTimer. Neither waits, so the runtime
// need not know of them.
func (w *longWait) control(op, fd int) error {
	w.event = unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(w.set), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&w.event)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setTimer makes the timer's descriptor ready after d; 0: not at all.
func (w *longWait) setTimer(d time.Duration) {
	w.until.Value = unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(w.timer), 0, uintptr(unsafe.Pointer(&w.until)), 0, 0, 0)
}

func (w *longWait) anyReady(uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.set), uintptr(unsafe.Pointer(&w.event)), 1, 0, 0, 0)
	return n > 0 || errno != 0 && errno != unix.EINTR
}

func (w *longWait) close() error {
	err := w.file.Close()
	if w.timer >= 0 {
		err = errors.Join(err, unix.Close(w.timer))
	}
	return err
}
