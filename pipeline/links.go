package pipeline

import (
	"crypto/rand"

	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/queue"
)

// openLinks makes the links to all intercepts. A reply may come through any of
// them.
func (p *Pipeline) openLinks() error {
	var instance [16]byte
	if _, err := rand.Read(instance[:]); err != nil {
		return err
	}
	for _, addr := range p.cfg.Intercepts {
		conns := p.cfg.ConnsPerIntercept
		queues := make([][]*queue.SPSC[packet.Reply], conns) // by connection and worker
		for c := range queues {
			for _, w := range p.workers {
				q := queue.New[packet.Reply](repliesLen)
				queues[c] = append(queues[c], q)
				w.replies = append(w.replies, q)
			}
		}
		c := link.ClientConfig{
			Addr: addr, Name: p.cfg.Name, Instance: instance, Secret: p.cfg.Secret, Conns: conns, Logger: p.log,
			OnReplies: func(conn int, batch []packet.Reply) { p.replies(queues[conn], batch) },
		}
		if p.cfg.Clients != nil {
			c.Claims = p.cfg.Clients.Prefixes()
		} else {
			c.LiveFlows = p.liveFlows
		}
		l, err := link.NewClient(c)
		if err != nil {
			return err
		}
		p.links = append(p.links, l)
	}
	if p.cfg.Clients == nil {
		for _, w := range p.workers {
			w.flows = claimers(p.links)
		}
	}
	return nil
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
