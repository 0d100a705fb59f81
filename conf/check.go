package conf

import "net/netip"

// finishTransfers refuses transfers that cannot work together.
func (c *rawTcpcopy) finishTransfers(p *parser) error {
	if len(c.Transfers) == 0 {
		return p.errorf("transfer", "nothing to copy; name the online port and the target, such as -x 80-10.1.2.100:80 or [[transfer]] in the file")
	}
	for i, t := range c.Transfers {
		for _, o := range c.Transfers {
			if t.Target == o.Online && len(c.Replay.Files) == 0 {
				return p.errorf("transfer", "the target of %v is itself copied by %v, a loop; name another target", t, o)
			}
		}
		for _, o := range c.Transfers[:i] {
			if o.covers(t) {
				p.note("transfer %v has no effect: %v stands before it and takes the same packets", t, o)
				break
			}
		}
	}
	return nil
}

// finishSend refuses ways of sending that contradict each other.
func (c *rawTcpcopy) finishSend(p *parser) error {
	least, ipHeader := 68, 20 // RFC 791
	for _, t := range c.Transfers {
		if t.Target.Addr().Is6() {
			least, ipHeader = 1280, 40 // RFC 8200, 5
		}
		if t.SourceMAC != nil && c.SendMode == SendRaw {
			return p.errorf("send.mode", "raw sends by the kernel's routing, without the MAC addresses of %v; leave one of the two out", t)
		}
	}
	const tcpHeader = 20
	switch {
	case c.OutInterface != "" && c.SendMode == SendRaw:
		return p.errorf("send.interface", "%s has no effect when send.mode is raw, which sends by the kernel's routing; leave one of the two out", c.OutInterface)
	case c.MTU != 0 && c.MTU < least:
		return p.errorf("send.mtu", "%d is below %d, the least that every host takes; leave it out", c.MTU, least)
	case c.SynMSS != 0 && c.SynMSS < minMSS:
		return p.errorf("send.syn_mss", "%d is below %d; leave it out", c.SynMSS, minMSS)
	case c.MTU != 0 && c.SynMSS > c.MTU-ipHeader-tcpHeader:
		return p.errorf("send.syn_mss", "%d does not fit into the MTU of %d; at most %d does", c.SynMSS, c.MTU, c.MTU-ipHeader-tcpHeader)
	}
	return nil
}

// minMSS is what Linux takes for the least (TCP_MIN_MSS, include/net/tcp.h).
const minMSS = 88

// finishClients builds the pool and compares its families with the targets'.
func (c *rawTcpcopy) finishClients(p *parser) error {
	if a := c.LoopbackClient; a.IsValid() && (a.IsLoopback() || a.IsUnspecified() || a.IsMulticast()) {
		return p.errorf("session.loopback_client", "%v is no address that the target could answer to; name one that is routed to the assistant", a)
	}
	if len(c.clients) == 0 {
		return c.checkFamilies(p)
	}
	pool, err := ParsePool(c.clients)
	if err != nil {
		return p.errorf("session.clients", "%v", err)
	}
	c.clients = pool.items()
	if c.LoopbackClient.IsValid() {
		p.note("-H has no effect: -c replaces every client")
	}
	for _, q := range pool.prefixes {
		if used(q) != q {
			p.note("of the clients %v only %v is used, %d addresses", q, used(q), 1<<poolBits)
		}
	}
	exclude := func(a netip.Addr, what string) {
		if a.IsValid() && pool.Exclude(a) {
			p.note("the clients' address %v is left out: it is %s", a, what)
		}
	}
	for _, t := range c.Transfers {
		exclude(t.Target.Addr(), "a target's own")
		exclude(t.Online.Addr(), "an online address")
	}
	for _, i := range c.Intercepts {
		exclude(i.Addr(), "an intercept's own")
	}
	for _, t := range c.Transfers {
		if a := t.Target.Addr(); pool.count(a.Is4()) == 0 {
			return p.errorf("session.clients", "%v has no %s address left for the clients of target %v; add some", pool, family(a), t.Target)
		}
	}
	c.Clients = pool
	return nil
}

// addrPorts are the ports that sessions get at an address: those from 1024, as
// package flow gives them out.
const addrPorts = 1<<16 - 1024

// finishCopies refuses more copies of a session than there can be: one worker
// makes all of them, and the workers share the ports and the sessions.
func (c *rawTcpcopy) finishCopies(p *parser) error {
	if c.Copies == 1 {
		return nil
	}
	if c.Clients == nil {
		p.note("-n %d without -c: the copies of a session differ by their port only", c.Copies)
	}
	workers := c.WorkerCount()
	if c.Copies > c.MaxSessions/workers {
		return p.errorf("session.copies", "%d copies of a session do not fit: each of %d workers has %d of the %d sessions at a time; raise session.max_sessions or session.memory, or use fewer workers", c.Copies, workers, c.MaxSessions/workers, c.MaxSessions)
	}
	for _, t := range c.Transfers {
		addrs := 1
		if c.Clients != nil {
			addrs = c.Clients.count(t.Target.Addr().Is4())
		}
		if most := addrs * addrPorts / workers; c.Copies > most {
			return p.errorf("session.copies", "%d copies of a session do not fit: %d workers and %d addresses leave %d endpoints for them at target %v; give -c more addresses, or use fewer workers", c.Copies, workers, addrs, most, t.Target)
		}
	}
	return nil
}

// checkFamilies refuses what needs a pool: clients of one family cannot talk
// to a target of the other with their own addresses.
func (c *rawTcpcopy) checkFamilies(p *parser) error {
	loopback := !c.LoopbackClient.IsValid()
	for _, t := range c.Transfers {
		online, target := t.Online.Addr(), t.Target.Addr()
		if online.IsValid() && online.Is4() != target.Is4() {
			return p.errorf("transfer", "%v copies %s clients to an %s target; give them %s addresses with -c", t, family(online), family(target), family(target))
		}
		loopback = loopback || c.LoopbackClient.Is4() == target.Is4()
	}
	if !loopback {
		return p.errorf("session.loopback_client", "%v is %s and no target is; name an address of the target's family", c.LoopbackClient, family(c.LoopbackClient))
	}
	return nil
}
