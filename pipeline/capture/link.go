package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// link asks for the state of an interface, in the network namespace of the
// thread that made it. The nil one, of all interfaces, is always up.
type link struct {
	name   string
	index  uint32 // of the interface that had the name when rings were opened
	socket int    // receives nothing; it is there for ioctl
}

func openLink(name string) (*link, error) {
	if name == "" {
		return nil, nil
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("capture: open a packet socket: %w", err)
	}
	l := &link{name: name, socket: fd}
	_ = l.find() // the rings tell if it is gone already
	return l, nil
}

// find looks up the interface that has the name now. The error of one that is
// not there is that of a ring that lost it.
func (l *link) find() error {
	if l == nil {
		return nil
	}
	request, err := unix.NewIfreq(l.name)
	if err == nil {
		err = unix.IoctlIfreq(l.socket, unix.SIOCGIFINDEX, request)
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("ring: %s: %w", l.name, ring.ErrGone)
	case err != nil:
		return fmt.Errorf("capture: look up %s: %w", l.name, err)
	}
	l.index = request.Uint32()
	return nil
}

// err tells whether the interface is down. It may have another name by now; of
// one that is not there the rings tell.
func (l *link) err() error {
	if l == nil {
		return nil
	}
	request, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	request.SetUint32(l.index)
	if unix.IoctlIfreq(l.socket, unix.SIOCGIFNAME, request) != nil || unix.IoctlIfreq(l.socket, unix.SIOCGIFFLAGS, request) != nil {
		return nil
	}
	if request.Uint16()&unix.IFF_UP == 0 {
		return fmt.Errorf("capture: %s is down: ip link set %s up", l.name, l.name)
	}
	return nil
}

func (l *link) close() error {
	if l == nil {
		return nil
	}
	return unix.Close(l.socket)
}
