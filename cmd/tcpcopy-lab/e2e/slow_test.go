package e2e

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// An application works on each request for a while and remembers which ones it
// finished for a client that was still there.
type application struct {
	work time.Duration
	mu   sync.Mutex
	done []string
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := "finished "
	select {
	case <-time.After(a.work):
	case <-r.Context().Done():
		what = "left alone with "
	}
	a.mu.Lock()
	a.done = append(a.done, what+r.URL.Path)
	a.mu.Unlock()
	fmt.Fprintln(w, "done")
}

func (a *application) serve(ln net.Listener) error { return http.Serve(ln, a) }

func (a *application) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := slices.Clone(a.done)
	slices.Sort(lines)
	return lines
}

// A client would have waited for its answer, so its copy does: the target
// works on each request once, one after the other on each connection, and
// nobody leaves while it does.
func TestATargetThatNeedsTwelveSecondsForAnAnswerGetsThemAll(t *testing.T) {
	const conns, requests = 4, 2
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Port: conversationPort})
	online, target := &application{work: 50 * time.Millisecond}, &application{work: 12 * time.Second}
	p.listen(p.Online[0].Host, online.serve)
	p.listen(p.Target[0].Host, target.serve)
	p.copy()
	var g errgroup.Group
	for i := range conns {
		g.Go(func() error {
			return overHTTP(p.dial, func(hc *http.Client) error {
				for n := range requests {
					if _, err := answer(hc.Get(fmt.Sprintf("http://lab/%d/%d", i, n))); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	p.must(g.Wait())
	for end := time.Now().Add(requests*target.work + 5*time.Second); time.Now().Before(end) && len(target.all()) < conns*requests; {
		time.Sleep(100 * time.Millisecond)
	}
	p.wantSame(online.all, target.all)
	if n, err := p.Target[0].Host.Accepted(); err != nil || n != conns {
		p.Errorf("%d connections at the target, %v; want %d", n, err, conns)
	}
	m, err := p.Copiers[0].Metrics()
	p.must(err)
	if turns := m.By("tcpcopy_turns_total", "result"); turns["copied"] != conns*requests || turns["lost"]+turns["unanswered"] > 0 {
		p.Errorf("tcpcopy counts %v, want %d turns copied", turns, conns*requests)
	}
	p.end()
}
