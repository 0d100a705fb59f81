// Package ring captures packets from the network and puts packets on it, by
// Linux packet sockets (packet(7)): memory-mapped receive rings that a worker
// walks without system calls (Ring), one wait for rings and for other
// goroutines (Poller), batched transmission with segmentation and checksums
// left to the device (Tx), and the next hops that it needs (Hops).
//
// Sockets belong to the network namespace of the thread that opens them.
package ring

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Ring is an open capture. Outgoing packets never appear in it. Next and Close
// belong to one goroutine, the reader; the other methods are for any.
type Ring struct {
	fd      int
	name    string
	version Version
	walk    walk   // the reader's
	share   *share // of the group's spare; nil: there is none
	alone   bool   // what is left of the held block came before everything in the spare; the reader's

	outgoing, malformed, downs atomic.Uint64

	mu     sync.Mutex // guards what follows, and fd against Close
	closed bool
	stats  Stats
}

// ErrGone is the error of a ring whose interface was deleted.
var ErrGone = errors.New("interface was deleted")

// Open opens a ring. It needs CAP_NET_RAW. The interface may be down: capture
// begins when it comes up.
func Open(c Config) (*Ring, error) {
	rings, err := open([]Config{c}, nil)
	if err != nil {
		return nil, err
	}
	return rings[0], nil
}

// OpenGroup opens n rings that share the packets of an interface. program
// (PACKET_FANOUT_CBPF, Linux 4.3) returns the index of the ring that gets a
// packet, modulo n; it sees the packet from its network header. Without a
// program the kernel's flow hash decides. IPv4 fragments are put together
// first (PACKET_FANOUT_FLAG_DEFRAG), so that each goes where its flow goes.
//
// No ring holds a packet that came before the group was complete. While an
// interface comes up again the kernel puts the group together member by
// member, and for these microseconds a packet may reach another ring. Before
// Linux 6.13 the interface must be up.
func OpenGroup(c Config, n int, program []bpf.RawInstruction) ([]*Ring, error) {
	if n < 1 || n > maxGroup {
		return nil, fmt.Errorf("ring: a group of %d rings: 1 to %d are possible", n, maxGroup)
	}
	return open(slices.Repeat([]Config{c}, n), &fanout{program: program})
}

// OpenShards opens a group by ShardProgram(n) of V3 rings that take memory
// together, if that is enough. Half of it is divided among them. The rest
// is for what one of them has no room for while its reader gets no CPU or much
// comes in at once: the kernel keeps that apart until a block of it is full or
// some milliseconds are over, and Next puts it where it belongs. c.Blocks is
// left out.
func OpenShards(c Config, n int, memory int64) ([]*Ring, error) {
	if n < 1 || n >= maxGroup {
		return nil, fmt.Errorf("ring: a group of %d rings: 1 to %d are possible", n, maxGroup-1)
	}
	setDefault(&c.BlockSize, DefaultBlockSize)
	c.Blocks = max(int(memory)/2/n/c.BlockSize, minShardBlocks)
	configs := slices.Repeat([]Config{c}, 1+n)
	configs[0] = spareConfig(c, int(memory)-n*c.Blocks*c.BlockSize)
	rings, err := open(configs, &fanout{program: shardProgram(n, 1), spare: true})
	if err != nil {
		return nil, err
	}
	lend(rings[0], rings[1:])
	return rings[1:], nil
}

const (
	// maxGroup is PACKET_FANOUT_MAX of Linux before 5.10.
	maxGroup = 256
	// minShardBlocks is how few blocks of its own a ring may have.
	minShardBlocks = 8
)

// open opens rings, of one group if that is not nil.
func open(configs []Config, group *fanout) (rings []*Ring, err error) {
	defer func() {
		if err != nil {
			for _, r := range rings {
				_ = r.Close()
			}
		}
	}()
	for _, c := range configs {
		if err := c.complete(); err != nil {
			return rings, err
		}
		r, err := openOne(&c)
		if err != nil {
			return rings, err
		}
		rings = append(rings, r)
		if group != nil {
			if err := group.join(r.fd); err != nil {
				return rings, c.failed("join a fanout group", err)
			}
		}
	}
	for i, r := range rings {
		if err := setFilter(r.fd, configs[i].Filter); err != nil {
			return rings, configs[i].failed("attach the filter", err)
		}
	}
	return rings, nil
}

