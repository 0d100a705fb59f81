package filter

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// expressions are in tcpdump's language and in ours.
var expressions = []string{
	"", "tcp", "udp", "sctp", "icmp", "icmp6", "ip", "ip6", "arp", "rarp", "arp or rarp",
	"not tcp", "! tcp", "not not tcp", "tcp&&ip6", "tcp||udp", "(tcp)or(udp)", "not (tcp) and not (udp)",
	"host 10.1.3.7", "src host 10.1.3.7", "dst host 10.1.3.7", "src or dst host 10.1.3.7", "dst or src 10.1.3.7",
	"src and dst host 192.0.2.1", "src 10.1.3.7", "dst 2001:db8::1", "host 2001:db8::1", "src and dst host ::1",
	"ip host 1.2.3.4", "arp host 1.2.3.4", "rarp host 1.2.3.4", "ip6 host fe80::1", "ip src 1.2.3.4", "arp dst 1.2.3.4", "ip6 dst fe80::1",
	"host ::ffff:1.2.3.4", "host 1.2.3.4 or 10.1.3.7", "ip host 1.2.3.4 or 10.1.3.7", "host (1.2.3.4 or 10.1.3.7)",
	"net 10", "net 10.1", "net 10.1.3", "net 10.1.3.7", "net 10.0.0.0/8", "src net 10.1.3.0/24", "dst net 10.1/16", "net 10.1.0.0 mask 255.255.0.0",
	"net 10.1 mask 255.255", "net 10.1.0.7 mask 255.255.0.255", "net 0.0.0.0/0", "net ::/0", "net 2001:db8::/32", "src net 2001:db8::/63", "net fe80::/10", "ip6 net fe80::/10",
	"net 2001:db8:0:1::/64", "net ::1", "arp net 10.0.0.0/8", "ip net 10.1", "src net 10.1.3.0/24 or 10.1.4.0/24", "net (10.1 or 10.2)", "not src net 10.1.3.0/24",
	"port 80", "src port 80", "dst port 80", "src and dst port 80", "src or dst port 80", "tcp port 80", "udp port 53", "sctp port 80", "tcp src port 80", "tcp src or dst port 80",
	"port 0x50", "port 0120", "port http", "tcp port http", "port domain", "udp port domain", "port http or https", "tcp port ssh", "port ftp-data",
	"port 80 or 81", "udp port 80 or 81", "not port 80 or 81", "not port 80 and 81", "port 80 and not 81", "port 80 or (81)", "port 80 and (not 81)", "tcp port (80 or 81)", "port (not 80)",
	"port 80 or (host 1.2.3.4 and 10.1.3.7)", "host 1.2.3.4 and port 80 or 81", "port 80 and 81 or host 1.2.3.4", "src port 80 or dst port 81",
	"src port 53 and (dst port 80 or 81) or 443", "src port 80 and src or dst port 81", "host 1.2.3.4 or (10.1.3.7) or 10.2.0.1",
	"portrange 80-443", "portrange 443-80", "portrange 80", "tcp portrange 1-80", "udp dst portrange 50-60", "tcp dst portrange 1-60 or 80-90", "portrange http-https", "portrange domain-ssh", "portrange ssh-80",
	"proto 6", "proto 6 or 17", "ip proto 6", "ip6 proto 6", "ip6 proto 44", "ip proto \\tcp", "proto \\udp", "proto \\gre", "ip proto \\tcp or \\udp", "proto 6 or 17 and port 80", "ip6 proto \\ipv6-icmp",
	"less 100", "greater 100", "less 60 or greater 90", "len > 80", "len = 60", "length <= 80", "less 0x40",
	"tcp[13] & 2 != 0", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags]&(tcp-syn|tcp-ack)==tcp-syn", "tcp[tcpflags] = tcp-syn", "tcp [13] == 2", "tcp[0:2] = 80", "tcp[12:1] & 0xf0 >> 2 = 20",
	"udp[0:2] = 53", "sctp[2:2] = 80", "udp[4:4] > 0x80000000", "icmp[icmptype] = icmp-echo", "icmp[icmptype] == icmp-unreach and icmp[icmpcode] = 1", "icmp6[icmp6type] = icmp6-echo", "icmp6[icmp6code] < 2",
	"ip[0] & 0xf != 5", "ip[8] < 64", "ip[8] <= 64", "ip[8] >= 64", "ip[6:2] & 0x1fff = 0", "ip6[6] = 6", "ip6[0] & 0xf0 = 0x60", "arp[6:2] = 1", "rarp[0] > 9", "ip[100] = 5 or tcp", "tcp or ip[100] = 5", "not ip[60] = 5",
	"tcp[ip[0]&0xf] = 0", "tcp[((tcp[12] & 0xf0) >> 2):4] > 0x47455420", "tcp[(tcp[12]>>2):1] & 1 = 1", "ip[ip[0] & 0xf] < ip[1]", "icmp6[ip6[7] - 60] = 1",
	"tcp[0:2] > tcp[2:2]", "tcp[0:2] = tcp[2:2]", "tcp[0:2] != tcp[2:2]", "ip[0] * 2 + 3 = 141", "ip[0] + 2 << 3 = 0x238", "ip[8] / 16 = 3", "ip[8] - 16 - 3 > 0x80000000", "ip[8] | 3 & ip[1] = 3", "ip[1] & 7 | 3 = 3",
	"0x50 = tcp[2:2] & 0xff", "ip[8] / (ip[1] & 1) > 3", "(ip[8] + ip[1]) * (ip[9] + 1) > 1000", "(ip[8]) = 64", "1 = 1", "not 1 > 2", "src port 53 and (tcp) or 80", "port 80 and not (host 1.2.3.4) or 81",
	"tcp and ((dst port 80 and dst host 1.2.3.4) or (dst port 81)) and not (dst host 10.1.3.7 and dst port 443) and not src net 10.1.3.0/24",
	"(ip or ip6) and (tcp or udp) and (port 80 or port 443) and not (host 1.2.3.4 or host 2001:db8::1)",
}

