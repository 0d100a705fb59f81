package conf

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const interceptSynopsis = `Usage: intercept [-i DEVICE,...] [-F FILTER] [flags]
       intercept --config intercept.toml [flags]

intercept catches the replies of a system under test on the assistant server,
and sends their headers back to the tcpcopy that owns the session.

  intercept -i eth0 -F "tcp and src port 80" -d`

// rawIntercept is what the settings fill before it is understood as a whole.
type rawIntercept struct {
	Intercept
	bind []string
	port int
}

func interceptDefaults() rawIntercept {
	return rawIntercept{
		Intercept: Intercept{
			MaxBatch:     0,
			DelayTable:   65536,
			RouteTimeout: 2 * time.Minute,
		},
		port: DefaultPort,
	}
}

func (c *rawIntercept) settings() []*setting {
	return []*setting{
		{key: "capture.interfaces", flag: "interface", short: "i", usage: "`DEVICE,...` to capture on (default all)", value: interfaces(&c.Interfaces)},
		{key: "capture.filter", flag: "filter", short: "F", usage: "`FILTER` in tcpdump's language (default tcp)", value: filterText(&c.Filter), live: true},
		{key: "capture.ring_size", flag: "ring-size", short: "B", usage: "`SIZE` of all capture rings together; a bare number is in MiB (default 64MiB, or 1/128 of the memory if that is less)", value: size(&c.RingBytes, 0, mostRings)},

		{key: "link.bind", flag: "bind", short: "b", usage: "`ADDRESS[:PORT],...` to listen on for tcpcopys (default every address)", value: texts(&c.bind)},
		{key: "link.port", flag: "port", short: "p", usage: "`PORT` to listen on", value: whole{&c.port, 1, 65535}},
		{key: "link.max_batch", flag: "max-batch", short: "n", usage: "most replies in one write, a `NUMBER` (default what is ready)", value: whole{&c.MaxBatch, 0, 65535}},

		{key: "route.rewrite", flag: "rewrite", short: "D", usage: "`A-B,...`: a reply to address A is one to B, as behind a container's address translation", value: list[Rewrite]{p: &c.Rewrites, parse: parseRewrite, print: Rewrite.String}},
		{key: "route.timeout", flag: "route-timeout", short: "t", usage: "keep what a tcpcopy claims for this `TIME` after its links are gone; a bare number is in s", value: span(&c.RouteTimeout, "s", time.Second, maxSpan)},
		{key: "route.delay_table", flag: "delay-table", short: "s", usage: "`NUMBER` of replies kept until their session is claimed", value: whole{&c.DelayTable, 0, 1 << 24}},
		{key: "route.single", flag: "single", short: "c", usage: "serve the first tcpcopy only", value: boolean{&c.Single}},

		{flag: "passlist", short: "x", usage: "obsolete: `ADDRESS,...` let through in the traditional mode", value: refused("the traditional mode is obsolete; route the replies to this host and leave -x out")},
		{flag: "queue-length", short: "q", usage: "obsolete: `LENGTH` of the netfilter queue", value: refused("netfilter queues are obsolete; route the replies to this host and leave -q out")},
	}
}

// parseRewrite reads A-B, two addresses of one family.
func parseRewrite(s string) (r Rewrite, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return r, fmt.Errorf("%q is not A-B such as 172.17.0.2-10.1.3.2", s)
	}
	if r.From, err = parseAddr(from); err != nil {
		return r, err
	}
	if r.To, err = parseAddr(to); err != nil {
		return r, err
	}
	if r.From.Is4() != r.To.Is4() {
		return r, fmt.Errorf("%q mixes IPv4 and IPv6; a reply keeps its family", s)
	}
	return r, nil
}

func (r Rewrite) String() string { return r.From.String() + "-" + r.To.String() }

// ParseIntercept reads the command line args, without the program's name, and
// the file that it names. Help and printed configurations go to out.
func ParseIntercept(args []string, out io.Writer) (*Intercept, error) {
	c := interceptDefaults()
	p := newParser("intercept", interceptSynopsis, &c.Process, c.settings())
	if err := p.run(args, out, c.finish); err != nil {
		return nil, err
	}
	return &c.Intercept, nil
}

// finish understands the settings as a whole.
func (c *rawIntercept) finish(p *parser) error {
	if slices.Contains(c.Interfaces, "any") {
		if len(c.Interfaces) > 1 {
			return p.errorf("capture.interfaces", "any is every interface; leave the others out")
		}
		c.Interfaces = nil
	}
	if err := p.rings(&c.RingBytes, maxRings/2, hostMemory()/ringsMemory/2); err != nil {
		return err
	}
	for i, s := range c.bind {
		ap, err := parseAddrPort(s, uint16(c.port))
		switch {
		case err != nil:
			return p.errorf("link.bind", "%v", err)
		case ap.Addr().IsMulticast():
			return p.errorf("link.bind", "%v is a multicast address; name one of this host", ap.Addr())
		case slices.Contains(c.Listen, ap):
			return p.errorf("link.bind", "%v is named twice", ap)
		}
		c.Listen = append(c.Listen, ap)
		c.bind[i] = ap.String()
	}
	if len(c.Listen) == 0 {
		c.Listen = []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(c.port))}
	}
	from := make(map[netip.Addr]bool)
	for _, r := range c.Rewrites {
		if from[r.From] {
			return p.errorf("route.rewrite", "%v is rewritten twice; leave one out", r.From)
		}
		from[r.From] = true
	}
	return nil
}
