package filter

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/net/bpf"
)

// FuzzCompile: whatever compiles runs without harm, its program for the kernel
// is well formed, and the combinators agree with it.
func FuzzCompile(f *testing.F) {
	v4, v6 := segment("10.1.4.7", "10.1.2.3", 4000, 80), segment("2001:db8::7", "2001:db8::3", 4000, 80)
	for i, text := range expressions {
		f.Add(text, v4[:len(v4)-i%20])
		f.Add(text, v6)
	}
	for _, text := range []string{"4 40 0 0 12 21 0 1 2048 6 0 0 1 6 0 0 0", "1,6,0,0,1", "vlan 5 and tcp", "-(ip[4294967295+ip[0]:4]) = 1", "tcp[ip[0:4]:4]=0", "((((", "port http-https", "portrange -", "net 1/", "host ::%", "\\"} {
		f.Add(text, v4)
	}
	f.Fuzz(func(t *testing.T, text string, ip []byte) {
		filter, err := Compile(text)
		if err != nil {
			return
		}
		match := filter.Match(ip)
		if And(filter, filter).Match(ip) != match || Not(Not(filter)).Match(ip) != match {
			t.Errorf("%q on %x: %v, but not with And or Not", text, ip, match)
		}
		if match && Not(filter).Match(ip) {
			t.Errorf("%q and its opposite both accept %x", text, ip)
		}
		program, err := filter.Kernel(1500)
		if err != nil {
			return
		}
		for i, ins := range program {
			if ins.Op&7 == jmpK && ins.Op != jmpA && max(int(ins.Jt), int(ins.Jf)) >= len(program)-i-1 || ins.Op == jmpA && int(ins.K) >= len(program)-i-1 {
				t.Errorf("%q: instruction %d of %d jumps behind the end: %+v", text, i, len(program), ins)
			}
		}
		if _, ok := bpf.RawInstruction(program[len(program)-1]).Disassemble().(bpf.RetConstant); !ok {
			t.Errorf("%q does not end in ret", text)
		}
	})
}

// FuzzAgainstTcpdump: an expression made from one seed, packets from another.
func FuzzAgainstTcpdump(f *testing.F) {
	for i := range uint64(8) {
		f.Add(i, i)
	}
	f.Fuzz(func(t *testing.T, of, on uint64) {
		r := rand.New(rand.NewPCG(of, 0))
		text := randomExpression(r, r.IntN(5))
		r = rand.New(rand.NewPCG(on, 1))
		var ps []packet
		for range 50 {
			ps = append(ps, mangledPacket(r))
		}
		compareWith(t, compile(t, text), tcpdump(t, text, "-O"), ps)
	})
}
