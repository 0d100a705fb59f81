package pipeline

import (
	"errors"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/worker"
)

// Reload makes the transfers, intercepts and limits those of next, whose other
// settings are as they were. Running sessions go on, those of a transfer that
// next has not run to their end, and no packet is lost meanwhile. On an error
// nothing has changed.
func (p *Pipeline) Reload(next *conf.Tcpcopy) error {
	<-p.running
	p.changing.Lock()
	defer p.changing.Unlock()
	if p.ending {
		return errors.New("tcpcopy is ending")
	}
	p.prune()
	now := p.now.Load()
	cfg := *next
	cfg.Clients = now.conf.Clients // the workers' own
	if err := now.conf.Clients.RefuseHosts(next); err != nil {
		return err
	}
	reply, err := p.targets.Prepare(now.conf, &cfg)
	if err != nil {
		return err
	}
	m, err := now.matcher.With(&cfg)
	if err != nil {
		return err
	}
	take, err := p.clients.Prepare(m, now.conf, &cfg)
	if err != nil {
		return err
	}
	undo, err := p.hops.Give(m)
	if err != nil {
		return err
	}
	if err := take(); err != nil {
		undo()
		return err
	}
	// From here on nothing fails. A packet that the new filter let in before its
	// worker knew of it is one from before the reload.
	p.change(&state{&cfg, m})
	reply()
	return nil
}

// change makes next that of all workers.
func (p *Pipeline) change(next *state) {
	p.each(func(w *worker.Worker) { w.Configure(next.matcher, next.conf) })
	p.now.Store(next)
}

// prune ends the capture for transfers that were removed, once their last
// session is over. changing is held.
func (p *Pipeline) prune() {
	now := p.now.Load()
	var over []int
	for _, i := range now.matcher.Leaving() {
		sessions := 0
		p.each(func(w *worker.Worker) { sessions += w.LenOf(i) })
		if sessions == 0 {
			p.log.Info("the last session of a removed transfer is over", "transfer", now.matcher.Transfers[i].Conf.String())
			over = append(over, i)
		}
	}
	if over == nil {
		return
	}
	m := now.matcher.Without(over)
	take, err := p.clients.Prepare(m, now.conf, now.conf)
	if err == nil {
		err = take()
	}
	if err != nil {
		p.log.Error("a removed transfer is captured still", "error", err)
		return
	}
	p.change(&state{now.conf, m})
	p.hops.Prune(now.matcher, m)
}
