package link

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// MaxBacklog is how many bytes wait for a peer that falls behind, before the
// oldest records are dropped.
const MaxBacklog = 4 << 20

// outbox is the sending side of a server's link. Whoever has frames writes them
// at once, without waiting; what the socket does not take goes to a backlog,
// which a goroutine of its own carries off while there is one.
type outbox struct {
	totals *totals
	conn   net.Conn
	raw    syscall.RawConn
	try    func(fd uintptr) bool // one write(2) of pending, into n and err

	mu       sync.Mutex
	frame    []byte // encoded here, reused
	pending  []byte
	n        int
	err      error
	closed   bool
	draining bool    // the goroutine runs; all goes to the backlog
	rest     chunk   // of what a write took in part; it goes first and is never dropped
	backlog  []chunk // oldest first
	bytes    int     // in the backlog

	dropped atomic.Uint64
}

// chunk is whole frames, but for outbox.rest.
type chunk struct {
	b       []byte
	records int
}

func newOutbox(conn net.Conn, t *totals) (*outbox, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil, net.UnknownNetworkError(conn.RemoteAddr().Network())
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	o := &outbox{totals: t, conn: conn, raw: raw}
	o.try = func(fd uintptr) bool {
		for {
			// It does not wait, so the runtime need not know of it.
			n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(o.pending))), uintptr(len(o.pending)))
			if errno == unix.EINTR {
				continue
			}
			o.n, o.err = int(n), nil
			if errno != 0 {
				o.n, o.err = 0, errno
			}
			return true
		}
	}
	return o, nil
}

// Deliver sends a batch of replies; it is reply.Sink.
func (o *outbox) Deliver(batch []packet.Reply) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		o.drop(len(batch))
		return
	}
	o.totals.batch(len(batch))
	for len(batch) > 0 {
		b, at := beginFrame(o.frame[:0], TypeReplies)
		n := 0
		for n < len(batch) && len(b)-at+maxRecord <= MaxFrame {
			b = appendRecord(b, &batch[n])
			n++
		}
		o.frame = endFrame(b, at)
		o.write(o.frame, n)
		batch = batch[n:]
	}
}

// opening runs join, which makes Deliver known to the world, and sends ready
// before anything that it delivers.
func (o *outbox) opening(join func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := join(); err != nil {
		return err
	}
	o.write(appendFrame(nil, TypeReady, nil), 0)
	return nil
}

// send sends a frame that holds no records.
func (o *outbox) send(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.write(frame, 0)
	}
}

// write sends b, a whole frame with that many records, or puts it off. The
// caller holds the lock.
func (o *outbox) write(b []byte, records int) {
	if o.draining {
		o.put(b, records)
		return
	}
	o.pending, o.n, o.err = b, 0, nil
	cerr := o.raw.Write(o.try)
	o.pending = nil
	switch {
	case cerr != nil || o.err != nil && o.err != unix.EAGAIN:
		o.drop(records)
		o.conn.Close() // ends the link's reader
		return
	case o.n == len(b):
		o.totals.forwarded.Add(uint64(records))
		return
	case o.n > 0:
		o.rest = chunk{append([]byte(nil), b[o.n:]...), records}
		o.totals.queued.Add(int64(records))
	default:
		o.put(b, records)
	}
	o.totals.stalls.Add(1)
	o.draining = true
	go o.drain()
}

// put appends b to the backlog and makes room for it at the other end.
func (o *outbox) put(b []byte, records int) {
	for o.bytes+len(b) > MaxBacklog && len(o.backlog) > 0 {
		o.lose(o.pop())
	}
	if n := len(o.backlog); n == 0 || len(o.backlog[n-1].b)+len(b) > cap(o.backlog[n-1].b) {
		o.backlog = append(o.backlog, chunk{b: make([]byte, 0, headerLen+MaxFrame)})
	}
	last := &o.backlog[len(o.backlog)-1]
	last.b = append(last.b, b...)
	last.records += records
	o.bytes += len(b)
	o.totals.queued.Add(int64(records))
}

func (o *outbox) pop() chunk {
	p := o.backlog[0]
	o.backlog[0] = chunk{}
	o.backlog = o.backlog[1:]
	o.bytes -= len(p.b)
	return p
}

// drain carries the backlog off, waiting for the socket, until it is empty.
func (o *outbox) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed {
		p := o.rest
		switch {
		case p.b != nil:
			o.rest = chunk{}
		case len(o.backlog) > 0:
			p = o.pop()
		default:
			o.draining = false
			return
		}
		o.mu.Unlock()
		_, err := o.conn.Write(p.b)
		o.mu.Lock()
		if err != nil {
			o.lose(p)
			o.conn.Close()
			o.shut()
			return
		}
		o.totals.queued.Add(-int64(p.records))
		o.totals.forwarded.Add(uint64(p.records))
	}
}

// close drops what waits. The connection is closed by the caller.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut()
}

func (o *outbox) shut() {
	o.closed = true
	o.lose(o.rest)
	o.rest = chunk{}
	for len(o.backlog) > 0 {
		o.lose(o.pop())
	}
}

// lose drops a chunk that was queued.
func (o *outbox) lose(p chunk) {
	o.totals.queued.Add(-int64(p.records))
	o.drop(p.records)
}

func (o *outbox) drop(records int) {
	o.dropped.Add(uint64(records))
	o.totals.dropped.Add(uint64(records))
}
