package pipeline

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// state is what a reload replaces, as a whole.
type state struct {
	cfg   *conf.Tcpcopy
	set   *settings
	links []*linked // none: replies come to this host
}

// Reload makes the transfers, intercepts and limits those of next, whose other
// settings are as they were. Running sessions go on, those of a transfer that
// next has not run to their end, and no packet is lost meanwhile. On an error
// nothing has changed.
func (p *Pipeline) Reload(next *conf.Tcpcopy) error {
	<-p.running
	p.changing.Lock()
	defer p.changing.Unlock()
	now := p.now.Load()
	if p.ending {
		return errors.New("tcpcopy is ending")
	}
	if err := p.refuse(now, next); err != nil {
		return err
	}
	cfg := *next
	cfg.Clients = now.cfg.Clients // the workers' own
	links, err := p.relink(now.links, cfg.Intercepts)
	if err != nil {
		return err
	}
	set := *now.set
	set.session = sessionConfig(&cfg)
	set.matcher = set.matcher.with(&cfg)
	if err := p.findHops(&set.matcher); err != nil {
		return err
	}
	program, err := p.program(&set.matcher)
	if err != nil {
		return err
	}
	// The workers first: what a filter lets in is known to them.
	p.change(&set, &cfg)
	if err := p.setFilter(program); err != nil {
		// What began meanwhile runs to its end.
		back := *now.set
		back.matcher = set.matcher.with(now.cfg)
		p.change(&back, now.cfg)
		p.now.Store(&state{now.cfg, &back, now.links})
		return err
	}
	p.now.Store(&state{&cfg, &set, links})
	p.exchange(now.links, links)
	return nil
}

// refuse tells what of next a running pipeline cannot take on.
func (p *Pipeline) refuse(now *state, next *conf.Tcpcopy) error {
	moved := !slices.EqualFunc(now.cfg.Transfers, next.Transfers, func(a, b conf.Transfer) bool { return a.String() == b.String() })
	switch {
	case moved && p.replayer != nil:
		return errors.New("transfer: those of a replay do not change while it runs; restart it")
	case (len(next.Intercepts) == 0) != (p.home != nil):
		return errors.New("intercept: replies come by intercepts or to this host, which does not change without a restart")
	case moved && p.home != nil:
		return errors.New("transfer: replies are captured on this host, for the targets of the start only; restart it")
	}
	if now.cfg.Clients == nil {
		return nil
	}
	var hosts []netip.Addr
	for _, t := range next.Transfers {
		hosts = append(hosts, t.Target.Addr(), t.Online.Addr())
	}
	for _, a := range next.Intercepts {
		hosts = append(hosts, a.Addr())
	}
	pool := append(now.cfg.Clients.Addrs4(), now.cfg.Clients.Addrs6()...)
	for _, a := range hosts {
		if slices.Contains(pool, a) {
			return fmt.Errorf("session.clients: copies have the address %v, which is a host's now; restart, or take another host", a)
		}
	}
	return nil
}

// change gives all workers other settings.
func (p *Pipeline) change(set *settings, cfg *conf.Tcpcopy) {
	for _, w := range p.workers {
		w.do(func() {
			w.set = set
			w.limit(set, cfg, len(p.workers))
			w.admission.reconfigure(cfg, len(p.workers), w.now)
		})
	}
}

// setFilter replaces the filter of all rings.
func (p *Pipeline) setFilter(program []bpf.RawInstruction) error {
	for _, c := range p.captures {
		for _, r := range c.rings {
			if err := r.SetFilter(program); err != nil {
				return err
			}
		}
	}
	return nil
}

// relink returns links to the intercepts at addrs: of those in old where there
// are, and others, which do not run yet.
func (p *Pipeline) relink(old []*linked, addrs []netip.AddrPort) (links []*linked, err error) {
	for _, a := range addrs {
		i := slices.IndexFunc(old, func(l *linked) bool { return l.addr == a })
		if i >= 0 {
			links = append(links, old[i])
			continue
		}
		l, err := p.newLink(a)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

// exchange starts the links in which links differs from old, and ends the
// others. What these still brought the workers read to its end.
func (p *Pipeline) exchange(old, links []*linked) {
	give := func(ls []*linked) {
		if p.cfg.Clients != nil {
			return
		}
		for _, w := range p.workers {
			w.do(func() { w.claimAt(ls) })
		}
	}
	all := slices.Clone(old)
	for _, l := range links {
		if !slices.Contains(old, l) {
			all = append(all, l)
		}
	}
	give(all)
	for _, l := range all[len(old):] {
		l.SetUrgent(p.haste.hurrying())
		p.start(l)
	}
	for _, l := range old {
		if !slices.Contains(links, l) {
			l.stop()
			<-l.ended
		}
	}
	give(links)
}

// prune ends the capture for transfers that were removed, once their last
// session is over.
func (p *Pipeline) prune() {
	p.changing.Lock()
	defer p.changing.Unlock()
	now := p.now.Load()
	set := *now.set
	m := &set.matcher
	m.transfers = slices.Clone(m.transfers)
	var over []*ring.Hop
	for i := range m.transfers {
		t := &m.transfers[i]
		if !t.leaving || t.hop == nil || p.sessionsOf(i) > 0 {
			continue
		}
		p.log.Info("the last session of a removed transfer is over", "transfer", t.conf.String())
		over = append(over, t.hop)
		t.hop = nil
		m.order = slices.DeleteFunc(slices.Clone(m.order), func(k int) bool { return k == i })
	}
	if over == nil {
		return
	}
	program, err := p.program(m)
	if err == nil {
		err = p.setFilter(program)
	}
	if err != nil {
		p.log.Error("a removed transfer is captured still", "err", err)
		return
	}
	for _, w := range p.workers {
		w.do(func() { w.set = &set })
	}
	p.now.Store(&state{now.cfg, &set, now.links})
	for _, h := range over {
		if !slices.ContainsFunc(m.transfers, func(t transfer) bool { return t.hop == h }) {
			p.hops.Remove(h)
		}
	}
}

// sessionsOf is how many sessions a transfer has.
func (p *Pipeline) sessionsOf(transfer int) (n int) {
	for _, w := range p.workers {
		w.do(func() { n += w.sessionsOf[transfer] })
	}
	return n
}
