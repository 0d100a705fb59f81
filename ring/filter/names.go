package filter

var (
	etherType = field{meta, num(adProtocol), 2}
	ipNext    = field{network, num(9), 1}
	ip6Next   = field{network, num(6), 1}
	ip6First  = field{network, num(40), 1} // where a fragment header has its next
	ipFrag    = field{network, num(6), 2}

	isIP          = equal(etherType, 0x0800)
	isIP6         = equal(etherType, 0x86dd)
	isARP         = equal(etherType, 0x0806)
	isRARP        = equal(etherType, 0x8035)
	firstFragment = not{test{ipFrag, opSet, num(0x1fff)}}
)

func ipProto(n uint32) expr { return and{isIP, equal(ipNext, n)} }

// ip6Proto looks at the fixed header, and behind a fragment header if that
// comes first; it does not follow other extension headers.
func ip6Proto(n uint32) expr {
	return and{isIP6, or{equal(ip6Next, n), and{equal(ip6Next, 44), equal(ip6First, n)}}}
}

func eitherProto(n uint32) expr { return or{ipProto(n), ip6Proto(n)} }

// protocols are the words that stand alone or qualify what follows.
var protocols = map[string]expr{
	"ip": isIP, "ip6": isIP6, "arp": isARP, "rarp": isRARP,
	"tcp": eitherProto(tcp), "udp": eitherProto(udp), "sctp": eitherProto(sctp),
	"icmp": ipProto(1), "icmp6": ip6Proto(58),
}

const protocolWords = "ip, ip6, arp, rarp, tcp, udp, sctp, icmp, icmp6"

// header is where the fields of name[...] begin: skip bytes after base, in
// packets that pass there, then the checks of a variable offset, then then.
type header struct {
	base        base
	skip        uint32
	there, then expr
}

// inIP is the header after IPv4's. Like libpcap, it is not looked for in IPv6.
func inIP(proto expr) header { return header{transport, 0, isIP, and{proto, firstFragment}} }

var headers = map[string]header{
	"ip": {base: network, there: isIP}, "ip6": {base: network, there: isIP6},
	"arp": {base: network, there: isARP}, "rarp": {base: network, there: isRARP},
	"tcp": inIP(protocols["tcp"]), "udp": inIP(protocols["udp"]), "sctp": inIP(protocols["sctp"]), "icmp": inIP(protocols["icmp"]),
	"icmp6": {network, 40, and{isIP6, equal(ip6Next, 58)}, nil},
}

// protoNumbers are the names after proto (IANA, protocol numbers).
var protoNumbers = map[string]uint32{
	"icmp": 1, "igmp": 2, "tcp": tcp, "egp": 8, "udp": udp, "gre": 47, "esp": 50, "ah": 51,
	"icmp6": 58, "ipv6-icmp": 58, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": sctp,
}

// constants are the names in arithmetic expressions (pcap-filter(7)).
var constants = map[string]uint32{
	"icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1, "tcpflags": 13,
	"tcp-fin": 0x01, "tcp-syn": 0x02, "tcp-rst": 0x04, "tcp-push": 0x08,
	"tcp-ack": 0x10, "tcp-urg": 0x20, "tcp-ece": 0x40, "tcp-cwr": 0x80,
	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12,
	"icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16,
	"icmp-maskreq": 17, "icmp-maskreply": 18,
	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4,
	"icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130,
	"icmp6-multicastlistenerreportv1": 131, "icmp6-multicastlistenerdone": 132,
	"icmp6-routersolicit": 133, "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135,
	"icmp6-neighboradvert": 136, "icmp6-redirect": 137, "icmp6-routerrenum": 138,
	"icmp6-nodeinformationquery": 139, "icmp6-nodeinformationresponse": 140,
	"icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
	"icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144,
	"icmp6-homeagentdiscoveryreply": 145, "icmp6-mobileprefixsolicit": 146,
	"icmp6-mobileprefixadvert": 147, "icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149,
	"icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152, "icmp6-multicastrouterterm": 153,
}
