package lab

import "fmt"

// Small is the least network that a copy needs: everything on one switch.
//
//	client ──┐          ┌── target     (the copies' return route leads to the assistant)
//	         ├─ switch ─┤
//	online ──┘          └── assistant (two of them by option)
//
// By option there is a relay on the wire to the target, with eth0 towards the
// switch and eth1 towards the target; nothing passes until it carries frames.
// By option there is a backend on the switch, for a target that is a gateway.
//
// Addresses are Net4 and Net6 with the numbers below.
type Small struct {
	Switch, Client, Online, Target *Host
	Relay                          *Host // nil without the option
	Backend                        *Host // nil without the option
	Assistants                     []*Host
}

// The small network's addresses. The client owns several, ClientAddrs of each
// family, as real clients are several.
const (
	OnlineAddr4, OnlineAddr6 = "10.1.2.11", "fd00:1:2::11"
	TargetAddr4, TargetAddr6 = "10.1.2.21", "fd00:1:2::21"
	BackendAddr4             = "10.1.2.22"
	Pool4, Pool6             = "10.1.3.x", "fd00:1:3::/120" // of copied clients
	PoolNet4, PoolNet6       = "10.1.3.0/24", "fd00:1:3::/64"
	ClientAddrs              = 4
)

// ClientAddr4 is the i-th address of the small network's client.
func ClientAddr4(i int) string { return fmt.Sprintf("10.1.2.%d", 201+i) }

// ClientAddr6 is the same for IPv6.
func ClientAddr6(i int) string { return fmt.Sprintf("fd00:1:2::%d", 201+i) }

// AssistantAddr4 is the address of the i-th assistant, the seed's for the
// first.
func AssistantAddr4(i int) string { return fmt.Sprintf("10.1.2.%d", 30+i) }

// AssistantAddr6 is the same for IPv6.
func AssistantAddr6(i int) string { return fmt.Sprintf("fd00:1:2::%d", 30+i) }

// Options are what the networks can vary in.
type Options struct {
	Offload         bool // segmentation and checksum offloads, on every wire
	Assistants      int  // 1 or 2
	Relay           bool // small network only: a host on the wire to the target, whose offloads are then off
	Backend         bool // small network only: a host for the server behind a target that is a gateway
	ThreadedReceive bool // small network only: what comes in at the switch is the work of threads of the kernel
}

// NewSmall builds the small network.
func (l *Lab) NewSmall(o Options) (*Small, error) {
	sw, err := l.Host("switch")
	if err != nil {
		return nil, err
	}
	br, err := sw.Bridge("br0")
	if err != nil {
		return nil, err
	}
	p := builder{lab: l, offload: o.Offload, threadedReceive: o.ThreadedReceive}
	n := &Small{Switch: sw}
	var clients []string
	for i := range ClientAddrs {
		clients = append(clients, ClientAddr4(i)+"/24", ClientAddr6(i)+"/64")
	}
	n.Client = p.host("client", plug{br, "eth0", clients})
	n.Online = p.host("online", plug{br, "eth0", []string{OnlineAddr4 + "/24", OnlineAddr6 + "/64"}})
	behind := br
	if o.Relay {
		if behind, err = sw.Bridge("br1"); err != nil {
			return nil, err
		}
		p.offload = false
		n.Relay = p.host("relay", plug{br, "eth0", nil}, plug{behind, "eth1", nil})
		// It has no part in what it carries.
		p.sysctl(n.Relay, "ipv6/conf/all/disable_ipv6=1")
	}
	n.Target = p.host("target", plug{behind, "eth0", []string{TargetAddr4 + "/24", TargetAddr6 + "/64"}})
	p.offload = o.Offload
	if o.Backend {
		n.Backend = p.host("backend", plug{br, "eth0", []string{BackendAddr4 + "/24"}})
	}
	n.Assistants = p.assistants(br, o.Assistants)
	via4, via6 := assistantAddrs(o.Assistants)
	p.sysctl(n.Target, "ipv4/fib_multipath_hash_policy=1", "ipv6/fib_multipath_hash_policy=1")
	p.route(n.Target, PoolNet4, "eth0", via4...)
	p.route(n.Target, PoolNet6, "eth0", via6...)
	// Where clients keep their addresses, theirs are the way back.
	for i := range ClientAddrs {
		p.route(n.Target, ClientAddr4(i)+"/32", "eth0", via4...)
		p.route(n.Target, ClientAddr6(i)+"/128", "eth0", via6...)
	}
	return n, p.err
}

// builder builds hosts and keeps the first error, so that a network reads as a
// list of what it is made of.
type builder struct {
	lab             *Lab
	offload         bool
	threadedReceive bool
	err             error
}

type plug struct {
	bridge *Bridge
	iface  string
	addrs  []string
}

func (p *builder) host(name string, plugs ...plug) *Host {
	if p.err != nil {
		return nil
	}
	h, err := p.lab.Host(name)
	for _, w := range plugs {
		if err == nil {
			err = w.bridge.Plug(h, Wire{Interface: w.iface, Addrs: w.addrs, Offload: p.offload, ThreadedReceive: p.threadedReceive})
		}
	}
	p.err = err
	return h
}

// assistants are black holes: they get the replies to clients that do not
// exist, and forward nothing.
func (p *builder) assistants(br *Bridge, n int) (hosts []*Host) {
	for i := range n {
		name := "assistant"
		if i > 0 {
			name = fmt.Sprintf("assistant%d", i+1)
		}
		hosts = append(hosts, p.host(name, plug{br, "eth0", []string{AssistantAddr4(i) + "/24", AssistantAddr6(i) + "/64"}}))
	}
	return hosts
}

func assistantAddrs(n int) (v4, v6 []string) {
	for i := range n {
		v4, v6 = append(v4, AssistantAddr4(i)), append(v6, AssistantAddr6(i))
	}
	return v4, v6
}

func (p *builder) sysctl(h *Host, settings ...string) {
	if p.err == nil {
		p.err = h.Sysctl(settings...)
	}
}

func (p *builder) route(h *Host, dst, iface string, via ...string) {
	if p.err == nil {
		p.err = h.Route(dst, iface, via...)
	}
}

func (p *builder) addr(h *Host, iface string, addrs ...string) {
	if p.err == nil {
		p.err = h.Addr(iface, addrs...)
	}
}
