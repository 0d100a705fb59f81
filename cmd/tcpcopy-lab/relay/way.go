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

// way is one direction of the wire. One goroutine runs it.
type way struct {
	Config
	from, to int
	rand     *rand.Rand
	queue    queue
	taken    uint64
	buf      [64 << 10]byte
}

// run looks at ctx at least so often.
const look = 100 * time.Millisecond

func (w *way) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := look
		if len(w.queue) > 0 {
			wait = max(0, min(wait, time.Until(w.queue[0].due)))
		}
		timeout := unix.NsecToTimespec(wait.Nanoseconds())
		if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(w.from), Events: unix.POLLIN}}, &timeout, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("relay: poll: %w", err)
		}
		if err := w.take(); err != nil {
			return err
		}
		if err := w.give(); err != nil {
			return err
		}
	}
	return nil
}

// take reads what has come and decides what becomes of it.
func (w *way) take() error {
	for {
		n, _, err := unix.Recvfrom(w.from, w.buf[:], unix.MSG_DONTWAIT)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.EINTR, unix.ENETDOWN:
			continue
		default:
			return fmt.Errorf("relay: receive: %w", err)
		}
		frame := w.buf[:n]
		copies := 1
		if tcp(frame) {
			if w.rand.Float64() < w.Loss {
				copies = 0
			} else if w.rand.Float64() < w.Duplicate {
				copies = 2
			}
		}
		for range copies {
			due := time.Now().Add(w.Delay)
			if w.Jitter > 0 {
				due = due.Add(time.Duration(w.rand.Int64N(int64(w.Jitter))))
			}
			w.taken++
			heap.Push(&w.queue, parcel{due, w.taken, append([]byte(nil), frame...)})
		}
	}
}

// give sends what is due.
func (w *way) give() error {
	for len(w.queue) > 0 && time.Until(w.queue[0].due) <= 0 {
		_, err := unix.Write(w.to, w.queue[0].frame)
		switch err {
		case nil:
		case unix.EAGAIN, unix.ENOBUFS, unix.ENETDOWN: // a full wire, or an unplugged one, loses too
		case unix.EINTR:
			continue
		default:
			return fmt.Errorf("relay: send: %w", err)
		}
		heap.Pop(&w.queue)
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

// parcel is a frame on its way.
type parcel struct {
	due   time.Time
	order uint64 // among those due at once
	frame []byte
}

// queue is a heap, the earliest first.
type queue []parcel

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].order < q[j].order
	}
	return q[i].due.Before(q[j].due)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(parcel)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = parcel{}
	*q = (*q)[:last]
	return p
}
