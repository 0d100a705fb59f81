package pipeline

import (
	"fmt"
	"math"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// Beat returns when every worker has come round once more, or has ended.
func (p *Pipeline) Beat() {
	for _, w := range p.workers {
		w.do(func() {})
	}
}

// Status is the outcome so far, on one line.
func (p *Pipeline) Status() string {
	c := p.Totals()
	copied := "no turns yet"
	if s := &c.Session; s.TurnsCopied+s.TurnsUnanswered+s.TurnsLost > 0 {
		copied = fmt.Sprintf("%.2f %% of the turns copied", math.Floor(1e4*c.Session.Reproduced())/100) // 100 is all of them
	}
	return fmt.Sprintf("%d sessions, %s, %d of %d intercepts linked", c.live(), copied, p.linksUp(), len(p.now.Load().links))
}

// live is how many sessions there are towards targets.
func (c *Counters) live() (n uint64) {
	for st, k := range c.Sessions {
		if session.State(st) != session.Watching {
			n += k
		}
	}
	return n
}

// linksUp is how many intercepts there is an open connection to.
func (p *Pipeline) linksUp() (n int) {
	for _, l := range p.now.Load().links {
		if l.Stats().Up > 0 {
			n++
		}
	}
	return n
}
