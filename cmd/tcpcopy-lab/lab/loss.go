package lab

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// Lose makes the bridges of h drop a share of the packets from and to the
// prefixes, at random: 0.01 is one in a hundred. It needs nft.
func (h *Host) Lose(share float64, prefixes ...string) error {
	var rules strings.Builder
	for _, p := range prefixes {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return fmt.Errorf("lab: loss: %w", err)
		}
		family := "ip"
		if prefix.Addr().Is6() {
			family = "ip6"
		}
		for _, end := range []string{"saddr", "daddr"} {
			fmt.Fprintf(&rules, "%s %s %s numgen random mod 100000 < %d drop\n", family, end, p, int(share*100000))
		}
	}
	return h.Do(func() error {
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader("table bridge loss {\nchain forward {\ntype filter hook forward priority 0\n" + rules.String() + "}\n}\n")
		if out, err := nft.CombinedOutput(); err != nil {
			return fmt.Errorf("lab: %s: nft: %w: %s", h.Name, err, out)
		}
		return nil
	})
}
