package ring

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poller is where a worker sleeps: until a ring has frames, a descriptor that it
// watches is readable, another goroutine wakes it, or time is up. Wake is for
// any goroutine, the rest for the worker.
type Poller struct {
	state atomic.Uint32
	event *os.File // an eventfd; os.File so that Wake may run into Close
	raw   syscall.RawConn
	count [8]byte // what the eventfd counted
	long  *longWait
	rings []*Ring
	fds   []unix.PollFd // of rings, in their order, the eventfd, and what is watched
	time  unix.Timespec

	paced  int       // rings that hand over blocks: the first of fds
	quiet  bool      // the last Wait was a long one
	rested time.Time // when the last Rest began
}

// States of a worker.
const (
	running uint32 = iota
	sleeping
)

// NewPoller makes a poller for rings of one version, which may be none. It does
// not own them.
func NewPoller(rings ...*Ring) (*Poller, error) {
	// Blocking, so that os.File leaves it out of the runtime's own poller.
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("ring: eventfd: %w", err)
	}
	p := &Poller{event: os.NewFile(uintptr(fd), "eventfd")}
	if p.raw, err = p.event.SyscallConn(); err == nil {
		p.long, err = newLongWait()
	}
	if err != nil {
		_ = p.event.Close()
		return nil, fmt.Errorf("ring: poller: %w", err)
	}
	p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	if len(rings) > 0 && rings[0].version == V3 {
		p.AddPaced(rings...)
	} else {
		p.Add(rings...)
	}
	return p, nil
}

// Add lets Wait end for more rings, too. They do not end a Rest.
func (p *Poller) Add(rings ...*Ring) {
	for _, r := range rings {
		p.insert(len(p.rings), r)
	}
}

// AddPaced lets Wait end for more rings, of V3, whose blocks end a Rest, too. It
// is for those that the worker mainly works for: of others each block more
// would cost it another waking.
func (p *Poller) AddPaced(rings ...*Ring) {
	for _, r := range rings {
		p.insert(p.paced, r)
		p.paced++
	}
}

func (p *Poller) insert(i int, r *Ring) {
	p.fds = slices.Insert(p.fds, i, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
	p.rings = slices.Insert(p.rings, i, r)
}

// Remove ends what NewPoller, Add or AddPaced began.
func (p *Poller) Remove(rings ...*Ring) {
	for _, r := range rings {
		i := slices.Index(p.rings, r)
		if i < 0 {
			continue
		}
		p.rings = slices.Delete(p.rings, i, i+1)
		p.fds = slices.Delete(p.fds, i, i+1)
		if i < p.paced {
			p.paced--
		}
	}
}

// Watch lets Wait end, too, while fd is readable.
func (p *Poller) Watch(fd int) {
	p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
}

// Forget ends what Watch began.
func (p *Poller) Forget(fd int) {
	first := len(p.rings) + 1
	for i := first; i < len(p.fds); i++ {
		if p.fds[i].Fd == int32(fd) {
			p.fds = append(p.fds[:i], p.fds[i+1:]...)
			return
		}
	}
}

// Wait sleeps until a ring is ready, Wake is called or timeout is over; a
// negative timeout is none. It may return sooner, without a reason. A nil
// ready is no other queues; else ready is called after the intention to sleep
// was announced, and tells whether a queue whose producers call Wake has
// something. What was put there before Wake is never slept over. A ring is
// ready, too, while it holds a frame: before Wait, call Next until it has none.
//
// The error is of a ring whose interface was deleted (ErrGone), once, or of the
// system. An interface that only went down is waited for.
func (p *Poller) Wait(timeout time.Duration, ready func() bool) error {
	p.state.Store(sleeping)
	defer p.state.Store(running)
	if ready != nil && ready() || p.ringReady() {
		return nil
	}
	if slices.ContainsFunc(p.rings, (*Ring).waits) {
		_, _ = p.poll(0, MinRest)
		return nil
	}
	short := timeout >= 0 && timeout <= MaxRest
	if short || !p.quiet {
		soon := MaxRest
		if short {
			soon = timeout
		}
		n, errno := p.poll(len(p.fds), soon)
		if short || n != 0 || errno != 0 {
			return p.acknowledge(n, errno)
		}
	}
	began := time.Now()
	if p.long.wait(p.fds, timeout) != nil { // no room for a set: many short waits
		p.quiet = false
		return nil
	}
	p.quiet = time.Since(began) > MaxRest
	return p.acknowledge(p.poll(len(p.fds), 0))
}

// poll waits for the first fds, for a time in which the runtime need not know of
// it: its sysmon wakes up every 20 us to watch who is in a system call that it
// knows of. A collection of garbage interrupts it by a signal.
func (p *Poller) poll(fds int, timeout time.Duration) (int, unix.Errno) {
	p.time = unix.NsecToTimespec(int64(timeout))
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p.fds[0])), uintptr(fds), uintptr(unsafe.Pointer(&p.time)), 0, 0, 0)
	return int(n), errno
}

// acknowledge takes back what would end the next wait at once, after poll returned
// n and errno.
func (p *Poller) acknowledge(n int, errno unix.Errno) error {
	switch {
	case errno == unix.EINTR || n == 0 && errno == 0:
		return nil
	case errno != 0:
		return fmt.Errorf("ring: poll: %w", errno)
	}
	if event := p.fds[len(p.rings)]; event.Revents&unix.POLLIN != 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(event.Fd), uintptr(unsafe.Pointer(&p.count[0])), uintptr(len(p.count)))
	}
	var errs []error
	for i, r := range p.rings {
		if p.fds[i].Revents&^unix.POLLIN == 0 {
			continue
		}
		if err := r.Err(); err != nil {
			p.fds[i].Fd = -1 // nothing more to be heard from it
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

const (
	// worthwhile is how many frames are worth waking up for: waking costs as much
	// as ten of them, on a virtual machine thirty.
	worthwhile = 128
	// MinRest is about what the kernel makes of shorter sleeps.
	MinRest = 100 * time.Microsecond
	// MaxRest is how much later a packet may be for the sake of others.
	MaxRest = 2 * time.Millisecond
)

// Rest sleeps, after a pass over the queues that found n things to do, until
// about worthwhile more may have come at the rate of late, or most is over, or a
// ring hands over a block (V3). It returns what it was about to sleep, 0 where
// that would not have been worth while. Wake does not end a rest, nor does what
// is watched: where something came more is likely to follow. What comes after
// a real pause is waited for by Wait, without delay.
func (p *Poller) Rest(n int, most time.Duration) time.Duration {
	now := time.Now()
	each := min(now.Sub(p.rested), time.Second) / time.Duration(max(n, 1))
	nap := min(each*worthwhile, most)
	p.rested = now
	if nap < MinRest {
		return 0
	}
	_, _ = p.poll(p.paced, nap) // an error is a signal; sooner is as good
	return nap
}

func (p *Poller) ringReady() bool {
	for _, r := range p.rings {
		if r.Ready() {
			return true
		}
	}
	return false
}

var one = [8]byte{1} // a number above 0 in either byte order

// addOne does not wait, so the runtime need not know of it.
func addOne(fd uintptr) bool {
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&one[0])), uintptr(len(one)))
	return true
}

// Wake ends the worker's sleep. To a worker that is awake it costs one load.
func (p *Poller) Wake() {
	if p.state.Load() == sleeping && p.state.CompareAndSwap(sleeping, running) {
		_ = p.raw.Write(addOne) // it may be closed
	}
}

// Close frees the poller; the rings stay open. Wake may still be called.
func (p *Poller) Close() error { return errors.Join(p.event.Close(), p.long.close()) }
