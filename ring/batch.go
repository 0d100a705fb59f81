package ring

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	vnetLen = 10 // struct virtio_net_hdr
	linkLen = 14 // Ethernet header

	// sendBuffer is how much may be on its way to the device: some batches of
	// the longest messages.
	sendBuffer = 16 << 20
)

// batch is the argument of sendmmsg(2), made once and filled again and again.
type batch struct {
	fd       int
	n        int
	messages [BatchLen]message
	iovs     [BatchLen][1 + MaxPieces]unix.Iovec // the headers first
	heads    [BatchLen][vnetLen + linkLen + HeaderRoom]byte
	names    [BatchLen]unix.RawSockaddrInet6 // room for any of the families
	weights  [BatchLen]weight
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	sent   uint32
}

// weight is what a message counts for.
type weight struct{ bytes, segments uint32 }

func newBatch(fd int) *batch {
	b := &batch{fd: fd}
	for i := range b.messages {
		h := &b.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.iovs[i][0]
		b.iovs[i][0].Base = &b.heads[i][0]
	}
	// Best done beyond the limit of net.core.wmem_max, which CAP_NET_ADMIN
	// allows.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	return b
}

// newLinkBatch opens a packet socket that receives nothing (protocol 0).
func newLinkBatch() (*batch, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return newBatch(fd), nil
}

// newRawBatch opens a raw socket of family to which the IP header is given: it
// is with IPPROTO_RAW (raw(7), ipv6(7)). On a host without IPv6, or IPv4, it is
// closed, and sending fails with EBADF.
func newRawBatch(family int) (*batch, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err == unix.EAFNOSUPPORT {
		return newBatch(-1), nil
	}
	if err != nil {
		return nil, err
	}
	return newBatch(fd), nil
}

func txFailed(err error) error {
	mend := ""
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		mend = ": run as root, or give the binary the capability: setcap cap_net_raw,cap_net_admin+ep"
	case errors.Is(err, unix.EAFNOSUPPORT):
		mend = ": this kernel or this service's sandbox has no AF_PACKET: modprobe af_packet, RestrictAddressFamilies"
	}
	return fmt.Errorf("ring: open a socket to send: %w%s", err, mend)
}

// add prepares the next message, of head bytes and then d, and returns the
// room for the head. The message counts when b.n passes it.
func (b *batch) add(head int, d *payload) []byte {
	iovs := &b.iovs[b.n]
	iovs[0].SetLen(head)
	for i, p := range d.pieces[:d.n] {
		iovs[1+i].Base = unsafe.SliceData(p)
		iovs[1+i].SetLen(len(p))
	}
	b.messages[b.n].header.SetIovlen(1 + d.n)
	return b.heads[b.n][:head]
}

// toLink addresses the message in preparation to an interface.
func (b *batch) toLink(ifindex int32, protocol uint16) {
	sa := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&b.names[b.n]))
	sa.Family = unix.AF_PACKET
	sa.Protocol = htons(protocol)
	sa.Ifindex = ifindex
	b.messages[b.n].header.Namelen = unix.SizeofSockaddrLinklayer
}

// toIP addresses the message in preparation to the destination in h.
func (b *batch) toIP(h header) {
	if h.v4() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&b.names[b.n]))
		sa.Family = unix.AF_INET
		copy(sa.Addr[:], h.b[16:])
		b.messages[b.n].header.Namelen = unix.SizeofSockaddrInet4
		return
	}
	sa := &b.names[b.n]
	sa.Family = unix.AF_INET6
	copy(sa.Addr[:], h.b[24:])
	b.messages[b.n].header.Namelen = unix.SizeofSockaddrInet6
}

// sendmmsg sends m until one fails, and returns how many were sent, or the
// error if it was the first.
func sendmmsg(fd int, m []message) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// waitWritable waits for room in the socket's send buffer, a millisecond at most.
func waitWritable(fd int) {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 1)
}
