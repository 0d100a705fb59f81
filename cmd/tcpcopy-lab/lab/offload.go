package lab

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An offload is a legacy command of include/uapi/linux/ethtool.h, which takes a
// struct ethtool_value {u32 cmd; u32 data}.
type offload struct {
	name string
	cmd  uint32
}

var (
	gro      = offload{"gro", 0x2c}
	offloads = []offload{gro, {"gso", 0x24}, {"tso", 0x1f}, {"tx-checksum", 0x17}}
)

// offloadsOff makes iface carry what a plain wire carries: segments of at most
// the MTU, with finished checksums.
func (h *Host) offloadsOff(iface string) error { return h.ethtool(iface, 0, offloads...) }

// ethtool switches offloads of iface on (1) or off (0).
func (h *Host) ethtool(iface string, to uint32, offloads ...offload) error {
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, o := range offloads {
			value := [2]uint32{o.cmd, to}
			req := struct { // struct ifreq, include/uapi/linux/if.h
				name [unix.IFNAMSIZ]byte
				data unsafe.Pointer
				_    [16]byte
			}{data: unsafe.Pointer(&value)}
			copy(req.name[:unix.IFNAMSIZ-1], iface)
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
			runtime.KeepAlive(&value)
			if errno != 0 {
				return fmt.Errorf("ethtool -K %s %s %d: %w", iface, o.name, to, errno)
			}
		}
		return nil
	})
}
