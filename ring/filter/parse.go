package filter

// parser is a recursive descent over the tokens. The first error is kept in
// err and moves the parser to the end token, where everything returns.
type parser struct {
	toks  []token
	i     int
	close map[int]int // index of a parenthesis's partner
	quals *qualifiers // what a bare value inherits; nil: nothing
	err   error
}

// qualifiers say what a value stands for: "tcp src port" before 80.
type qualifiers struct {
	proto string // "" : any that fits
	dir   direction
	typ   string // host, net, port, portrange or proto
	tok   token
}

type direction uint8

const (
	either direction = iota // src or dst
	src
	dst
	both // src and dst
)

func parse(text string) (expr, error) {
	toks, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks, close: map[int]int{}}
	if err := p.pair(); err != nil {
		return nil, err
	}
	if p.peek().kind == end {
		return constant(true), nil
	}
	e := p.expr()
	if t := p.peek(); t.kind != end {
		p.fail(t, "and, or, or the end of the filter must come here")
	}
	return e, p.err
}

// pair finds the partner of every opening parenthesis.
func (p *parser) pair() error {
	var open []int
	for i, t := range p.toks {
		switch {
		case t.is("("):
			open = append(open, i)
		case t.is(")"):
			if len(open) == 0 {
				return t.fail("no parenthesis is open here")
			}
			p.close[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return p.toks[open[len(open)-1]].fail("this parenthesis is never closed")
	}
	return nil
}

func (p *parser) peek() token { return p.toks[p.i] }

// after is the token n places on.
func (p *parser) after(n int) token { return p.toks[min(p.i+n, len(p.toks)-1)] }

func (p *parser) next() token {
	t := p.toks[p.i]
	p.i = min(p.i+1, len(p.toks)-1)
	return t
}

func (p *parser) accept(texts ...string) bool {
	if p.peek().is(texts...) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.fail(p.peek(), "%q must come here", text)
	}
}

// fail keeps the first error and returns an expression to stand for the rest.
func (p *parser) fail(t token, format string, args ...any) expr {
	if p.err == nil {
		p.err = t.fail(format, args...)
	}
	p.i = len(p.toks) - 1
	return constant(false)
}

// expr reads terms with and and or between them, which bind alike, from left
// to right.
func (p *parser) expr() expr { return p.chain(p.term) }

func (p *parser) chain(operand func() expr) expr {
	e := operand()
	for {
		switch {
		case p.accept("and", "&&"):
			e = and{e, operand()}
		case p.accept("or", "||"):
			e = or{e, operand()}
		default:
			return e
		}
	}
}

func (p *parser) term() expr {
	t := p.peek()
	switch {
	case p.accept("not", "!"):
		return not{p.term()}
	case p.relationAhead():
		p.quals = nil
		return p.relation()
	case t.is("("):
		p.next()
		outer := p.quals
		e := p.expr()
		p.expect(")")
		p.quals = outer // as in tcpdump, those inside do not leave their parentheses
		return e
	case t.is("less", "greater"):
		p.next()
		p.quals = nil
		return p.length(t)
	case t.is("vlan"):
		p.next()
		p.quals = nil
		return p.vlan()
	case protocols[t.text] != nil && t.kind == word, t.is("src", "dst", "host", "net", "port", "portrange", "proto"):
		return p.head()
	}
	if p.inherits(t) {
		return p.value()
	}
	switch t.kind {
	case number, address:
		return p.fail(t, "say what it is: host, net, port, portrange or proto before it")
	case end:
		return p.fail(t, "a condition must come here, such as tcp port 80")
	}
	return p.fail(t, "not supported; there are %s, src and dst, host, net, port, portrange, proto, vlan, less, greater, "+
		"comparisons such as tcp[13] & 2 != 0, and, or, not and parentheses", protocolWords)
}

// inherits reports whether t, without qualifiers of its own, is a value for
// the ones before it.
func (p *parser) inherits(t token) bool {
	switch {
	case p.quals == nil:
		return false
	case t.kind != word:
		return t.kind != end && t.kind != symbol
	case p.quals.typ == "proto":
		return protoNumbers[t.text] != 0
	case p.quals.typ == "portrange":
		_, _, _, isRange := serviceRange(t.text)
		_, _, isPort := service(t.text)
		return isRange || isPort
	}
	_, _, isPort := service(t.text)
	return p.quals.typ == "port" && isPort
}

// head reads qualifiers and the value or values they apply to, or a protocol
// that stands alone.
func (p *parser) head() expr {
	q := &qualifiers{typ: "host", tok: p.peek()}
	if protocols[q.tok.text] != nil {
		p.next()
		q.proto = q.tok.text
		if !p.peek().is("src", "dst", "host", "net", "port", "portrange", "proto") {
			p.quals = nil
			return protocols[q.proto]
		}
	}
	directed := p.direction(q)
	switch t := p.peek(); {
	case t.is("host", "net", "port", "portrange"), t.is("proto") && !directed:
		p.next()
		q.typ, q.tok = t.text, t
	case !directed:
		return p.fail(t, "host, net, port, portrange or proto must come here")
	}
	p.quals = q
	return p.id()
}

// direction reads src, dst and their combinations.
func (p *parser) direction(q *qualifiers) bool {
	first := p.peek()
	switch {
	case first.is("src"):
		q.dir = src
	case first.is("dst"):
		q.dir = dst
	default:
		return false
	}
	p.next()
	if second := p.after(1); second.is("src", "dst") && second.text != first.text {
		switch {
		case p.accept("or", "||"):
			q.dir = either
			p.next()
		case p.accept("and", "&&"):
			q.dir = both
			p.next()
		}
	}
	return true
}

// id reads what may follow qualifiers: a value, or values in parentheses.
func (p *parser) id() expr {
	switch {
	case p.accept("not", "!"):
		return not{p.id()}
	case p.accept("("):
		e := p.chain(p.id)
		p.expect(")")
		return e
	}
	return p.value()
}

// length reads the number after less or greater.
func (p *parser) length(t token) expr {
	n := p.next()
	if n.kind != number {
		return p.fail(n, "a number of bytes must follow %s", t.text)
	}
	if t.text == "less" {
		return not{test{pktlen{}, opGT, num(n.n)}}
	}
	return test{pktlen{}, opGE, num(n.n)}
}

// vlan reads the identifier after vlan, if there is one.
func (p *parser) vlan() expr {
	tagged := equal(field{meta, num(adTagged), 4}, 1)
	n := p.peek()
	if n.kind != number {
		return tagged
	}
	p.next()
	if n.n > 0xfff {
		return p.fail(n, "a VLAN identifier is at most 4095")
	}
	return and{tagged, equalMasked(field{meta, num(adTag), 4}, 0xfff, n.n)}
}
