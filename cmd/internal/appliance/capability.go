package appliance

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Keep gives up the process's capabilities (capabilities(7)), in all threads,
// but for those named, unix.CAP_..., and for those by which root opens other
// users' files: a log or a configuration that is read anew. Call it when the
// sockets are open. What cannot be given up is told in the log, and kept.
func (a *Appliance) Keep(capabilities ...int) {
	if err := keep(append(capabilities, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH)); err != nil {
		a.Log.Warn("capabilities that are not needed any more are kept", "error", err)
	}
}

func keep(capabilities []int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets, wanted [2]unix.CapUserData // 32 capabilities each
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	for _, c := range capabilities {
		bit := uint32(1) << (c % 32)
		wanted[c/32].Permitted |= sets[c/32].Permitted & bit
		wanted[c/32].Effective |= sets[c/32].Permitted & bit
	}
	// capset(2) is of one thread; the others begin with what this one has.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&wanted[0])), 0)
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
