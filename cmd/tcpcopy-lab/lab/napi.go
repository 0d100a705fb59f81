package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// threaded has a thread of the kernel receive what comes in at iface, a veth
// that is up (Documentation/networking/napi.rst, threaded NAPI). Without it
// the process that sends does the receiver's work within its system call, and
// its processor time has both. It needs Linux 5.13; veth has a NAPI of its own
// only with GRO.
func (h *Host) threaded(iface string) error {
	if err := h.ethtool(iface, 1, gro); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { // /sys shows the namespace in which it was mounted
		runtime.LockOSThread() // never unlocked: the thread ends with its mount
		done <- func() error {
			if err := netns.Set(h.ns); err != nil {
				return err
			}
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
				return err
			}
			if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join("/sys/class/net", iface, "threaded"), []byte("1"), 0)
		}()
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("threaded NAPI of %s: %w", iface, err)
	}
	return nil
}
