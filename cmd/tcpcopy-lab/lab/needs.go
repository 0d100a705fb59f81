package lab

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Missing lists what this machine lacks to run a lab, each with its mend;
// nothing is left behind by the asking.
func Missing() (lacks []string) {
	if os.Geteuid() != 0 {
		return []string{"root: network namespaces cannot be made by uid " + fmt.Sprint(os.Geteuid()) + "; run it with sudo, or in a privileged container"}
	}
	need := func(err error, what, mend string) bool {
		if err != nil {
			lacks = append(lacks, fmt.Sprintf("%s: %v; %s", what, err, mend))
		}
		return err == nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with this goroutine and takes the
		// probe's namespace with it.
		runtime.LockOSThread()
		ns, err := netns.New()
		if !need(err, "network namespaces", "needs CAP_SYS_ADMIN and a kernel with CONFIG_NET_NS") {
			return
		}
		defer ns.Close()
		nl, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
		if !need(err, "rtnetlink", "needs CAP_NET_ADMIN") {
			return
		}
		defer nl.Close()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "probe0"
		need(nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}), "bridge device", "modprobe bridge (CONFIG_BRIDGE)")
		attrs.Name = "probe1"
		need(nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "probe2"}), "veth device", "modprobe veth (CONFIG_VETH)")
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if need(err, "packet socket", "needs CAP_NET_RAW and a kernel with CONFIG_PACKET") {
			unix.Close(fd)
		}
		need(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0), "sysctl of a namespace", "/proc/sys must be writable (a container needs --privileged)")
	}()
	<-done
	return lacks
}
