package lab

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
)

// MirrorInterface is where the online host of the small network gets what
// MirrorOnline mirrors.
const MirrorInterface = "mirror0"

// MirrorOnline gives the online host a second interface, on which it sees a
// copy of each TCP packet that the switch sends it, but for a share of them
// that are lost at random: 0.03 is three in a hundred, and less than 1. The traffic itself loses
// nothing. The packets must be lost before the interface, because a packet
// socket gets a packet before any of nftables' hooks on the receiving side.
func (n *Small) MirrorOnline(loss float64) error {
	fail := func(err error) error { return fmt.Errorf("lab: mirror of %s: %w", n.Online.Name, err) }
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.Online.Name + "." + MirrorInterface
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: MirrorInterface, PeerNamespace: netlink.NsFd(n.Online.ns)}
	if err := n.Switch.nl.LinkAdd(veth); err != nil {
		return fail(err)
	}
	if err := n.Switch.nl.LinkSetUp(veth); err != nil {
		return fail(err)
	}
	// The frames carry the address of the other interface, so that the host's
	// own stack leaves them alone.
	if err := n.Online.Sysctl("ipv6/conf/" + MirrorInterface + "/disable_ipv6=1"); err != nil {
		return err
	}
	mirror, err := n.Online.nl.LinkByName(MirrorInterface)
	if err != nil {
		return fail(err)
	}
	if err := n.Online.nl.LinkSetUp(mirror); err != nil {
		return fail(err)
	}
	rules := fmt.Sprintf("table netdev mirror {\nchain egress {\ntype filter hook egress device %q priority 0\n"+
		"meta l4proto tcp numgen random mod 100000 >= %d dup to %q\n}\n}\n", n.Online.Name+".eth0", int(loss*100000), attrs.Name)
	return n.Switch.Do(func() error {
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader(rules)
		if out, err := nft.CombinedOutput(); err != nil {
			return fail(fmt.Errorf("nft: %w: %s", err, out))
		}
		return nil
	})
}
