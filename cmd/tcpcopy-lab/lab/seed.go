package lab

import (
	"fmt"
)

// A Gateway is the kind of load balancer under test.
type Gateway string

// The two kinds. L4 forwards packets and the B's answer the copied clients
// directly, from the virtual address; L7 is a full proxy that answers them
// itself.
const (
	L4 Gateway = "l4"
	L7 Gateway = "l7"
)

// Seed is the network of the document that the project began with: production
// behind F5, the gateway under test beside it.
type Seed struct {
	Client, F5, Gateway *Host
	S, B                []*Host
	Assistants          []*Host
}

// The seed's addresses. The production network is not in the document; the
// network of the gateway and the assistant is.
const (
	SeedF5      = "10.1.0.100"
	SeedGateway = "10.1.2.100"
	SeedServers = 3 // S, and as many B
)

// SeedClients are the clients' addresses.
func SeedClients() []string { return []string{"10.1.0.201", "10.1.0.202", "10.1.0.203"} }

// SeedS is the production address of S1 (i = 0), S2, S3.
func SeedS(i int) string { return fmt.Sprintf("10.1.0.%d", 11+i) }

// SeedB is the address of B1 (i = 0), B2, B3.
func SeedB(i int) string { return fmt.Sprintf("10.1.2.%d", 21+i) }

// SeedPool is what S1 (i = 0), S2, S3 replace clients' addresses with.
func SeedPool(i int) string { return fmt.Sprintf("10.1.%d.x", 3+i) }

// NewSeed builds the seed's network around a gateway of kind g.
func (l *Lab) NewSeed(g Gateway, o Options) (*Seed, error) {
	sw, err := l.Host("switch")
	if err != nil {
		return nil, err
	}
	prod, err := sw.Bridge("production")
	if err != nil {
		return nil, err
	}
	test, err := sw.Bridge("test")
	if err != nil {
		return nil, err
	}
	p := builder{lab: l, offload: o.Offload}
	n := &Seed{}
	var clients []string
	for _, a := range SeedClients() {
		clients = append(clients, a+"/24")
	}
	n.Client = p.host("client", plug{prod, "eth0", clients})
	n.F5 = p.host("f5", plug{prod, "eth0", []string{SeedF5 + "/24"}})
	for i := range SeedServers {
		n.S = append(n.S, p.host(fmt.Sprintf("s%d", i+1),
			plug{prod, "eth0", []string{SeedS(i) + "/24"}},
			plug{test, "eth1", []string{fmt.Sprintf("10.1.2.%d/24", 11+i)}}))
	}
	for i := range SeedServers {
		n.B = append(n.B, p.host(fmt.Sprintf("b%d", i+1), plug{test, "eth0", []string{SeedB(i) + "/24"}}))
	}
	n.Assistants = p.assistants(test, o.Assistants)
	if g == L7 {
		p.l7(n, test, o.Assistants)
	} else {
		p.l4(n, test, o.Assistants)
	}
	return n, p.err
}

// l7 gives the virtual address to a proxy, which is who answers the copied
// clients and so needs the return routes.
func (p *builder) l7(n *Seed, test *Bridge, assistants int) {
	n.Gateway = p.host("gateway", plug{test, "eth0", []string{SeedGateway + "/24"}})
	p.returnRoutes(n.Gateway, assistants)
}

// l4 is a direct-return gateway made of the kernel's ECMP routes. It owns the
// virtual address no more than a switch would: it answers ARP for it on the
// front, hashes ports and addresses, and sends the packet on to a B, which
// carries the address on its loopback, silent about it to the neighbours.
//
// The seed gives each B the route of one prefix. A gateway that balances sends
// any client to any B, so here every B has all three.
func (p *builder) l4(n *Seed, test *Bridge, assistants int) {
	// Two interfaces, since the kernel proxies ARP only for what it would
	// forward to another one.
	n.Gateway = p.host("gateway",
		plug{test, "eth0", []string{"10.1.2.101/24"}},
		plug{test, "eth1", []string{"10.1.2.102/24"}})
	p.sysctl(n.Gateway, "ipv4/ip_forward=1", "ipv4/fib_multipath_hash_policy=1",
		"ipv4/conf/all/arp_ignore=1", "ipv4/conf/all/arp_announce=2")
	p.route(n.Gateway, SeedGateway+"/32", "eth1", SeedB(0), SeedB(1), SeedB(2))
	if p.err == nil {
		p.err = n.Gateway.ProxyARP("eth0", SeedGateway)
	}
	for _, b := range n.B {
		p.sysctl(b, "ipv4/conf/all/arp_ignore=1", "ipv4/conf/all/arp_announce=2")
		p.addr(b, "lo", SeedGateway+"/32")
		p.returnRoutes(b, assistants)
	}
}

func (p *builder) returnRoutes(h *Host, assistants int) {
	via, _ := assistantAddrs(assistants)
	p.sysctl(h, "ipv4/fib_multipath_hash_policy=1")
	for i := range SeedServers {
		p.route(h, fmt.Sprintf("10.1.%d.0/24", 3+i), "eth0", via...)
	}
}
