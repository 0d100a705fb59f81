package filter

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func compile(t testing.TB, text string) *Filter {
	t.Helper()
	f, err := Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// segment is a TCP SYN over IPv4 or IPv6.
func segment(src, dst string, sport, dport uint16) []byte {
	s, d := addr(src), addr(dst)
	var b []byte
	if len(s) == 4 {
		b = append([]byte{0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, tcp, 0, 0}, s...)
	} else {
		b = append([]byte{0x60, 0, 0, 0, 0, 20, tcp, 64}, s...)
	}
	b = append(b, d...)
	return append(b, byte(sport>>8), byte(sport), byte(dport>>8), byte(dport), 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0)
}

func TestMatch(t *testing.T) {
	v4 := segment("10.1.4.7", "10.1.2.3", 4000, 80)
	v6 := segment("2001:db8::7", "2001:db8::3", 4000, 80)
	later := append([]byte(nil), v4...)
	later[7] = 1
	for _, c := range []struct {
		text string
		ip   []byte
		want bool
	}{
		{production, v4, true},
		{production, segment("10.1.3.7", "10.1.2.3", 4000, 80), false},
		{production, segment("10.1.4.7", "10.1.2.4", 4000, 80), false},
		{production, segment("10.1.4.7", "10.1.2.4", 4000, 81), true},
		{production, segment("10.1.4.7", "10.1.2.100", 4000, 80), false},
		{production, v6, false},
		{"tcp dst port 80 and dst host 2001:db8::3", v6, true},
		{"tcp dst port 80", later, false},
		{"tcp", later, true},
		{"tcp[tcpflags] & tcp-syn != 0", v4, true},
		{"tcp[tcpflags] & tcp-syn != 0", v6, false}, // as libpcap: fields of IPv4 only
		{"-(ip[8]) = 0xffffffc0", v4, true},
		{"1 + udp[0] < 300", v4, false}, // libpcap looks at any packet here
		{"ip[0x1000 + 0xf000 - 1] = 0", v4, false},
		{"net 0", v4, false},
		{"net 10/8", v4, true},
		{"proto tcp", v4, true},
		{"len = 54", v4, true},
		{"vlan", v4, false},
		{"vlan or tcp", v4, true},
		{"tcp", nil, false},
		{"not tcp", nil, true},
		{"", nil, true},
		{"not tcp port 80", v4[:21], false}, // too short to tell
	} {
		if got := compile(t, c.text).Match(c.ip); got != c.want {
			t.Errorf("%q on %x: %v", c.text, c.ip, got)
		}
	}
}

func TestMatchTaggedSeesTheTag(t *testing.T) {
	ip := segment("10.1.4.7", "10.1.2.3", 4000, 80)
	const priority = 5 << 13
	for text, want := range map[string]bool{"vlan": true, "vlan 100": true, "vlan 99": false, "not vlan": false, "vlan 100 and tcp port 80": true, "vlan 100 and udp": false, "tcp": true} {
		if got := compile(t, text).MatchTagged(ip, priority|100); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestErrorsNameColumnAndWord(t *testing.T) {
	for text, want := range map[string]string{
		"ether host 1:2:3:4:5:6":       `column 1, "ether": not supported; there are ip, ip6`,
		"tcp and gateway foo":          `column 9, "gateway": not supported`,
		"tcp and":                      `column 8, the end: a condition must come here`,
		"and tcp":                      `column 1, "and": not supported`,
		"tcp tcp":                      `column 5, "tcp": and, or, or the end`,
		"tcp port 80 udp":              `column 13, "udp": and, or, or the end`,
		"80":                           `promises 80 instructions`,
		"tcp or 80":                    `column 8, "80": say what it is`,
		"1.2.3.4":                      `column 1, "1.2.3.4": say what it is`,
		"host example.com":             `column 6, "example.com": an address must come here; names are not looked up`,
		"host 10.1":                    `column 6, "10.1": not an address: write`,
		"host 1.2.3.256":               `column 6, "1.2.3.256": not an address`,
		"host 1.2.3.4/24":              `column 13, "/": a host has no mask: write net`,
		"host fe80::1%eth0":            `column 13, "%": not part of the language`,
		"host 1:2:3:4:5:6":             `column 6, "1:2:3:4:5:6": not an address`,
		"ip host ::1":                  `column 9, "::1": ip does not go with an IPv6 address`,
		"ip6 host 1.2.3.4":             `column 10, "1.2.3.4": ip6 does not go with an IPv4 address`,
		"tcp host 1.2.3.4":             `column 10, "1.2.3.4": tcp does not go`,
		"net 10.0.0.1/8":               `column 5, "10.0.0.1": has bits outside its mask`,
		"net ::1/64":                   `column 5, "::1": has bits outside its mask: write ::/64`,
		"net 10.0.0.0/33":              `column 14, "33": the length of a net's mask must come here, at most 32`,
		"net ::/0 mask 255.0.0.0":      `column 10, "mask": and, or, or the end`,
		"net 10.1 mask ::":             `column 15, "::": an IPv4 mask`,
		"port 65536":                   `column 6, "65536": not a port`,
		"port nosuchservice":           `column 6, "nosuchservice": not a port`,
		"port 80-90":                   `column 8, "-": and, or, or the end`,
		"portrange 80-65536":           `column 11, "80": not a portrange`,
		"portrange nosuch-range":       `column 11, "nosuch-range": not a portrange`,
		"udp port http":                `column 10, "http": not a udp service`,
		"ip port 80":                   `column 4, "port": ip has no ports`,
		"port 99999999999":             `column 6, "99999999999": not a number of 32 bits`,
		"port 0b1":                     `column 6, "0b1": not a number of 32 bits`,
		"port 080":                     `column 6, "080": not a number`,
		"proto 256":                    `column 7, "256": not a protocol`,
		"proto nosuch":                 `column 7, "nosuch": not a protocol`,
		"tcp proto 6":                  `column 11, "6": write ip proto`,
		"src":                          `column 4, the end: an address must come here`,
		"src proto 6":                  `column 5, "proto": an address must come here`,
		"src dst port 5":               `column 5, "dst": an address must come here`,
		"tcp port":                     `column 9, the end: not a port`,
		"tcp[13] & 2":                  `column 12, the end: a comparison must come here`,
		"tcp[0:3] = 5":                 `column 7, "3": the size of a field is 1, 2 or 4`,
		"tcp[0:1:2] = 4":               `column 5, "0:1:2":`,
		"ether[0] & 1 != 0":            `column 1, "ether": no such header`,
		"ip[-1] = 4":                   `column 4, "-": no packet has an offset`,
		"ip[0] / 0 = 4":                `column 7, "/": division by zero`,
		"ip[0] << 32 = 4":              `column 7, "<<": division by zero, or a shift`,
		"ip[0] << ip[1] = 4":           `column 7, "<<": the shift must be by a number`,
		"ip[0] % 4 = 1":                `column 7, "%": not part of the language`,
		"ip[0 = 4":                     `column 6, "=": "]" must come here`,
		"(tcp":                         `column 1, "(": this parenthesis is never closed`,
		"tcp)":                         `column 4, ")": no parenthesis is open`,
		"port (80 or host 1.2.3.4)":    `column 13, "host": not a port`,
		"vlan 4096":                    `column 6, "4096": a VLAN identifier is at most 4095`,
		"vlan 5 or 6":                  `column 11, "6": say what it is`,
		"less tcp":                     `column 6, "tcp": a number of bytes must follow less`,
		"tcp \\ udp":                   `column 5, "\\": a name must follow`,
		"tcp \xff":                     `column 5, "\xff": not part of the language`,
		strings.Repeat("tcp or ", 1e5): `the limit is 65536: write nets`,
	} {
		_, err := Compile(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
	}
}

func TestDeepNestingIsRefusedOrCompiled(t *testing.T) {
	deep := strings.Repeat("(", 30000) + "tcp" + strings.Repeat(")", 30000)
	if !compile(t, deep).Match(segment("10.0.0.1", "10.0.0.2", 1, 2)) {
		t.Error("tcp in many parentheses is not tcp")
	}
	compile(t, strings.Repeat("!", 60000)+"tcp")
	sum := "ip[1]"
	for range 20 {
		sum = "ip[1]+(" + sum + ")"
	}
	if _, err := Compile(sum + "=5"); err == nil || !strings.Contains(err.Error(), "16 scratch words") {
		t.Errorf("20 results kept at once: %v", err)
	}
}

func TestAndNot(t *testing.T) {
	v4 := segment("10.1.4.7", "10.1.2.3", 4000, 80)
	web, odd := compile(t, "tcp dst port 80 or tcp dst port 81"), compile(t, "src net 10.1.4.0/24 or udp")
	numeric := compile(t, tcpdump(t, "tcp dst port 80"))
	for _, c := range []struct {
		f       *Filter
		want    bool
		numeric bool
		text    string
	}{
		{And(web, odd), true, false, "(tcp dst port 80 or tcp dst port 81) and (src net 10.1.4.0/24 or udp)"},
		{And(web, Not(odd)), false, false, "(tcp dst port 80 or tcp dst port 81) and (not (src net 10.1.4.0/24 or udp))"},
		{Not(And(web, Not(odd))), true, false, "not ((tcp dst port 80 or tcp dst port 81) and (not (src net 10.1.4.0/24 or udp)))"},
		{numeric, true, true, "numeric program of 16 instructions"},
		{Not(numeric), false, true, "not (numeric program of 16 instructions)"},
		{And(odd, numeric), true, true, "(src net 10.1.4.0/24 or udp) and (numeric program of 16 instructions)"},
		{And(numeric, And(numeric, Not(odd))), false, true, "(numeric program of 16 instructions) and ((numeric program of 16 instructions) and (not (src net 10.1.4.0/24 or udp)))"},
	} {
		if got := c.f.Match(v4); got != c.want {
			t.Errorf("%s: %v", c.f, got)
		}
		if c.f.Numeric() != c.numeric || c.f.String() != c.text {
			t.Errorf("%s: numeric %v, want %s", c.f, c.f.Numeric(), c.text)
		}
	}
}

func TestNumericErrors(t *testing.T) {
	for text, want := range map[string]string{
		"80":                          "0 numbers behind the first, which promises 80 instructions",
		"1 6 0 0":                     "give the whole output",
		"0":                           "promises 0 instructions",
		"1,99999,0,0,0":               "op is above 65535",
		"1 6 0 0 99999999999":         "not a number of 32 bits",
		"1 22 0 0 0":                  "instruction 0 (22 0 0 0): not an instruction",
		"1 40 0 0 12":                 "the last instruction is not ret",
		"2 21 1 0 5 6 0 0 1":          "jumps behind the end",
		"2 5 0 0 4294967295 6 0 0 1":  "jumps behind the end",
		"2 96 0 0 16 6 0 0 1":         "16 scratch words",
		"2 52 0 0 0 6 0 0 1":          "not an instruction", // division by zero
		"2 40 0 0 4294963228 6 0 0 1": "the protocol and the VLAN tag",
		"5000" + strings.Repeat(" 6 0 0 0", 5000): "the kernel takes 4096",
	} {
		if _, err := Compile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// Numeric programs run as they are, and may be written in a line.
func TestNumericProgramIsKept(t *testing.T) {
	numbers := tcpdump(t, "tcp port 80")
	for _, text := range []string{numbers, strings.ReplaceAll(numbers, "\n", ","), strings.Join(strings.Fields(numbers), " ")} {
		got, err := compile(t, text).Kernel(96)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := parseProgram(numbers)
		for i := range p.code {
			if p.code[i].Op == retK && p.code[i].K != 0 {
				p.code[i].K = 96
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(p.code) {
			t.Errorf("%v\nwant %v", got, p.code)
		}
	}
}

func TestKernelRefusesWhatTheKernelWould(t *testing.T) {
	if _, err := compile(t, "tcp").Kernel(0); err == nil {
		t.Error("snap 0 accepted")
	}
	if prog, err := compile(t, "tcp and ("+hosts(400)+")").Kernel(128); err != nil {
		t.Error(err)
	} else {
		t.Logf("400 hosts are %d instructions", len(prog))
	}
	if _, err := compile(t, "tcp and ("+hosts(1500)+")").Kernel(128); err == nil || !strings.Contains(err.Error(), "the kernel takes 4096: write nets") {
		t.Errorf("1500 hosts: %v", err)
	}
}

// A program spliced many times over stays below the bound on work.
func TestEntangledFiltersCompile(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	f := compile(t, randomExpression(r, 6))
	for range 6 {
		f = And(Not(f), compile(t, randomExpression(r, 6)))
	}
	f.Match(segment("10.1.4.7", "10.1.2.3", 4000, 80))
}

func TestMatchDoesNotAllocate(t *testing.T) {
	f := And(compile(t, production), compile(t, tcpdump(t, "tcp")))
	ip := segment("10.1.4.7", "10.1.2.3", 4000, 80)
	if n := testing.AllocsPerRun(100, func() { f.Match(ip) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
