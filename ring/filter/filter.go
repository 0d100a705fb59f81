// Package filter translates a subset of tcpdump's filter language
// (pcap-filter(7); docs/filters.md says which) to classic BPF.
//
// The life of an expression: the parser (lex.go, parse.go, arith.go) lowers it
// by way of primitive.go to and, or and not over tests of single fields, in
// the order in which libpcap makes them; graph.go turns these into a graph of
// decisions without the ones already taken; code.go lays the graph out as
// instructions. The kernel runs them on a socket, run.go in user space.
//
// As in every BPF program, a load beyond the end of the packet rejects it,
// also below a not.
package filter

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Filter is a compiled expression. It does not change once made, and many
// goroutines may use it.
type Filter struct {
	text    string
	root    expr
	graph   *node
	match   []bpf.RawInstruction // network loads relative to SKF_NET_OFF
	numeric bool
}

// maxText bounds an expression, and with it the depth of the parser.
const maxText = 64 << 10

// Compile translates text. An empty text accepts every packet, as it does in
// tcpdump. The error names the column, in bytes from 1, and the word there.
//
// text may also be the decimal output of tcpdump -ddd, its numbers separated
// by white space or commas: a program for Ethernet frames.
func Compile(text string) (*Filter, error) {
	if isNumeric(text) {
		p, err := parseProgram(text)
		if err != nil {
			return nil, err
		}
		return newFilter(fmt.Sprintf("numeric program of %d instructions", len(p.code)), p, true), nil
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("filter: %d bytes long, the limit is %d: write nets for hosts", len(text), maxText)
	}
	e, err := parse(text)
	if err != nil {
		return nil, err
	}
	return newFilter(text, e, false), nil
}

func newFilter(text string, root expr, numeric bool) *Filter {
	f := &Filter{text: text, root: root, graph: newGraph(root), numeric: numeric}
	c := coder{snap: 1}
	c.layout(f.graph, netOffset)
	f.match = c.program()
	return f
}

// And accepts what a and b both accept. a is asked first.
func And(a, b *Filter) *Filter {
	return newFilter(fmt.Sprintf("(%s) and (%s)", a.text, b.text), and{a.root, b.root}, a.numeric || b.numeric)
}

// Not accepts what f does not.
func Not(f *Filter) *Filter {
	return newFilter(fmt.Sprintf("not (%s)", f.text), not{f.root}, f.numeric)
}

// Numeric reports whether part of f came as numbers. Kernel's program then
// fits Ethernet and loopback interfaces only.
func (f *Filter) Numeric() bool { return f.numeric }

// String returns the expression, or for a numeric one its description.
func (f *Filter) String() string { return f.text }

// Kernel returns the program for an AF_PACKET socket of type SOCK_RAW, over
// any link layer. What it accepts is cut to snap bytes, counted from the start
// of the frame.
//
// The protocol is SKF_AD_PROTOCOL's, and the kernel takes a VLAN tag off the
// frame before the socket sees it, so tags shift nothing. The network header
// is 14 bytes from the start where SKF_AD_HATYPE says Ethernet or loopback,
// and at SKF_NET_OFF elsewhere. SKF_NET_OFF alone would not do: before Linux
// commit d4bac0288a2b (2025) it reaches the linear part of a packet only,
// where drivers and merged segments may have no more than the link header,
// and the filter would miss such packets in silence. On a SOCK_DGRAM socket,
// whose packets have no link header, the program is wrong.
//
// The error says that the program is longer than the kernel takes (4096
// instructions) or that snap is 0.
func (f *Filter) Kernel(snap uint32) ([]bpf.RawInstruction, error) {
	if snap == 0 {
		return nil, errors.New("filter: snap 0 rejects every packet: keep at least 1 byte")
	}
	c := coder{snap: snap}
	c.layout(f.graph, netOffset)
	if c.usesNet {
		c.layoutEthernet(f.graph)
	}
	if n := len(c.out); n > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("filter: %d instructions long, the kernel takes %d: write nets for hosts, or portranges for ports", n, unix.BPF_MAXINSNS)
	}
	return c.program(), nil
}

// Match evaluates f on a packet that begins at its network header and came
// without a VLAN tag. The packet's length, for less, greater and len, is that
// of ip and an Ethernet header. Match does not allocate.
func (f *Filter) Match(ip []byte) bool { return run(f.match, frame{ip: ip, proto: version(ip)}) }

// MatchTagged is Match for a packet from which the kernel took a VLAN tag
// with the control information tci (IEEE 802.1Q: priority, DEI, identifier).
func (f *Filter) MatchTagged(ip []byte, tci uint16) bool {
	return run(f.match, frame{ip: ip, proto: version(ip), tagged: true, tci: tci})
}
