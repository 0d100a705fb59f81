package ring

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Poller is where a worker sleeps: until a ring has frames, another goroutine
// wakes it, or time is up. Wake is for any goroutine, the rest for the worker.
type Poller struct {
	state atomic.Uint32
	event *os.File // an eventfd; os.File so that Wake may run into Close
	rings []*Ring
	fds   []unix.PollFd // of rings, in their order, and the eventfd last
	time  unix.Timespec

	rested time.Time // when the last Rest began
	count  [8]byte   // what the eventfd counted
}

// States of a worker.
const (
	running uint32 = iota
	sleeping
)

// NewPoller makes a poller for rings, which may be none. It does not own them.
func NewPoller(rings ...*Ring) (*Poller, error) {
	// Blocking, so that os.File leaves it out of the runtime's own poller.
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("ring: eventfd: %w", err)
	}
	p := &Poller{event: os.NewFile(uintptr(fd), "eventfd"), rings: rings}
	for _, r := range rings {
		p.fds = append(p.fds, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
	}
	p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	return p, nil
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
	if ready != nil && ready() || p.ringReady() {
		p.state.Store(running)
		return nil
	}
	var ts *unix.Timespec
	if timeout >= 0 {
		p.time = unix.NsecToTimespec(int64(timeout))
		ts = &p.time
	}
	n, err := unix.Ppoll(p.fds, ts, nil)
	p.state.Store(running)
	switch {
	case err == unix.EINTR || n == 0 && err == nil:
		return nil
	case err != nil:
		return fmt.Errorf("ring: poll: %w", err)
	}
	return p.settle()
}

// settle takes back what would end the next wait at once.
func (p *Poller) settle() error {
	last := len(p.fds) - 1
	if p.fds[last].Revents&unix.POLLIN != 0 {
		_, _ = unix.Read(int(p.fds[last].Fd), p.count[:])
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
	// gather is how many frames are worth waking up for: waking costs as much
	// as ten of them.
	gather = 16
	// A rest is between these.
	minRest = 50 * time.Microsecond
	maxRest = time.Millisecond
)

// Rest sleeps, after a pass over the queues that found n things to do, until
// about gather more may have come at the rate of late, a millisecond at most.
// Where something came more is likely to follow; what comes after a real pause
// is waited for by Wait, without delay. Wake does not end a rest.
func (p *Poller) Rest(n int) {
	now := time.Now()
	nap := min(max(now.Sub(p.rested)*gather/time.Duration(max(n, 1)), minRest), maxRest)
	p.rested = now
	p.time = unix.NsecToTimespec(int64(nap))
	_ = unix.Nanosleep(&p.time, nil) // sooner is as good
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

// Wake ends the worker's sleep. To a worker that is awake it costs one load.
func (p *Poller) Wake() {
	if p.state.Load() == sleeping && p.state.CompareAndSwap(sleeping, running) {
		_, _ = p.event.Write(one[:])
	}
}

// Close frees the poller; the rings stay open. Wake may still be called.
func (p *Poller) Close() error { return p.event.Close() }
