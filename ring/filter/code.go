package filter

import (
	"math"
	"slices"

	"golang.org/x/net/bpf"
)

// coder lays a graph out as instructions, from the last to the first: jumps
// of BPF go forward only, so every target is there before the jump to it.
// Positions count from the end of the program.
type coder struct {
	out     []bpf.RawInstruction // last instruction first
	net     uint32               // offset of the network header
	snap    uint32               // what accept returns
	usesNet bool
	home    map[*node]int // where a node's code begins
	at      map[*node]int // the nearest way there: home, or a jump to it
}

// program returns the instructions in their order.
func (c *coder) program() []bpf.RawInstruction {
	slices.Reverse(c.out)
	return c.out
}

func (c *coder) emit(op uint16, k uint32) {
	c.out = append(c.out, bpf.RawInstruction{Op: op, K: k})
}

// layout puts the code of root in front, for a network header at net.
func (c *coder) layout(root *node, net uint32) {
	c.net, c.home, c.at = net, map[*node]int{}, map[*node]int{}
	order := postorder(root)
	before := registers(order)
	for _, n := range order {
		switch cond := n.cond.(type) {
		case *program:
			c.splice(n, cond)
		case test:
			c.test(n, cond, before[n])
		case constant:
			if n == root {
				c.near(n, 0)
			}
			continue
		}
		c.home[n] = len(c.out) - 1
		c.at[n] = c.home[n]
	}
}

// Link types with an Ethernet header (include/uapi/linux/if_arp.h).
const (
	arphrdEther    = 1
	arphrdLoopback = 772
	ethernetHeader = 14
)

// layoutEthernet puts a second layout of root in front of the first one,
// which only other link types reach.
func (c *coder) layoutEthernet(root *node) {
	others := len(c.out)
	c.layout(root, ethernetHeader)
	ethernet := len(c.out)
	c.emit(jmpA, uint32(ethernet-others))
	c.out = append(c.out,
		bpf.RawInstruction{Op: jmpK | opEQ, K: arphrdLoopback, Jt: 1, Jf: 0},
		bpf.RawInstruction{Op: jmpK | opEQ, K: arphrdEther, Jt: 2, Jf: 0})
	c.emit(ldAbs|sizes[4], adHatype)
}

// postorder lists the nodes below root, each behind those it goes to.
func postorder(root *node) []*node {
	var order []*node
	seen := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		walk(n.t)
		walk(n.f)
		order = append(order, n)
	}
	walk(root)
	return order
}

// state is what the registers hold on every way to a node.
type state struct {
	a   value // nil: not known
	msh bool  // X is the length of the IPv4 header
}

// registers finds the state before each node.
func registers(order []*node) map[*node]state {
	before := map[*node]state{}
	for _, n := range slices.Backward(order) {
		after := state{}
		if t, ok := n.cond.(test); ok {
			after = before[n].after(t)
		}
		for _, next := range [...]*node{n.t, n.f} {
			s, ok := before[next]
			if !ok {
				before[next] = after
				continue
			}
			if s.a != after.a {
				s.a = nil
			}
			s.msh = s.msh && after.msh
			before[next] = s
		}
	}
	return before
}

// after is the state behind t, when s is the one before it.
func (s state) after(t test) state {
	if _, ok := t.r.(num); !ok {
		return state{a: t.l}
	}
	if fixedTransport(t.l) {
		return state{t.l, true}
	}
	return state{t.l, s.msh && (s.a == t.l || !usesX(t.l))}
}

// fixedTransport reports whether v is loaded relative to the header's length
// in X, and nothing else.
func fixedTransport(v value) bool {
	f, ok := v.(field)
	if !ok || f.base != transport {
		return false
	}
	_, ok = f.at.(num)
	return ok
}

// usesX reports whether the evaluation of v changes X.
func usesX(v value) bool {
	switch v := v.(type) {
	case arith:
		_, ok := v.r.(num)
		return !ok || usesX(v.l)
	case field:
		_, ok := v.at.(num)
		return !ok || v.base == transport
	}
	return false
}

