package link

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// An Inlet is the reading side of an open link. It belongs to one goroutine,
// which calls Read at once, and whenever FD is readable, until it returns
// false.
type Inlet struct {
	link   *clientLink
	file   *os.File // the link's socket; the runtime's poller does not know it
	fd     int
	frames *frameReader
	batch  []packet.Reply

	heard atomic.Uint64 // bytes
	asked bool          // in this call of Read

	ended chan struct{}
	err   error // why, once ended is closed
}

// newInlet takes conn over. The runtime's poller wakes a thread for whatever
// comes on a socket that it knows, also while no goroutine waits for it.
func newInlet(l *clientLink, conn net.Conn, frames *frameReader) (*Inlet, error) {
	defer conn.Close()
	in := &Inlet{
		link:   l,
		frames: frames,
		batch:  make([]packet.Reply, 0, recordsPerFrame),
		ended:  make(chan struct{}),
	}
	in.frames.r = nonblocking{in}
	var err error
	if in.file, err = blocking(conn); err != nil {
		return nil, err
	}
	in.fd = int(in.file.Fd())
	return in, nil
}

// blocking is the socket of conn in a file that blocks, for Silence at most
// where it is written.
func blocking(conn net.Conn) (f *os.File, err error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil, net.UnknownNetworkError(conn.RemoteAddr().Network())
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(int64(Silence))
	cerr := raw.Control(func(fd uintptr) {
		var own int
		if own, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return
		}
		if err = errors.Join(unix.SetNonblock(own, false), unix.SetsockoptTimeval(own, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)); err != nil {
			unix.Close(own)
			return
		}
		f = os.NewFile(uintptr(own), "link")
	})
	return f, errors.Join(cerr, err)
}

// FD is the link's socket, to be waited for. Read closes it when it returns
// false, and nothing else does.
func (in *Inlet) FD() int { return in.fd }

// Read takes what has come, without waiting, by one system call. It hands each
// batch of replies to give, for the time of the call, and returns how many
// replies that were and whether the link is open. The replies to an endpoint
// come through the link packet.Shard(port, Conns) while all are up.
func (in *Inlet) Read(give func([]packet.Reply)) (n int, open bool) {
	in.asked = false
	for {
		t, p, err := in.frames.next()
		if err == nil && t == TypeReplies {
			in.batch, err = decodeRecords(p, in.batch[:0])
			n += len(in.batch)
			if err == nil && len(in.batch) > 0 {
				give(in.batch)
			}
		} else if err == nil {
			err = in.link.handle(t, p)
		}
		if err == nil {
			continue
		}
		in.link.client.records.Add(uint64(n))
		if err == errWouldBlock {
			return n, true
		}
		in.err = err
		in.file.Close()
		close(in.ended)
		return n, false
	}
}

var errWouldBlock = errors.New("nothing more has come")

// nonblocking is the inlet's socket as the reader of its frames. It answers
// once in each call of Inlet.Read.
type nonblocking struct{ *Inlet }

func (in nonblocking) Read(b []byte) (int, error) {
	if in.asked {
		return 0, errWouldBlock
	}
	in.asked = true
	// It does not wait, so the runtime need not know of it.
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(in.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, errWouldBlock
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	in.heard.Add(uint64(n))
	in.link.client.received.Add(uint64(n))
	return int(n), nil
}

// shut ends the stream that Read sees, behind what has come already.
func (in *Inlet) shut() {
	raw, err := in.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // it may be closed already
}
