package filter

// operand is an arithmetic expression and the condition under which its
// fields are there; nil: always.
type operand struct {
	v     value
	there expr
}

// operators are those between two operands, with their precedence, C's.
var operators = map[string]struct {
	op   uint16
	prec int
}{
	"|": {opOr, 1}, "&": {opAnd, 2}, "<<": {opLsh, 3}, ">>": {opRsh, 3},
	"+": {opAdd, 4}, "-": {opSub, 4}, "*": {opMul, 5}, "/": {opDiv, 5},
}

// relations are the comparisons; not says that the result is turned round.
var relations = map[string]struct {
	op  uint16
	not bool
}{
	"=": {opEQ, false}, "==": {opEQ, false}, "!=": {opEQ, true}, ">": {opGT, false},
	">=": {opGE, false}, "<": {opGE, true}, "<=": {opGT, true},
}

// maxScratch is how many intermediate results fit (BPF_MEMWORDS).
const maxScratch = 16

// relationAhead reports whether an arithmetic expression begins here.
func (p *parser) relationAhead() bool {
	t, then := p.peek(), p.after(1)
	switch {
	case t.is("("):
		then = p.toks[p.close[p.i]+1]
	case t.is("-", "len", "length"), t.kind == word && then.is("["):
		return true
	case t.kind == word:
		_, ok := constants[t.text]
		return ok
	case t.kind == number:
		if q := p.quals; q != nil && (q.typ == "net" && then.is("/") || q.typ == "portrange" && then.is("-")) {
			return false
		}
	default:
		return false
	}
	_, isRelation := relations[then.text]
	_, isBinary := operators[then.text]
	return then.kind == symbol && (isRelation || isBinary)
}

func (p *parser) relation() expr {
	begin := p.peek()
	l := p.arith(1)
	t := p.next()
	rel, ok := relations[t.text]
	if t.kind != symbol || !ok {
		return p.fail(t, "a comparison must come here, such as != 0")
	}
	r := p.arith(1)
	if p.err != nil {
		return constant(false)
	}
	if max(scratch(l.v), scratch(r.v)+1) > maxScratch {
		return p.fail(begin, "needs more than the %d scratch words of BPF: nest less", maxScratch)
	}
	e := comparison(l.v, rel.op, r.v)
	if rel.not {
		e = not{e}
	}
	if there := join(l.there, r.there); there != nil {
		e = and{there, e}
	}
	return e
}

// comparison makes the cheapest test of l op r.
func comparison(l value, op uint16, r value) expr {
	k, isNum := r.(num)
	if !isNum {
		return test{l, op, r}
	}
	if n, ok := l.(num); ok {
		return constant(compare(op, uint32(n), uint32(k)))
	}
	if a, ok := l.(arith); ok && a.op == opAnd && op == opEQ && k == 0 {
		if mask, ok := a.r.(num); ok {
			return not{test{a.l, opSet, mask}}
		}
	}
	return test{l, op, r}
}

// join makes one of two conditions of which either may be missing.
func join(a, b expr) expr {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return and{a, b}
}

// scratch is how many scratch words the evaluation of v takes.
func scratch(v value) int {
	switch v := v.(type) {
	case arith:
		if _, ok := v.r.(num); ok {
			return scratch(v.l)
		}
		return max(scratch(v.l), scratch(v.r)+1)
	case field:
		if _, ok := v.at.(num); !ok {
			return max(scratch(v.at), 1)
		}
	}
	return 0
}

// arith reads operands joined by operators of at least the precedence prec.
func (p *parser) arith(prec int) operand {
	l := p.unary()
	for {
		t := p.peek()
		b, ok := operators[t.text]
		if t.kind != symbol || !ok || b.prec < prec {
			return l
		}
		p.next()
		r := p.arith(b.prec + 1)
		l = operand{p.binary(t, b.op, l.v, r.v), join(l.there, r.there)}
	}
}

// binary makes l op r, at once where both are numbers.
func (p *parser) binary(t token, op uint16, l, r value) value {
	k, isNum := r.(num)
	if !isNum {
		if op == opLsh || op == opRsh {
			p.fail(t, "the shift must be by a number")
		}
		return arith{op, l, r}
	}
	if _, ok := apply(op, 1, uint32(k)); !ok {
		p.fail(t, "division by zero, or a shift by more than 31")
	}
	if n, ok := l.(num); ok {
		v, _ := apply(op, uint32(n), uint32(k))
		return num(v)
	}
	return arith{op, l, r}
}

func (p *parser) unary() operand {
	t := p.next()
	switch {
	case t.is("-"):
		x := p.unary()
		return operand{p.binary(t, opSub, num(0), x.v), x.there}
	case t.is("("):
		x := p.arith(1)
		p.expect(")")
		return x
	case t.kind == number:
		return operand{v: num(t.n)}
	case t.is("len", "length"):
		return operand{v: pktlen{}}
	case t.kind == word && p.peek().is("["):
		return p.field(t)
	}
	if k, ok := constants[t.text]; ok && t.kind == word {
		return operand{v: num(k)}
	}
	p.fail(t, "a number, len, or a field such as tcp[13] must come here")
	return operand{v: num(0)}
}

// field reads proto[offset] and proto[offset:size].
func (p *parser) field(t token) operand {
	h, ok := headers[t.text]
	if !ok {
		p.fail(t, "no such header; there are ip, ip6, arp, icmp, icmp6, tcp, udp and sctp")
		return operand{v: num(0)}
	}
	p.next()
	where := p.peek()
	at := p.arith(1)
	size := uint32(1)
	if p.accept(":") {
		n := p.next()
		size = n.n
		if n.kind != number || size != 1 && size != 2 && size != 4 {
			p.fail(n, "the size of a field is 1, 2 or 4 bytes")
			return operand{v: num(0)}
		}
	}
	p.expect("]")
	if k, ok := at.v.(num); ok {
		if k > 0xffff {
			p.fail(where, "no packet has an offset outside 0 to 65535")
		}
		at.v = k + num(h.skip)
	} else if h.skip > 0 {
		at.v = arith{opAdd, at.v, num(h.skip)}
	}
	there := h.there
	if at.there != nil {
		there = and{there, at.there}
	}
	if h.then != nil {
		there = and{there, h.then}
	}
	return operand{field{h.base, at.v, uint8(size)}, there}
}
