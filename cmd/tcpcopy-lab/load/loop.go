package load

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// drain is how long the last answers may take.
const drain = 10 * time.Second

// loop owns all connections; one goroutine runs it.
type loop struct {
	plan
	ep     int
	conns  []conn
	idle   []int // slots without a batch, first in first out
	opened int
	busy   int // slots with a batch, or closing
	body   []byte
	buf    []byte
	events []unix.EpollEvent
	now    int64
	second meter
	whole  meter
	errors map[string]int
}

// Run sends what c says and returns the report. emit gets a line for each
// second; hold, with Config.Hold, is read until its first line end. When ctx
// ends no more requests begin.
func Run(ctx context.Context, c Config, hold io.Reader, emit func(Line)) (*Report, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	defer unix.Close(ep)
	l := &loop{plan: p, ep: ep, buf: make([]byte, 256<<10), events: make([]unix.EpollEvent, 256), errors: map[string]int{}}
	l.conns = make([]conn, p.Conns)
	for i := range l.conns {
		l.conns[i].slot, l.conns[i].fd = i, -1
		l.idle = append(l.idle, i)
	}
	defer func() {
		for i := range l.conns {
			l.conns[i].close()
		}
	}()
	if p.Post > 0 {
		l.body = make([]byte, p.Post)
		r := rand.NewChaCha8([32]byte{1})
		r.Read(l.body)
	}
	if c.Hold {
		if err := l.run(ctx, p.Conns, func(Line) {}); err != nil {
			return nil, err
		}
		emit(Line{Held: p.Conns})
		var line [1]byte
		for line[0] != '\n' {
			if _, err := hold.Read(line[:]); err != nil {
				return nil, fmt.Errorf("load: wait for the sign to go on: %w", err)
			}
		}
	}
	if err := l.run(ctx, p.units, emit); err != nil {
		return nil, err
	}
	stat := l.whole.take(time.Unix(0, l.now))
	return &Report{Stat: stat, Connections: l.opened, Errors: l.errors}, nil
}

// run begins units batches, one every l.every, and waits for their answers.
func (l *loop) run(ctx context.Context, units int, emit func(Line)) error {
	start := time.Now()
	l.now = start.UnixNano()
	l.whole.take(start)
	l.second.take(start)
	begun, last := 0, l.now
	for {
		now := time.Now()
		l.now = now.UnixNano()
		if now.Sub(l.second.began) >= time.Second {
			s := l.second.take(now)
			emit(Line{Second: &s})
		}
		if ctx.Err() != nil || units == math.MaxInt && now.Sub(start) >= l.Duration {
			units = begun
		}
		due := min(units, begun+len(l.idle))
		if l.every > 0 {
			due = min(units, int(now.Sub(start)/l.every)+1)
		}
		for begun < due && len(l.idle) > 0 {
			at := l.now
			if l.every > 0 {
				at = start.UnixNano() + int64(begun)*int64(l.every)
				// The tick of the clock, 1 ms, is no latency of the server's.
				at = min(l.now, at+int64(time.Millisecond))
			}
			l.begin(at)
			begun++
			last = l.now
		}
		if begun == units {
			if l.busy == 0 {
				return nil
			}
			if l.now-last > int64(drain) {
				l.abandon()
				return nil
			}
		}
		// Every batch is due at a tick, or when a connection becomes idle.
		wait := 100
		if begun < units && len(l.idle) > 0 && l.every > 0 {
			wait = min(100, int(start.Add(time.Duration(begun)*l.every).Sub(now)/time.Millisecond)+1)
		}
		if err := l.poll(wait); err != nil {
			return err
		}
	}
}

// begin gives a batch to the connection that was idle longest.
func (l *loop) begin(due int64) {
	c := &l.conns[l.idle[0]]
	l.idle = l.idle[1:]
	l.busy++
	l.second.stat.Requests += l.Depth
	l.whole.stat.Requests += l.Depth
	if c.fd < 0 {
		err := c.open(l.ep, &l.plan, l.opened)
		l.opened++
		if err != nil {
			c.close()
			l.errors["connect: "+err.Error()] += l.Depth
			l.rest(c)
			return
		}
	}
	c.begin(&l.plan, l.body, due)
	if err := c.flush(); err != nil {
		l.fail(c, err)
	}
}

// poll serves the sockets that have something, waiting wait ms for one.
func (l *loop) poll(wait int) error {
	n, err := unix.EpollWait(l.ep, l.events, wait)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("load: epoll: %w", err)
	}
	l.now = time.Now().UnixNano()
	for _, e := range l.events[:max(0, n)] {
		c := &l.conns[e.Fd]
		if c.fd < 0 || int32(c.id) != e.Pad { // closed by an earlier event of this round
			continue
		}
		if err := l.serve(c, e.Events); err != nil {
			l.fail(c, err)
		}
	}
	return nil
}

func (l *loop) serve(c *conn, events uint32) error {
	if events&unix.EPOLLERR != 0 {
		errno, _ := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		return unix.Errno(errno)
	}
	if events&unix.EPOLLOUT != 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP) == 0 {
		return nil
	}
	for id := c.id; c.fd >= 0 && c.id == id; {
		n, err := unix.Read(c.fd, l.buf)
		switch {
		case err == unix.EAGAIN:
			return nil
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return l.ended(c)
		}
		l.second.stat.Bytes += int64(n)
		l.whole.stat.Bytes += int64(n)
		if err := c.in.read(l.buf[:n], func(body []byte) error { return l.answered(c, body) }); err != nil {
			return err
		}
		// A short read emptied the socket; an end of stream is told apart.
		if n < len(l.buf) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP) == 0 {
			return nil
		}
	}
	return nil
}

// answered takes a complete answer to the oldest request of c.
func (l *loop) answered(c *conn, body []byte) error {
	if c.waiting == 0 {
		return errLength // more than was asked for
	}
	if l.Post > 0 && l.Depth == 1 && len(body) == len(c.want) && string(body) != string(c.want[:]) {
		return errSHA256
	}
	us := (l.now - c.due) / 1000
	l.second.answer(us)
	l.whole.answer(us)
	if c.waiting--; c.waiting > 0 || l.Close == "server" {
		return nil
	}
	if l.Close == "client" {
		c.close()
	}
	l.rest(c)
	return nil
}

// ended handles the server's end of stream.
func (l *loop) ended(c *conn) error {
	if c.waiting > 0 {
		return errEarly
	}
	c.close()
	if l.Close == "server" {
		l.rest(c)
	}
	return nil
}

func (l *loop) rest(c *conn) {
	l.busy--
	l.idle = append(l.idle, c.slot)
}

// fail counts the unanswered requests of c and closes it. The URIs are not
// tried again: each is sent once.
func (l *loop) fail(c *conn, err error) {
	if c.fd < 0 { // closed by us: nothing was waited for
		return
	}
	c.close()
	if c.waiting == 0 && l.Close == "" { // reset while idle: the next batch opens it again
		return
	}
	l.errors[err.Error()] += max(1, c.waiting)
	c.waiting = 0
	l.rest(c)
}

// abandon gives up on answers that did not come in time.
func (l *loop) abandon() {
	for i := range l.conns {
		if c := &l.conns[i]; c.waiting > 0 {
			l.errors["unanswered"] += c.waiting
		}
	}
}
