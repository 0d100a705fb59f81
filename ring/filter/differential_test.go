package filter

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

// tcpdump compiles expr for Ethernet to numbers.
func tcpdump(t testing.TB, expr string, options ...string) string {
	t.Helper()
	out, err := exec.Command("tcpdump", append(options, "-ddd", "-y", "EN10MB", "--", expr)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: tcpdump, which the compiler is compared with: %v: %s", expr, err, out)
	}
	s := string(out)
	for s != "" && strings.IndexByte(digits, s[0]) < 0 { // a warning
		_, s, _ = strings.Cut(s, "\n")
	}
	return s
}

func machine(t testing.TB, numbers string) *bpf.VM {
	t.Helper()
	p, err := parseProgram(numbers)
	if err != nil {
		t.Fatal(err)
	}
	insns, _ := bpf.Disassemble(p.code)
	vm, err := bpf.NewVM(insns)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// compareWith holds f against tcpdump's program, and that program run as a
// numeric filter against the same.
func compareWith(t *testing.T, f *Filter, numbers string, packets []packet) {
	t.Helper()
	vm := machine(t, numbers)
	numeric, err := Compile(numbers)
	if err != nil {
		t.Fatalf("%.500s: its numbers: %v", f, err)
	}
	for _, p := range packets {
		n, err := vm.Run(p.ethernet())
		if err != nil {
			t.Fatal(err)
		}
		fr := frame{ip: p.data, proto: p.proto}
		if got := run(f.match, fr); got != (n > 0) {
			t.Fatalf("%.500s: %v, tcpdump says %v\nethertype %#x packet %x", f, got, n > 0, p.proto, p.data)
		}
		if got := run(numeric.match, fr); got != (n > 0) {
			t.Fatalf("%.500s: as numbers %v, tcpdump says %v\nethertype %#x packet %x", f, got, n > 0, p.proto, p.data)
		}
	}
}

func packets(n int, one func(*rand.Rand) packet) []packet {
	r := rand.New(rand.NewPCG(1, 2))
	ps := make([]packet, n)
	for i := range ps {
		ps[i] = one(r)
	}
	return ps
}

// libpcap's optimizer moves tests about, so that its programs differ from its
// own unoptimized ones where a packet is too short for a test: there, the
// unoptimized are the reference.
func TestExpressionsMeanWhatTheyMeanToTcpdump(t *testing.T) {
	whole, mangled := packets(1500, wholePacket), packets(3000, mangledPacket)
	for _, text := range expressions {
		f, err := Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		compareWith(t, f, tcpdump(t, text), whole)
		compareWith(t, f, tcpdump(t, text, "-O"), mangled)
	}
}

func TestLongExpressionsMeanWhatTheyMeanToTcpdump(t *testing.T) {
	whole := packets(500, wholePacket)
	for i := range whole {
		if whole[i].proto == 0x0800 {
			copy(whole[i].data[12:], []byte{10, byte(i & 1), byte(i >> 1), byte(1 + i%7)})
		}
	}
	for _, text := range []string{
		"tcp and (" + hosts(300) + ")", "not (" + hosts(150) + ")",
		"(" + hosts(90) + ") and port 80 or not (" + hosts(60) + ")",
	} {
		f, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		compareWith(t, f, tcpdump(t, text), whole)
	}
}

func TestRandomExpressionsMeanWhatTheyMeanToTcpdump(t *testing.T) {
	mangled := packets(1000, mangledPacket)
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		text := randomExpression(r, r.IntN(4))
		f, err := Compile(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		compareWith(t, f, tcpdump(t, text, "-O"), mangled)
	}
}

func TestNamesHaveTcpdumpsNumbers(t *testing.T) {
	var equations []string
	for name, n := range constants {
		equations = append(equations, fmt.Sprintf("%s = %d", name, n))
	}
	tcpdump(t, strings.Join(equations, " and ")) // refuses what is never true
	for name, n := range protoNumbers {
		if name == "icmp6" { // ours; to /etc/protocols it is ipv6-icmp
			continue
		}
		if tcpdump(t, `ip proto \`+name) != tcpdump(t, fmt.Sprint("ip proto ", n)) {
			t.Errorf("protocol %s is not %d", name, n)
		}
	}
}
