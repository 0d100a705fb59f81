package pipeline

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/worker"
)

// Totals is the sum of all workers' counters, and of those beside them.
func (p *Pipeline) Totals() (c account.Counters) {
	p.clients.AddTo(&c)
	p.targets.AddTo(&c)
	for _, w := range p.workers {
		w.AddTo(&c)
	}
	return c
}

// Beat returns when every worker has come round once more, or has ended.
func (p *Pipeline) Beat() {
	p.each(func(*worker.Worker) {})
}

// Ready tells why nothing is copied at present, where that is known: nothing is
// captured.
func (p *Pipeline) Ready() error { return errors.Join(p.clients.Err(), p.targets.Err()) }

// Status is the outcome so far, on one line.
func (p *Pipeline) Status() string {
	c := p.Totals()
	return fmt.Sprintf("%d sessions, %s, %s", c.Live(), c.Outcome(), p.targets.Status())
}

func (p *Pipeline) logSummary(msg string) {
	c, lost := p.Totals(), p.clients.Lost()
	p.losses.Warn(p.log, lost, &c)
	p.log.Info(msg, c.Attrs(lost, p.threads.SendErrors(), append(p.targets.Attrs(), p.clients.Attrs(&c)...)...)...)
}

// A scrape reads what the workers published and never waits for them.
var _ prometheus.Collector = (*Pipeline)(nil)

// Describe implements prometheus.Collector.
func (p *Pipeline) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(p, ch) }

// Collect implements prometheus.Collector.
func (p *Pipeline) Collect(ch chan<- prometheus.Metric) {
	c, now, m := p.Totals(), p.now.Load(), account.Metrics(ch)
	account.Collect(m, account.Totals{Counters: &c, Transfers: now.matcher.Names(), Copies: now.conf.Copies})
	p.threads.Collect(m)
	p.clients.Collect(m, &c)
	p.targets.Collect(m)
	worker.Collect(m, p.workers)
}
