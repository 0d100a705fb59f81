// Package relay imitates a bad wire. It carries Ethernet frames between two
// interfaces of a host, in both directions, and delays, reorders, loses and
// duplicates TCP packets among them, for kernels that have no netem.
package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Config says what the wire does to frames. Shares are between 0 and 1.
type Config struct {
	Delay     time.Duration // of each frame, each way
	Jitter    time.Duration // at most as much more, at random: packets closer than this overtake each other
	Loss      float64       // share of the TCP packets lost
	Duplicate float64       // share of the TCP packets that arrive twice
	Seed      uint64        // of the chances
}

// Flags makes c settable on a command line.
func (c *Config) Flags(f *pflag.FlagSet) {
	f.DurationVar(&c.Delay, "delay", 0, "delay of each frame, each way")
	f.DurationVar(&c.Jitter, "jitter", 0, "random part on top of the delay; it reorders")
	f.Float64Var(&c.Loss, "loss", 0, "share of the TCP packets that are lost, 0 to 1")
	f.Float64Var(&c.Duplicate, "duplicate", 0, "share of the TCP packets that arrive twice, 0 to 1")
	f.Uint64Var(&c.Seed, "seed", 1, "seed of the chances")
}

// Args is the command line that Flags reads as c.
func (c *Config) Args() []string {
	return []string{
		"--delay", c.Delay.String(), "--jitter", c.Jitter.String(), "--loss", fmt.Sprint(c.Loss),
		"--duplicate", fmt.Sprint(c.Duplicate), "--seed", fmt.Sprint(c.Seed),
	}
}

// A Relay is a wire between two interfaces.
type Relay struct {
	Config
	fd [2]int
}

// Open takes hold of the two interfaces in the caller's namespace. Their
// offloads must be off, so that a frame is what a wire carries.
func Open(c Config, a, b string) (*Relay, error) {
	r := &Relay{Config: c, fd: [2]int{-1, -1}}
	for i, name := range []string{a, b} {
		fd, err := open(name)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("relay: interface %s: %w", name, err)
		}
		r.fd[i] = fd
	}
	return r, nil
}

func open(name string) (fd int, err error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return -1, err
	}
	if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return -1, err
	}
	promiscuous := unix.PacketMreq{Ifindex: int32(iface.Index), Type: unix.PACKET_MR_PROMISC}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 32<<20),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promiscuous),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ALL << 8 /* network order */, Ifindex: iface.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Close closes the sockets. Run must have returned.
func (r *Relay) Close() {
	for _, fd := range r.fd {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Run carries frames until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range r.fd {
		d := &direction{Config: r.Config, from: r.fd[i], to: r.fd[1-i], rand: rand.New(rand.NewPCG(r.Seed, uint64(i)))}
		g.Go(func() error { return d.run(ctx) })
	}
	return g.Wait()
}
