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
	addr   netip.AddrPort
	queues [][]*queue.SPSC[packet.Reply] // by connection and worker
	stop   func()                        // ends the links; set while they run
	ended  chan struct{}
}

// openLinks makes the links to all intercepts. A reply may come through any of
// them.
func (p *Pipeline) openLinks() error {
	if _, err := rand.Read(p.instance[:]); err != nil {
		return err
	}
	now := p.now.Load()
	for _, addr := range p.cfg.Intercepts {
		l, err := p.newLink(addr)
		if err != nil {
			return err
		}
		now.links = append(now.links, l)
	}
	for _, w := range p.workers {
		w.link(now.links, p.cfg.Clients == nil)
	}
	return nil
}

func (p *Pipeline) newLink(addr netip.AddrPort) (*linked, error) {
	conns := p.cfg.ConnsPerIntercept
	l := &linked{addr: addr, queues: make([][]*queue.SPSC[packet.Reply], conns)}
	for c := range l.queues {
		for range p.workers {
			l.queues[c] = append(l.queues[c], queue.New[packet.Reply](repliesLen))
		}
	}
	c := link.ClientConfig{
		Addr: addr, Name: p.cfg.Name, Instance: p.instance, Secret: p.cfg.Secret, Conns: conns, Logger: p.log,
		OnReplies: func(conn int, batch []packet.Reply) { p.replies(l.queues[conn], batch) },
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

// link makes ls the links of the worker; those that claim flows hear of them.
func (w *worker) link(ls []*linked, claim bool) {
	w.replies = nil
	var cs claimers
	for _, l := range ls {
		cs = append(cs, l.Client)
		for _, q := range l.queues {
			w.replies = append(w.replies, q[w.index])
		}
	}
	if claim {
		w.flows = cs
	}
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

// replies gives a batch to the workers that own the sessions and wakes each of
// them once.
func (p *Pipeline) replies(queues []*queue.SPSC[packet.Reply], batch []packet.Reply) {
	var touched uint64
	for i := range batch {
		k := packet.Shard(batch[i].Dst.Port, len(queues))
		if queues[k].Push(batch[i]) == 0 {
			p.repliesLost.Add(1)
		}
		touched |= 1 << (k % 64)
	}
	for k, w := range p.workers {
		if touched&(1<<(k%64)) != 0 {
			w.poller.Wake()
		}
	}
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