// randomExpression makes one that tcpdump takes, too.
func randomExpression(r *rand.Rand, depth int) string {
	if depth > 0 {
		l, rr := randomExpression(r, depth-1), randomExpression(r, depth-1)
		switch r.IntN(6) {
		case 0:
			return "not (" + l + ")"
		case 1:
			return l + " and " + rr
		case 2:
			return l + " or " + rr
		case 3:
			return "(" + l + " or " + rr + ")"
		case 4:
			return "not " + l + " and (" + rr + ")"
		}
	}
	dir := pick(r, []string{"", "", "src ", "dst ", "src or dst ", "src and dst "})
	switch r.IntN(9) {
	case 0:
		return pick(r, []string{"tcp", "udp", "icmp", "icmp6", "ip", "ip6", "arp", "sctp"})
	case 1:
		return pick(r, []string{"", "ip ", "arp "}) + dir + "host " + pick(r, someHosts4)
	case 2:
		return pick(r, []string{"", "ip6 "}) + dir + "host " + pick(r, someHosts6)
	case 3:
		return dir + "net " + pick(r, []string{"10.1", "10.0.0.0/8", "10.1.0.0/21", "2001:db8::/32", "fe80::/10", "192.0.2.0/25"})
	case 4:
		return fmt.Sprint(pick(r, []string{"", "tcp ", "udp "}), dir, "port ", pick(r, somePorts), " or ", pick(r, somePorts))
	case 5:
		return fmt.Sprint(pick(r, []string{"", "tcp ", "udp "}), dir, "portrange ", pick(r, somePorts), "-", pick(r, somePorts))
	case 6:
		return fmt.Sprint(pick(r, []string{"ip ", "ip6 ", ""}), "proto ", pick(r, someProtos))
	case 7:
		return pick(r, []string{"less ", "greater "}) + fmt.Sprint(40+r.IntN(80))
	}
	return randomRelation(r)
}

// randomRelation has its only field at the left: libpcap forgets to check for
// the headers of what stands at the right of an operator.
func randomRelation(r *rand.Rand) string {
	var s strings.Builder
	header := pick(r, []string{"tcp", "udp", "ip", "ip6", "icmp", "icmp6"})
	fmt.Fprintf(&s, "%s[%d:%d]", header, r.IntN(24), pick(r, []int{1, 2, 4}))
	ops := []string{"&", "|", "+", "-", "*", "/", "<<", ">>"}
	for range r.IntN(3) {
		op := pick(r, ops)
		fmt.Fprintf(&s, " %s %d", op, 1+r.IntN(31))
		if op == "<<" || op == ">>" {
			ops = ops[:2] // the others would change the shift, perhaps beyond 31
		}
	}
	fmt.Fprintf(&s, " %s %d", pick(r, []string{"=", "!=", "<", ">", "<=", ">="}), r.IntN(80))
	return s.String()
}

func hosts(n int) string {
	var s strings.Builder
	for i := range n {
		if i > 0 {
			s.WriteString(" or ")
		}
		fmt.Fprintf(&s, "host 10.%d.%d.%d", i>>8, i&255, 1+i%7)
	}
	return s.String()
}
