package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// link asks for the state of an interface by its name, in the network namespace
// of the thread that made it. The nil one, of all interfaces, is always up.
type link struct {
	name   string
	socket int // receives nothing; it is there for ioctl
}

func openLink(name string) (*link, error) {
	if name == "" {
		return nil, nil
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("capture: open a packet socket: %w", err)
	}
	return &link{name, fd}, nil
}

// err tells why nothing is received from the interface.
func (l *link) err() error {
	if l == nil {
		return nil
	}
	flags, err := l.flags()
	if err == nil && flags&unix.IFF_UP == 0 {
		return fmt.Errorf("capture: %s is down: ip link set %s up", l.name, l.name)
	}
	return err
}

// exists tells whether there is an interface of that name.
func (l *link) exists() error {
	if l == nil {
		return nil
	}
	_, err := l.flags()
	return err
}

// flags are those of netdevice(7). The error of an interface that is not there
// is that of a ring that lost it.
func (l *link) flags() (uint16, error) {
	request, err := unix.NewIfreq(l.name)
	if err == nil {
		err = unix.IoctlIfreq(l.socket, unix.SIOCGIFFLAGS, request)
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		return 0, fmt.Errorf("ring: %s: %w", l.name, ring.ErrGone)
	case err != nil:
		return 0, fmt.Errorf("capture: flags of %s: %w", l.name, err)
	}
	return request.Uint16(), nil
}

func (l *link) close() error {
	if l == nil {
		return nil
	}
	return unix.Close(l.socket)
}