// openOne opens a ring that is bound but lets nothing in yet.
func openOne(c *Config) (r *Ring, err error) {
	ifindex := 0
	if c.Interface != "" {
		ifi, err := net.InterfaceByName(c.Interface)
		if err != nil {
			return nil, fmt.Errorf("ring: no interface %q: `ip link` lists those that exist", c.Interface)
		}
		ifindex = ifi.Index
	}
	// Protocol 0: nothing is received before bind.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, c.failed("open a packet socket", err)
	}
	r = &Ring{fd: fd, name: c.Interface, version: c.Version}
	defer func() {
		if err != nil {
			_ = r.Close()
		}
	}()
	if err := r.mapMemory(c); err != nil {
		return nil, c.failed(fmt.Sprintf("map a ring of %d MB", c.BlockSize*c.Blocks>>20), err)
	}
	// Linux 4.20. Where it is missing, and in the fanout groups of Linux
	// before 6.1, which do not heed it, Next passes over outgoing frames.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil && err != unix.ENOPROTOOPT {
		return nil, c.failed("ignore outgoing packets", err)
	}
	if err := setFilter(fd, nothing); err != nil {
		return nil, c.failed("attach a filter", err)
	}
	if c.Promiscuous {
		m := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return nil, c.failed("set promiscuous mode", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifindex}); err != nil {
		return nil, c.failed("bind", err)
	}
	return r, nil
}

func (r *Ring) mapMemory(c *Config) error {
	version := unix.TPACKET_V3
	if c.Version == V2 {
		version = unix.TPACKET_V2
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, version); err != nil {
		return err
	}
	var err error
	if c.Version == V2 {
		err = unix.SetsockoptTpacketReq(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{
			Block_size: uint32(c.BlockSize),
			Block_nr:   uint32(c.Blocks),
			Frame_size: uint32(c.FrameSize),
			Frame_nr:   uint32(c.BlockSize / c.FrameSize * c.Blocks),
		})
	} else {
		// The frame size limits nothing in V3, but the kernel checks it.
		frame := unix.Getpagesize()
		err = unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{
			Block_size:     uint32(c.BlockSize),
			Block_nr:       uint32(c.Blocks),
			Frame_size:     uint32(frame),
			Frame_nr:       uint32(c.BlockSize / frame * c.Blocks),
			Retire_blk_tov: uint32(c.RetireTimeout / time.Millisecond),
		})
	}
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(r.fd, 0, c.BlockSize*c.Blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	r.walk = newWalk(c.Version, mem, c.BlockSize, c.FrameSize)
	return nil
}

// SetFilter replaces the kernel's filter at once: no packet is lost, and what
// is in the ring stays there. nil is everything. It needs no capability.
func (r *Ring) SetFilter(filter []bpf.RawInstruction) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	err := setFilter(r.fd, filter)
	if err == nil && r.share != nil {
		err = setFilter(r.share.ring.fd, filter)
	}
	if err != nil {
		return fmt.Errorf("ring: %s: attach the filter: %w", r.name, err)
	}
	return nil
}

// FD is the ring's socket, readable while frames are there that Next has not
// passed. It stays the ring's own.
func (r *Ring) FD() int { return r.fd }

// Err tells the state of the interface: nil while it is there, up or down, and
// an error that wraps ErrGone when it was deleted and the ring will stay
// silent. It also clears the socket's error, which an interface leaves behind
// when it goes down and which makes poll return at once; Poller calls it then.
func (r *Ring) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	if errno, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno == int(unix.ENETDOWN) {
		r.downs.Add(1)
	}
	// The kernel forgets the index of an interface that is unregistered
	// (packet_notifier, net/packet/af_packet.c).
	if sa, err := unix.Getsockname(r.fd); err == nil {
		if ll, ok := sa.(*unix.SockaddrLinklayer); ok && ll.Ifindex < 0 {
			return fmt.Errorf("ring: %s: %w", r.name, ErrGone)
		}
	}
	return nil
}

// Close gives the memory back; a Frame's Data must not be touched after it.
// Stats still returns the last counts, with net.ErrClosed.
func (r *Ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	_ = r.readStats()
	r.closed = true
	var err error
	if r.walk.mem != nil {
		err = unix.Munmap(r.walk.mem)
		r.walk = walk{}
	}
	if r.share != nil {
		err = errors.Join(err, r.share.close())
		r.share = nil
	}
	return errors.Join(err, unix.Close(r.fd))
}

// nothing is a filter that no packet passes.
var nothing = []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K, K: 0}}

func setFilter(fd int, filter []bpf.RawInstruction) error {
	if filter == nil {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	return setProgram(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter)
}

// setProgram sets a socket option whose value is a classic BPF program.
func setProgram(fd, level, option int, program []bpf.RawInstruction) error {
	if len(program) == 0 {
		return unix.EINVAL
	}
	// bpf.RawInstruction has the layout of struct sock_filter.
	p := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	return unix.SetsockoptSockFprog(fd, level, option, &p)
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
