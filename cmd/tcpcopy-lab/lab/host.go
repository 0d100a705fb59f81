package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where ip-netns(8) looks for named namespaces.
const netnsDir = "/run/netns"

// A Host is a network namespace.
type Host struct {
	Name string // short: s1, b1, assistant
	lab  *Lab
	ns   netns.NsHandle
	nl   *netlink.Handle
}

// Host makes a host whose loopback is up, which accepts any source address
// (rp_filter 0) and forwards nothing.
func (l *Lab) Host(name string) (*Host, error) {
	h := &Host{Name: name, lab: l, ns: netns.None()}
	if err := shareNetnsDir(); err != nil {
		return nil, fmt.Errorf("lab: %s: %w", netnsDir, err)
	}
	err := onThread(func() (err error) {
		h.ns, err = netns.NewNamed(h.Namespace())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: namespace %s: %w", h.Namespace(), err)
	}
	l.mu.Lock()
	l.host = append(l.host, h)
	l.mu.Unlock()
	if h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("lab: netlink in %s: %w", name, err)
	}
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("lab: %s: loopback: %w", name, err)
	}
	if err := h.nl.LinkSetUp(lo); err != nil {
		return nil, fmt.Errorf("lab: %s: loopback: %w", name, err)
	}
	return h, h.Sysctl(
		"ipv4/ip_forward=0", "ipv6/conf/all/forwarding=0",
		"ipv4/conf/all/rp_filter=0", "ipv4/conf/default/rp_filter=0",
		"ipv4/conf/default/send_redirects=0", "ipv4/conf/all/send_redirects=0",
		"ipv6/conf/all/accept_dad=0", "ipv6/conf/default/accept_dad=0",
		"core/somaxconn=8192", "ipv4/tcp_max_syn_backlog=8192",
		"ipv4/ip_local_port_range=10000 65000",
	)
}

// shareNetnsDir makes the directory a shared mount, as `ip netns add` does when
// it finds that it is none. Done later, that would mount the namespaces that
// are there a second time, and they could not be removed.
func shareNetnsDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // not a mount yet
		return err
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// Namespace is the host's name in /run/netns: `ip netns exec NAME sh` enters it.
func (h *Host) Namespace() string { return Prefix + h.lab.Run + "-" + h.Name }

// Do runs f with its thread in the host's namespace. Sockets that f opens and
// processes that it starts belong to the host.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("lab: enter %s: %w", h.Namespace(), err)
		}
		return f()
	})
}

// onThread runs f, which may change its thread's namespace, and brings the
// thread back. A thread that cannot come back ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		original, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		defer original.Close()
		err = f()
		if back := netns.Set(original); back == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Sysctl sets keys below /proc/sys/net, each given as path=value.
func (h *Host) Sysctl(settings ...string) error {
	return h.Do(func() error {
		for _, s := range settings {
			key, value, _ := strings.Cut(s, "=")
			if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
				return fmt.Errorf("lab: %s: sysctl %s: %w", h.Name, s, err)
			}
		}
		return nil
	})
}

// Listening reports whether a TCP socket of the host listens on port. It asks
// the kernel, so that no probe shows up in a server's log.
func (h *Host) Listening(port int) bool { return h.sockets(port, "0A") > 0 }

// Established counts the host's open connections to its own port.
func (h *Host) Established(port int) int { return h.sockets(port, "01") }

// Accepted counts the TCP connections that the host has accepted since it was
// made, on any port: TcpPassiveOpens of RFC 4022.
func (h *Host) Accepted() (int, error) {
	n := 0
	err := h.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		// Two lines a protocol, the names and the values.
		var names []string
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if f[0] != "Tcp:" {
				continue
			}
			if names == nil {
				names = f
				continue
			}
			n, err = strconv.Atoi(f[slices.Index(names, "PassiveOpens")])
			return err
		}
		return errors.New("no Tcp in /proc/net/snmp")
	})
	if err != nil {
		return 0, fmt.Errorf("lab: %s: accepted connections: %w", h.Name, err)
	}
	return n, nil
}

// sockets counts those in a state of include/net/tcp_states.h, hexadecimal.
func (h *Host) sockets(port int, state string) (n int) {
	suffix := fmt.Sprintf(":%04X", port)
	h.Do(func() error {
		for _, file := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
			text, _ := os.ReadFile(file)
			for line := range strings.Lines(string(text)) {
				f := strings.Fields(line)
				if len(f) > 3 && f[3] == state && strings.HasSuffix(f[1], suffix) {
					n++
				}
			}
		}
		return nil
	})
	return n
}

func (h *Host) close() {
	if h.nl != nil {
		h.nl.Close()
	}
	if h.ns.IsOpen() {
		h.ns.Close()
	}
}

// removeName removes a namespace's name at path. The kernel frees the namespace
// with its last process or socket.
func removeName(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: a plain file, not mounted
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.Remove(path)
}

// killInside ends the processes that live in the namespace at path: those
// which a killed run could not take along because they had left its parentage
// (daemons, shells).
func killInside(path string) {
	var inside unix.Stat_t
	if unix.Stat(path, &inside) != nil {
		return
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		var at unix.Stat_t
		if unix.Stat(link, &at) != nil || at.Ino != inside.Ino || at.Dev != inside.Dev {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err == nil && pid != os.Getpid() {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}
