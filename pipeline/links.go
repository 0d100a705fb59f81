package pipeline

import (
	"context"
	"crypto/rand"
	"net/netip"

	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
)

// linked is an intercept with the links to it.
type linked struct {
	*link.Client
	addr  netip.AddrPort
	stop  func() // ends the links; set while they run
	ended chan struct{}
}

// openLinks makes the links to all intercepts. A reply may come through any of
// them.
func (p *Pipeline) openLinks() error {
	if _, err := rand.Read(p.instance[:]); err != nil {
		return err
	}
	p.haste.tell = func(on bool) {
		for _, l := range p.now.Load().links {
			l.SetUrgent(on)
		}
	}
	for _, w := range p.workers {
		w.haste = &p.haste
		w.take = w.takeBatch
		w.replies = make([]*queue.SPSC[packet.Reply], len(p.workers))
		for k := range w.replies {
			if k != w.index {
				w.replies[k] = queue.New[packet.Reply](repliesLen)
			}
		}
	}
	now := p.now.Load()
	for _, addr := range p.cfg.Intercepts {
		l, err := p.newLink(addr)
		if err != nil {
			return err
		}
		now.links = append(now.links, l)
	}
	if p.cfg.Clients == nil {
		for _, w := range p.workers {
			w.claimAt(now.links)
		}
	}
	return nil
}

func (p *Pipeline) newLink(addr netip.AddrPort) (*linked, error) {
	conns := p.cfg.ConnsPerIntercept
	if conns == 0 {
		conns = min(len(p.workers), link.MaxConns)
	}
	l := &linked{addr: addr}
	c := link.ClientConfig{
		Addr: addr, Name: p.cfg.Name, Instance: p.instance, Secret: p.cfg.Secret, Conns: conns, Logger: p.log,
		OnOpen: func(conn int, in *link.Inlet) {
			w := p.workers[conn%len(p.workers)]
			w.do(func() { w.open(in) })
		},
	}
	if p.cfg.Clients != nil {
		c.Claims = p.cfg.Clients.Prefixes()
	} else {
		c.LiveFlows = p.liveFlows
	}
	var err error
	l.Client, err = link.NewClient(c)
	return l, err
}

// open makes w the owner of an inlet.
func (w *worker) open(in *link.Inlet) {
	w.inlets = append(w.inlets, in)
	w.thread.Load().poller.Watch(in.FD())
}

// claimAt has the worker tell ls of the endpoints that come and go.
func (w *worker) claimAt(ls []*linked) {
	var cs claimers
	for _, l := range ls {
		cs = append(cs, l.Client)
	}
	w.flows = cs
}

// start keeps the links to an intercept up.
func (p *Pipeline) start(l *linked) {
	var ctx context.Context
	ctx, l.stop = context.WithCancel(p.linkTime)
	l.ended = make(chan struct{})
	p.linking.Go(func() {
		defer close(l.ended)
		l.Run(ctx)
	})
}

// liveFlows yields the endpoints in use. It waits for the workers, one after
// another.
func (p *Pipeline) liveFlows(yield func(packet.Endpoint)) {
	var es []packet.Endpoint
	for _, w := range p.workers {
		w.do(func() { es = w.liveFlows(es) })
	}
	for _, e := range es {
		yield(e)
	}
}

// claimers are all links as one.
type claimers []*link.Client

func (cs claimers) AddFlows(es []packet.Endpoint) {
	for _, c := range cs {
		c.AddFlows(es)
	}
}

func (cs claimers) DelFlows(es []packet.Endpoint) {
	for _, c := range cs {
		c.DelFlows(es)
	}
}
