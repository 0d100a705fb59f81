package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

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