// test emits the code of n: load what is not there yet, compare, jump.
func (c *coder) test(n *node, t test, s state) {
	jt := c.near(n.t, 1)
	jf := c.near(n.f, 0)
	jump := bpf.RawInstruction{Op: jmpX | t.op, Jt: uint8(len(c.out) - jt - 1), Jf: uint8(len(c.out) - jf - 1)}
	var code []bpf.RawInstruction
	if k, ok := t.r.(num); ok {
		jump.Op, jump.K = jmpK|t.op, uint32(k)
		if s.a != t.l {
			code = c.value(t.l, 0)
		}
		if fixedTransport(t.l) && s.msh && code != nil {
			code = code[1:]
		}
	} else {
		code = append(c.value(t.l, 0), ins(st, 0))
		code = append(code, c.value(t.r, 1)...)
		code = append(code, ins(tax, 0), ins(ldMem, 0))
	}
	c.out = append(c.out, jump)
	for _, i := range slices.Backward(code) {
		c.out = append(c.out, i)
	}
}

// near returns the position of a way to n which a conditional jump, emitted
// behind at most slack further instructions, still reaches: jumps have 8 bits.
func (c *coder) near(n *node, slack int) int {
	if at, ok := c.at[n]; ok && len(c.out)+slack-at-1 <= math.MaxUint8 {
		return at
	}
	c.far(n)
	c.at[n] = len(c.out) - 1
	return c.at[n]
}

// far emits an instruction that ends in n from anywhere.
func (c *coder) far(n *node) {
	switch n {
	case accepted:
		c.emit(retK, c.snap)
	case rejected:
		c.emit(retK, 0)
	default:
		c.emit(jmpA, uint32(len(c.out)-c.home[n]-1))
	}
}

// splice emits a numeric program with jumps for its returns.
func (c *coder) splice(n *node, p *program) {
	for _, i := range slices.Backward(p.code) {
		switch {
		case i.Op != retK:
			c.out = append(c.out, i)
		case i.K != 0:
			c.far(n.t)
		default:
			c.far(n.f)
		}
	}
}

func ins(op uint16, k uint32) bpf.RawInstruction { return bpf.RawInstruction{Op: op, K: k} }

// value returns the code that puts v into A. The scratch words from m on are
// free.
func (c *coder) value(v value, m uint32) []bpf.RawInstruction {
	switch v := v.(type) {
	case num:
		return []bpf.RawInstruction{ins(ldImm, uint32(v))}
	case pktlen:
		return []bpf.RawInstruction{ins(ldLen, 0)}
	case arith:
		code := c.value(v.l, m)
		if k, ok := v.r.(num); ok {
			return append(code, ins(aluK|v.op, uint32(k)))
		}
		code = append(code, ins(st, m))
		code = append(code, c.value(v.r, m+1)...)
		return append(code, ins(tax, 0), ins(ldMem, m), ins(aluX|v.op, 0))
	case field:
		return c.field(v, m)
	}
	return nil
}

func (c *coder) field(f field, m uint32) []bpf.RawInstruction {
	size := sizes[f.size]
	at, fixed := f.at.(num)
	if f.base == meta {
		return []bpf.RawInstruction{ins(ldAbs|size, uint32(at))}
	}
	c.usesNet = true
	msh := ins(ldxMsh, c.net)
	switch {
	case f.base == network && fixed:
		return []bpf.RawInstruction{ins(ldAbs|size, c.net+uint32(at))}
	case f.base == network:
		return append(c.value(f.at, m), ins(tax, 0), ins(ldInd|size, c.net))
	case fixed:
		return []bpf.RawInstruction{msh, ins(ldInd|size, c.net+uint32(at))}
	}
	return append(c.value(f.at, m), ins(st, m), msh, ins(ldMem, m), ins(aluX|opAdd, 0), ins(tax, 0), ins(ldInd|size, c.net))
}
