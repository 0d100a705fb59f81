package filter

// expr is a condition: and, or, not, constant, test or *program. All but the
// last are comparable by their contents, which the graph relies on.
type expr any

type (
	and      struct{ l, r expr }
	or       struct{ l, r expr }
	not      struct{ x expr }
	constant bool
)

// test compares two values, unsigned.
type test struct {
	l  value
	op uint16 // BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET: l & r != 0
	r  value
}

// value is a number of 32 bits: num, pktlen, field or arith.
type value any

type (
	num    uint32
	pktlen struct{}
	arith  struct {
		op   uint16 // BPF_ADD and its like
		l, r value
	}
)

// field is size bytes, in network order, at an offset from base.
type field struct {
	base base
	at   value
	size uint8 // 1, 2 or 4
}

type base uint8

const (
	meta      base = iota // the kernel's ancillary data
	network               // the network header
	transport             // the end of the IPv4 header
)

// Offsets with a meaning of their own (include/uapi/linux/filter.h).
const (
	ancillary  = 0xfffff000 // SKF_AD_OFF
	netOffset  = 0xfff00000 // SKF_NET_OFF
	adProtocol = ancillary + 0
	adHatype   = ancillary + 28
	adTag      = ancillary + 44
	adTagged   = ancillary + 48
)

// all joins es, one at least, with and.
func all(es ...expr) expr {
	e := es[0]
	for _, x := range es[1:] {
		e = and{e, x}
	}
	return e
}

// anyOf joins es, one at least, with or.
func anyOf(es ...expr) expr {
	e := es[0]
	for _, x := range es[1:] {
		e = or{e, x}
	}
	return e
}

func equal(v value, k uint32) expr { return test{v, opEQ, num(k)} }

// equalMasked compares v & mask with k.
func equalMasked(v value, mask, k uint32) expr {
	if mask != 0xffffffff {
		v = arith{opAnd, v, num(mask)}
	}
	return equal(v, k)
}

// apply is the value of l op r, and whether there is one: not of a division
// by zero or a shift by 32 or more.
func apply(op uint16, l, r uint32) (uint32, bool) {
	switch op {
	case opAdd:
		return l + r, true
	case opSub:
		return l - r, true
	case opMul:
		return l * r, true
	case opDiv:
		if r == 0 {
			return 0, false
		}
		return l / r, true
	case opMod:
		if r == 0 {
			return 0, false
		}
		return l % r, true
	case opOr:
		return l | r, true
	case opXor:
		return l ^ r, true
	case opAnd:
		return l & r, true
	case opLsh:
		return l << r, r < 32
	case opRsh:
		return l >> r, r < 32
	}
	return 0, false
}

// compare is the outcome of l op r.
func compare(op uint16, l, r uint32) bool {
	switch op {
	case opEQ:
		return l == r
	case opGT:
		return l > r
	case opGE:
		return l >= r
	}
	return l&r != 0
}
