package thread

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// anyCPU is where a worker runs that is bound to none.
const anyCPU = -1

// bind lets the calling thread run on one CPU only.
func bind(cpu int) error {
	var s unix.CPUSet
	s.Set(cpu)
	if err := unix.SchedSetaffinity(0, &s); err != nil {
		return fmt.Errorf("bind a thread to CPU %d: %w", cpu, err)
	}
	return nil
}

// CanBind tries each of cpus, on a thread that ends with it.
func CanBind(cpus []int) error {
	tried := make(chan error)
	go func() {
		runtime.LockOSThread()
		for _, cpu := range cpus {
			if err := bind(cpu); err != nil {
				tried <- fmt.Errorf("%w: this host has no such CPU, or this process may not use it", err)
				return
			}
		}
		tried <- nil
	}()
	return <-tried
}
