package load

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// conn is one connection at a time; a slot of the loop, used again after it
// closes.
type conn struct {
	slot    int
	fd      int // -1: closed
	id      int // serial number of the connection, in its URIs
	seq     int // requests begun on it
	out     []byte
	sent    int   // of out
	due     int64 // when the batch was due, ns
	waiting int   // answers to come
	want    [2 * sha256.Size]byte
	in      response
}

var (
	errEarly  = errors.New("closed early")
	errSHA256 = errors.New("sha256")
	errLength = errors.New("length")
)

// open begins to connect and registers with epoll, edge-triggered: the socket
// tells when it is open, when it can be written again, when there is data.
func (c *conn) open(ep int, p *plan, id int) error {
	family := unix.AF_INET
	if p.target.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.fd, c.id, c.seq = fd, id, 0
	c.out, c.sent, c.waiting = c.out[:0], 0, 0
	c.in.head, c.in.in = c.in.head[:0], false
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if len(p.sources) > 0 {
		// The port is chosen at connect: a port per server, not per source.
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(p.sources[id%len(p.sources)], 0))); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, sockaddr(p.target)); err != nil && err != unix.EINPROGRESS {
		return err
	}
	return unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     int32(c.slot), Pad: int32(id),
	})
}

func (c *conn) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// begin composes a batch of requests, due at due.
func (c *conn) begin(p *plan, body []byte, due int64) {
	c.out, c.sent, c.due = c.out[:0], 0, due
	last := ""
	if p.Close == "server" {
		last = "Connection: close\r\n"
	}
	for i := range p.Depth {
		c.seq++
		closing := ""
		if i == p.Depth-1 {
			closing = last
		}
		switch {
		case p.Post > 0:
			c.out = fmt.Appendf(c.out, "POST /u/%s/%d/%d HTTP/1.1\r\nHost: lab\r\nContent-Length: %d\r\n%s\r\n", p.Run, c.id, c.seq, p.Post, closing)
			at := len(c.out)
			c.out = append(c.out, body...)
			copy(c.out[at:], fmt.Sprintf("%d/%d", c.id, c.seq)) // no two bodies are equal
			sum := sha256.Sum256(c.out[at:])
			hex.Encode(c.want[:], sum[:])
		case p.Get > 0:
			c.out = fmt.Appendf(c.out, "GET /d/%d/%s/%d/%d HTTP/1.1\r\nHost: lab\r\n%s\r\n", p.Get, p.Run, c.id, c.seq, closing)
		default:
			c.out = fmt.Appendf(c.out, "GET /r/%s/%d/%d HTTP/1.1\r\nHost: lab\r\n%s\r\n", p.Run, c.id, c.seq, closing)
		}
	}
	c.waiting = p.Depth
}

// flush writes what the socket takes.
func (c *conn) flush() error {
	for c.sent < len(c.out) {
		n, err := unix.Write(c.fd, c.out[c.sent:])
		switch err {
		case nil:
			c.sent += n
		case unix.EAGAIN, unix.ENOTCONN:
			return nil
		case unix.EINTR:
		default:
			return errEarly
		}
	}
	return nil
}
