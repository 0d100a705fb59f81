package relay

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// direction is one direction of the wire. One goroutine runs it.
type direction struct {
	Config
	from, to int
	rand     *rand.Rand
	queue    queue
	received uint64
	buf      [64 << 10]byte
}

// pollInterval bounds how long run takes to see that ctx has ended.
const pollInterval = 100 * time.Millisecond

func (d *direction) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := pollInterval
		if len(d.queue) > 0 {
			wait = max(0, min(wait, time.Until(d.queue[0].due)))
		}
		timeout := unix.NsecToTimespec(wait.Nanoseconds())
		if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(d.from), Events: unix.POLLIN}}, &timeout, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("relay: poll: %w", err)
		}
		if err := d.receive(); err != nil {
			return err
		}
		if err := d.send(); err != nil {
			return err
		}
	}
	return nil
}

// receive reads the frames that have arrived and decides of each when it is
// sent on, and how often.
func (d *direction) receive() error {
	for {
		n, _, err := unix.Recvfrom(d.from, d.buf[:], unix.MSG_DONTWAIT)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.EINTR, unix.ENETDOWN:
			continue
		default:
			return fmt.Errorf("relay: receive: %w", err)
		}
		frame := d.buf[:n]
		copies := 1
		if tcp(frame) {
			if d.rand.Float64() < d.Loss {
				copies = 0
			} else if d.rand.Float64() < d.Duplicate {
				copies = 2
			}
		}
		for range copies {
			due := time.Now().Add(d.Delay)
			if d.Jitter > 0 {
				due = due.Add(time.Duration(d.rand.Int64N(int64(d.Jitter))))
			}
			d.received++
			heap.Push(&d.queue, delayedFrame{due, d.received, append([]byte(nil), frame...)})
		}
	}
}

// send sends the frames that are due.
func (d *direction) send() error {
	for len(d.queue) > 0 && time.Until(d.queue[0].due) <= 0 {
		_, err := unix.Write(d.to, d.queue[0].frame)
		switch err {
		case nil:
		case unix.EAGAIN, unix.ENOBUFS, unix.ENETDOWN: // a full wire, or an unplugged one, loses too
		case unix.EINTR:
			continue
		default:
			return fmt.Errorf("relay: send: %w", err)
		}
		heap.Pop(&d.queue)
	}
	return nil
}

// tcp tells TCP packets, which suffer, from those that the hosts find each
// other with, which do not: their loss would stall all connections for a
// second.
func tcp(frame []byte) bool {
	if len(frame) < 14+40 {
		return false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		return frame[14+9] == unix.IPPROTO_TCP
	case unix.ETH_P_IPV6:
		return frame[14+6] == unix.IPPROTO_TCP
	}
	return false
}

// A delayedFrame waits to be sent.
type delayedFrame struct {
	due   time.Time
	order uint64 // among those due at once
	frame []byte
}

// queue is a heap, the earliest first.
type queue []delayedFrame

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].order < q[j].order
	}
	return q[i].due.Before(q[j].due)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(delayedFrame)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = delayedFrame{}
	*q = (*q)[:last]
	return p
}
