package ring

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Version is the layout of a ring.
type Version uint8

const (
	// V3 hands over blocks of frames of any length, when they are full or
	// after RetireTimeout: most frames a second, any size, up to a millisecond
	// late.
	V3 Version = iota
	// V2 hands over single frames of a fixed size at once: least latency.
	V2
)

// Defaults of a Config's zero fields: 16 MB for either version.
//
// A V3 block with only one packet in it is handed over after RetireTimeout
// like a full one, so a reader may pause for Blocks * RetireTimeout, 64 ms,
// even under light load; blocks of 256 KB still hold any packet but those of
// BIG TCP whole.
const (
	DefaultBlockSize     = 256 << 10
	DefaultBlocks        = 64
	DefaultFrameSize     = 256 // the longest headers, for V2
	DefaultRetireTimeout = time.Millisecond
)

// frameAlign is TPACKET_ALIGNMENT (include/uapi/linux/if_packet.h).
const frameAlign = 16

// Config says what a ring captures and how much memory it has.
type Config struct {
	Interface     string // "": all of the namespace
	Version       Version
	BlockSize     int                  // bytes, a multiple of the page size
	Blocks        int                  // memory is BlockSize * Blocks
	FrameSize     int                  // V2: bytes of a slot, with about 80 of its own; divides BlockSize; longer packets are cut
	RetireTimeout time.Duration        // V3: a block that is not full is handed over after it; whole milliseconds
	Filter        []bpf.RawInstruction // runs in the kernel; its result cuts the packet; nil: everything
	Promiscuous   bool                 // also what is addressed to other hosts; needs Interface
}

// complete puts the defaults in and checks what the kernel would refuse with
// a bare EINVAL.
func (c *Config) complete() error {
	setDefault(&c.BlockSize, DefaultBlockSize)
	setDefault(&c.Blocks, DefaultBlocks)
	setDefault(&c.FrameSize, DefaultFrameSize)
	if c.RetireTimeout == 0 {
		c.RetireTimeout = DefaultRetireTimeout
	}
	page := unix.Getpagesize()
	switch {
	case c.Version != V2 && c.Version != V3:
		return fmt.Errorf("ring: version %d: V2 or V3 are possible", c.Version)
	case c.BlockSize < page || c.BlockSize%page != 0:
		return fmt.Errorf("ring: block size %d: it must be a multiple of the page size, %d", c.BlockSize, page)
	case c.Blocks < 2:
		return fmt.Errorf("ring: %d blocks: at least 2 are needed", c.Blocks)
	case c.BlockSize > 1<<30 || c.Blocks > math.MaxUint32/c.BlockSize:
		return fmt.Errorf("ring: %d blocks of %d bytes: a ring has less than 4 GB", c.Blocks, c.BlockSize)
	case c.Version == V2 && (c.FrameSize < 128 || c.FrameSize%frameAlign != 0 || c.BlockSize%c.FrameSize != 0):
		return fmt.Errorf("ring: frame size %d: it must be a multiple of %d, 128 at least, and divide the block size %d", c.FrameSize, frameAlign, c.BlockSize)
	case c.RetireTimeout < time.Millisecond:
		return fmt.Errorf("ring: retire timeout %v: 1ms is the least", c.RetireTimeout)
	case c.Promiscuous && c.Interface == "":
		return errors.New("ring: promiscuous mode needs the name of an interface")
	}
	return nil
}

func setDefault(v *int, d int) {
	if *v == 0 {
		*v = d
	}
}

// failed makes the error of a step of Open, with the mend where one is known.
func (c *Config) failed(step string, err error) error {
	mend := ""
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		mend = ": run as root, or give the binary the capability: setcap cap_net_raw,cap_net_admin+ep"
	case errors.Is(err, unix.ENOMEM):
		mend = ": make the ring smaller"
	case errors.Is(err, unix.EAFNOSUPPORT):
		mend = ": this kernel or this service's sandbox has no AF_PACKET: modprobe af_packet, RestrictAddressFamilies"
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		mend = ": the interface is gone: `ip link` lists those that exist"
	case errors.Is(err, unix.EINVAL) && step == "join a fanout group":
		mend = ": bring the interface up first"
	}
	return fmt.Errorf("ring: %s: %s: %w%s", c.where(), step, err, mend)
}

func (c *Config) where() string {
	if c.Interface == "" {
		return "all interfaces"
	}
	return c.Interface
}
