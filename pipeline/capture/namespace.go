package capture

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is the network namespace in which rings are opened: a socket is in
// that of the thread that opens it. The nil one, of a process that cannot see
// /proc, is that of any thread.
type namespace struct{ file *os.File }

const threadNamespace = "/proc/thread-self/ns/net"

// thisNamespace is that of the calling thread.
func thisNamespace() *namespace {
	f, err := os.Open(threadNamespace)
	if err != nil {
		return nil
	}
	return &namespace{f}
}

// do calls f in the namespace. That is the calling thread's but where several
// threads have different ones.
func (n *namespace) do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if n == nil || n.isHere() {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("capture: enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// isHere reports whether the calling thread is in the namespace.
func (n *namespace) isHere() bool {
	mine, err := n.file.Stat()
	if err != nil {
		return false
	}
	here, err := os.Stat(threadNamespace)
	return err == nil && os.SameFile(mine, here)
}

func (n *namespace) close() error {
	if n == nil {
		return nil
	}
	return n.file.Close()
}
