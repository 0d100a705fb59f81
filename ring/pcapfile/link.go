package pcapfile

import (
	"encoding/binary"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// linkLayer returns the length of a packet's link-layer header and the
// EtherType of what follows it. ok is false if the header is not whole.
type linkLayer func(b []byte) (n int, protocol uint16, ok bool)

// linkLayers are those that carry IP (tcpdump.org/linktypes.html).
var linkLayers = map[layers.LinkType]linkLayer{
	layers.LinkTypeEthernet:  ethernet,
	layers.LinkTypeLinuxSLL:  cooked,
	layers.LinkTypeLinuxSLL2: cooked2,
	layers.LinkTypeNull:      loopback,
	layers.LinkTypeLoop:      loopback,
	layers.LinkTypeRaw:       raw,
	layers.LinkTypeIPv4:      raw,
	layers.LinkTypeIPv6:      raw,
	12:                       raw, // DLT_RAW of most systems, as old files have it
	14:                       raw, // of OpenBSD
}

func ethernet(b []byte) (int, uint16, bool) {
	if len(b) < 14 {
		return 0, 0, false
	}
	return 14, be16(b[12:]), true
}

// cooked is LINKTYPE_LINUX_SLL, of tcpdump -i any until 4.99.
func cooked(b []byte) (int, uint16, bool) {
	if len(b) < 16 {
		return 0, 0, false
	}
	return 16, be16(b[14:]), true
}

// cooked2 is LINKTYPE_LINUX_SLL2.
func cooked2(b []byte) (int, uint16, bool) {
	if len(b) < 20 {
		return 0, 0, false
	}
	return 20, be16(b), true
}

// loopback has an address family, whose numbers and byte order differ from
// system to system; the packet says the same.
func loopback(b []byte) (int, uint16, bool) {
	if len(b) < 4 {
		return 0, 0, false
	}
	_, protocol, ok := raw(b[4:])
	return 4, protocol, ok
}

func raw(b []byte) (int, uint16, bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	switch b[0] >> 4 {
	case 4:
		return 0, unix.ETH_P_IP, true
	case 6:
		return 0, unix.ETH_P_IPV6, true
	}
	return 0, 0, false
}

// tagProtocol reports whether a VLAN tag follows: 802.1Q, 802.1ad, and what
// came before that.
func tagProtocol(p uint16) bool {
	return p == unix.ETH_P_8021Q || p == unix.ETH_P_8021AD || p == unix.ETH_P_QINQ1 || p == unix.ETH_P_QINQ2
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
