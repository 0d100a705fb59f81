package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

func TestAnotherFilterIsTakenOnAndAnInterfaceMayComeAgain(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	tx, err := ring.NewTx(ring.Raw)
	must(t, err)
	defer tx.Close()
	file := filepath.Join(t.TempDir(), "intercept.toml")
	write := func(filter string) {
		t.Helper()
		must(t, os.WriteFile(file, fmt.Appendf(nil, "[capture]\ninterfaces = [\"eth0\"]\nfilter = %q\n[link]\nbind = [\"10.9.2.30\"]\n", filter), 0o600))
	}
	write("tcp and src port 81")
	p := start(t, "--config", file, "--web.listen-address", "127.0.0.1:9100")
	_, box := tcpcopy(t, 1, func(c *link.ClientConfig) { c.Claims = []netip.Prefix{netip.MustParsePrefix("10.9.3.0/24")} })
	reload := func(filter string, successful float64) {
		t.Helper()
		before := metrics(t)["intercept_config_last_reload_success_timestamp_seconds"]
		write(filter)
		must(t, p.cmd.Process.Signal(syscall.SIGHUP))
		eventually(t, "the reload", func() bool {
			m := metrics(t)
			return m["intercept_config_last_reload_successful"] == successful && (successful == 0 || m["intercept_config_last_reload_success_timestamp_seconds"] > before)
		})
	}
	answered := func(port uint16) {
		t.Helper()
		from := packet.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr("10.9.3.7"), port))
		n := 0
		eventually(t, "the SYN-ACK", func() bool {
			if n++; n%50 == 1 {
				syn(t, tx, from)
			}
			_, ok := box.synAck(from)
			return ok
		})
	}
	reload("tcp and src port 80", 1)
	answered(40000)
	reload("tcp and sorce port 80", 0)
	answered(40001)

	// The interface goes and comes again. intercept may still open a ring.
	l, err := netlink.LinkByName("eth0")
	must(t, err)
	must(t, netlink.LinkDel(l))
	eventually(t, "the capture ends", func() bool { return strings.Contains(p.log.String(), "capture ended, opening it again") })
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}))
	eventually(t, "the capture goes on", func() bool { return strings.Contains(p.log.String(), "capture goes on") })
	reload("tcp", 1)
}

func TestInterceptIsNotReadyWhileItsInterfaceIsAway(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	p := start(t, "-i", "eth0", "-b", "127.0.0.1", "--web.listen-address", "127.0.0.1:9100")
	const packets = `intercept_capture_packets_total{interface="eth0",ring="0"}`
	captures := func() {
		t.Helper()
		before := metrics(t)[packets]
		sendReplies(t, 100)
		eventually(t, "the replies are captured", func() bool { return metrics(t)[packets] == before+100 })
	}
	state := func(up, reopened float64, status int, reason string) {
		t.Helper()
		eventually(t, fmt.Sprintf("/-/ready answers %d", status), func() bool {
			got, body := readiness(t)
			return got == status && strings.Contains(body, reason)
		})
		m := metrics(t)
		if m[`intercept_capture_up{interface="eth0"}`] != up || m[`intercept_capture_reopened_total{interface="eth0"}`] != reopened {
			t.Errorf("at status %d: %v", status, m)
		}
	}
	again := func() {
		t.Helper()
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}))
		configure(t, "eth0")
		configure(t, "peer")
	}
	remove := func() {
		t.Helper()
		l, err := netlink.LinkByName("eth0")
		must(t, err)
		must(t, netlink.LinkDel(l))
	}
	state(1, 0, 200, "ready")
	remove()
	state(0, 0, 503, "interface was deleted")
	again()
	state(1, 1, 200, "ready")
	captures()
	remove()
	again() // sooner than it is looked at
	eventually(t, "the capture is opened again", func() bool { return metrics(t)[`intercept_capture_reopened_total{interface="eth0"}`] == 2 })
	state(1, 2, 200, "ready")
	captures()
	if status := p.end(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// readiness asks the program whether it is ready.
func readiness(t *testing.T) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://127.0.0.1:9100/-/ready")
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(b)
}

// sendReplies has the interface at the other end of eth0 send n segments.
func sendReplies(t *testing.T, n int) {
	t.Helper()
	peer, err := net.InterfaceByName("peer")
	must(t, err)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: peer.Index}))
	head := make([]byte, packet.MaxHeader)
	size := packet.Build(head, &packet.Header{
		Src: packet.EndpointFrom(target4), Dst: packet.EndpointFrom(netip.MustParseAddrPort("10.9.3.7:40000")), Flags: packet.ACK,
	}, 0)
	frame := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 9, 8, 0)
	frame = append(frame, head[:size]...)
	for range n {
		_, err := unix.Write(fd, frame)
		must(t, err)
	}
}
