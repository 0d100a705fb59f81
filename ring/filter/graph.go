package filter

// node is a decision: a test or a *program, and where to go on its outcome.
// Equal nodes are one node.
type node struct {
	cond any
	t, f *node
}

// The two ends of every graph.
var accepted, rejected = &node{cond: constant(true)}, &node{cond: constant(false)}

func (n *node) terminal() bool { return n == accepted || n == rejected }

type graph struct {
	nodes   map[node]*node
	tracked map[test]int // bit of each test that facts remember
	seen    map[visit]*node
}

// newGraph makes the graph of e.
func newGraph(e expr) *node {
	g := graph{nodes: map[node]*node{}, tracked: map[test]int{}, seen: map[visit]*node{}}
	return g.simplify(g.build(e, accepted, rejected), facts{})
}

// build makes the graph that goes to t where e holds and to f where not.
func (g *graph) build(e expr, t, f *node) *node {
	switch e := e.(type) {
	case and:
		return g.build(e.l, g.build(e.r, t, f), f)
	case or:
		return g.build(e.l, t, g.build(e.r, t, f))
	case not:
		return g.build(e.x, f, t)
	case constant:
		if e {
			return t
		}
		return f
	}
	if c, ok := e.(test); ok && tracks(c) {
		if _, ok := g.tracked[c]; !ok && len(g.tracked) < 64 {
			g.tracked[c] = len(g.tracked)
		}
	}
	return g.node(e, t, f)
}

func (g *graph) node(cond any, t, f *node) *node {
	n := node{cond, t, f}
	if g.nodes[n] == nil {
		g.nodes[n] = &n
	}
	return g.nodes[n]
}

// facts are outcomes of tracked tests, one bit each: whether it is known, and
// if so what it is.
type facts struct{ known, is uint64 }

type visit struct {
	n *node
	facts
}

// tracks reports whether the outcome of t is worth remembering. Protocols and
// fragments are asked about again and again and have few values; to remember
// everything would copy the graph for each address.
func tracks(t test) bool {
	return t.l == etherType || t.l == ipNext || t.l == ip6Next || t.l == ip6First || t.l == ipFrag
}

// maxVisits bounds the work of simplify; beyond it, decisions stay as they are.
const maxVisits = 1 << 16

// simplify leaves out the decisions of n that known has taken. A load is only
// ever left out behind the same load, so that what a packet too short for its
// headers meets stays the same.
func (g *graph) simplify(n *node, known facts) *node {
	if n.terminal() {
		return n
	}
	v := visit{n, known}
	if s := g.seen[v]; s != nil {
		return s
	}
	if len(g.seen) > maxVisits {
		return n
	}
	t, _ := n.cond.(test)
	bit, tracked := g.tracked[t]
	var s *node
	switch {
	case !tracked:
		s = g.node(n.cond, g.simplify(n.t, known), g.simplify(n.f, known))
	case known.known>>bit&1 == 0:
		s = g.node(n.cond, g.simplify(n.t, g.learn(known, t, true)), g.simplify(n.f, g.learn(known, t, false)))
	case known.is>>bit&1 == 1:
		s = g.simplify(n.t, known)
	default:
		s = g.simplify(n.f, known)
	}
	g.seen[v] = s
	return s
}

// learn adds to known that t came out as is, and what follows for the other
// tests of the same value.
func (g *graph) learn(known facts, t test, is bool) facts {
	for o, bit := range g.tracked {
		outcome := is
		switch {
		case o == t:
		case o.l != t.l || !is || t.op != opEQ:
			continue
		default:
			outcome = compare(o.op, uint32(t.r.(num)), uint32(o.r.(num)))
		}
		known.known |= 1 << bit
		if outcome {
			known.is |= 1 << bit
		}
	}
	return known
}
