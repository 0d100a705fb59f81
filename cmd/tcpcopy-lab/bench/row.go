package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// A row is something to measure.
type row struct {
	name            string
	load            load.Config
	offload         bool   // of every wire
	threadedReceive bool   // receivers' work is not the senders'
	speed           string // of a recording of the load; none: the load is copied as it comes
	alone           bool   // measure production without a copy, too
	padding         [2]int // bytes that production's and the target's answers are longer
	measure         func(context.Context, row, *testbed.Testbed, *pair) (Values, error)
}

var rows = []row{
	{name: "keep-alive 2000/s", load: load.Config{Conns: 100, Rate: 2000}, measure: cost},
	{name: "keep-alive 5000/s", load: load.Config{Conns: 100, Rate: 5000}, measure: cost},
	{name: "keep-alive 10000/s", load: load.Config{Conns: 100, Rate: 10_000}, alone: true, measure: cost},
	{name: "keep-alive 20000/s", load: load.Config{Conns: 100, Rate: 20_000}, measure: cost},
	{name: "short 1000/s", load: load.Config{Conns: 100, Rate: 1000, Close: "server"}, measure: cost},
	{name: "short 3000/s", load: load.Config{Conns: 100, Rate: 3000, Close: "server"}, measure: cost},
	{name: "short 5000/s", load: load.Config{Conns: 100, Rate: 5000, Close: "server"}, measure: cost},
	{name: "POST 1 MB 50/s", load: load.Config{Conns: 10, Rate: 50, Post: 1 << 20}, offload: true, measure: cost},
	{name: "keep-alive 10000/s (receivers apart)", load: load.Config{Conns: 100, Rate: 10_000}, threadedReceive: true, measure: cost},
	{name: "short 3000/s (receivers apart)", load: load.Config{Conns: 100, Rate: 3000, Close: "server"}, threadedReceive: true, measure: cost},
	{name: "POST 1 MB 50/s (receivers apart)", load: load.Config{Conns: 10, Rate: 50, Post: 1 << 20}, offload: true, threadedReceive: true, measure: cost},
	{name: "closed loop 1", load: load.Config{Conns: 1}, measure: cost},
	{name: "closed loop 4", load: load.Config{Conns: 4}, measure: cost},
	{name: "closed loop 16", load: load.Config{Conns: 16}, measure: cost},
	{name: "closed loop 100", load: load.Config{Conns: 100}, measure: cost},
	{name: "closed loop 1000", load: load.Config{Conns: 1000}, measure: cost},
	{name: "closed loop 4000", load: load.Config{Conns: 4000}, measure: cost},
	{name: "closed loop 1 to answers of equal length", load: load.Config{Conns: 1}, padding: [2]int{300, 300}, measure: copyRate},
	{name: "closed loop 1 to answers 1 B shorter", load: load.Config{Conns: 1}, padding: [2]int{300, 299}, measure: copyRate},
	{name: "closed loop 1 to answers 19 B shorter", load: load.Config{Conns: 1}, padding: [2]int{300, 281}, measure: copyRate},
	{name: "closed loop 1 to answers half as long", load: load.Config{Conns: 1}, padding: [2]int{300, 69}, measure: copyRate},
	{name: "closed loop 1 to answers 1 B longer", load: load.Config{Conns: 1}, padding: [2]int{300, 301}, measure: copyRate},
	{name: "closed loop 1 to answers 19 B longer", load: load.Config{Conns: 1}, padding: [2]int{300, 319}, measure: copyRate},
	{name: "closed loop 1 to answers twice as long", load: load.Config{Conns: 1}, padding: [2]int{300, 763}, measure: copyRate},
	{name: "closed loop short", load: load.Config{Conns: 100, Close: "server"}, measure: cost},
	{name: "replay short 2000/s at 1x", load: load.Config{Conns: 1000, Rate: 2000, Close: "server"}, speed: "1"},
	{name: "replay short 2000/s at 10x", load: load.Config{Conns: 1000, Rate: 2000, Close: "server"}, speed: "10"},
	{name: "replay keep-alive 4000/s at 1x", load: load.Config{Conns: 200, Rate: 4000}, speed: "1"},
	{name: "replay keep-alive 4000/s at 10x", load: load.Config{Conns: 200, Rate: 4000}, speed: "10"},
	{name: "replay short 2000/s at 1x (receivers apart)", load: load.Config{Conns: 1000, Rate: 2000, Close: "server"}, threadedReceive: true, speed: "1"},
	{name: "replay keep-alive 4000/s at 1x (receivers apart)", load: load.Config{Conns: 200, Rate: 4000}, threadedReceive: true, speed: "1"},
	{name: "lag", load: load.Config{Conns: 100, Rate: 10_000}, measure: lag},
	{name: "idle", measure: idle},
	{name: "memory", load: load.Config{Conns: 10_000, Rate: 5000, Hold: true, Duration: time.Millisecond}, measure: memory},
}

// Rows are the names of what can be measured.
func Rows() (names []string) {
	for _, w := range rows {
		names = append(names, w.name)
	}
	return names
}

// settleTime is how long after a load's end its copies count.
const settleTime = 2 * time.Second

// cost is the processor time of a copied request.
func cost(ctx context.Context, w row, s *testbed.Testbed, p *pair) (Values, error) {
	var before, after [2]time.Duration
	var err error
	if p != nil {
		if before[0], before[1], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	report, err := runLoad(ctx, w, s)
	if err != nil {
		return nil, err
	}
	v := Values{Rate: report.Rate(), P50: float64(report.P50), P99: float64(report.P99)}
	if p == nil {
		return v, nil
	}
	time.Sleep(settleTime)
	if after[0], after[1], err = p.cpu(); err != nil {
		return nil, err
	}
	r, err := s.Judge(verdict.Rules{})
	if err != nil {
		return nil, err
	}
	v[Copied] = 100 * copiedOnce(r.Copy)
	copied := float64(max(1, r.Copy.Online-r.Copy.Missing))
	v[TcpcopyCPU] = (after[0] - before[0]).Seconds() * 1e6 / copied
	v[InterceptCPU] = (after[1] - before[1]).Seconds() * 1e6 / copied
	return v, nil
}

// copyRateAtMost is how long after a load's end its copies are waited for.
const copyRateAtMost = 10 * time.Second

// copyRate is how many requests of one connection the target gets in a second,
// while production answers as fast as it can.
func copyRate(ctx context.Context, w row, s *testbed.Testbed, _ *pair) (Values, error) {
	began := time.Now()
	report, err := runLoad(ctx, w, s)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(copyRateAtMost); s.TargetCount() < s.OnlineCount() && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
	copied := float64(s.TargetCount())
	return Values{
		Rate: report.Rate(), Copied: 100 * copied / float64(max(1, s.OnlineCount())),
		CopyRate: copied / time.Since(began).Seconds(),
	}, ctx.Err()
}

// copiedOnce is the share of production's requests that were copied exactly once.
func copiedOnce(r *verdict.Result) float64 {
	return float64(r.Online-r.Missing-r.Duplicated) / float64(max(1, r.Online))
}

func runLoad(ctx context.Context, w row, s *testbed.Testbed) (*load.Report, error) {
	l, err := s.Load(w.load, nil)
	if err != nil {
		return nil, err
	}
	return l.Wait(ctx)
}

// idle is what the pair takes while there is nothing to copy, in percent of a
// processor.
func idle(ctx context.Context, w row, _ *testbed.Testbed, p *pair) (Values, error) {
	var before, after [2]time.Duration
	var err error
	if before[0], before[1], err = p.cpu(); err != nil {
		return nil, err
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(w.load.Duration):
	}
	percent := 100 / float64(time.Since(began))
	after[0], after[1], err = p.cpu()
	return Values{
		TcpcopyIdle:   float64(after[0]-before[0]) * percent,
		InterceptIdle: float64(after[1]-before[1]) * percent,
	}, err
}

// memory is what a session takes while nothing happens on it.
func memory(ctx context.Context, w row, s *testbed.Testbed, p *pair) (Values, error) {
	// What a first load brings is not the sessions'.
	warm := row{load: load.Config{Conns: 50, Rate: 1000, Duration: time.Second, Close: "server"}}
	if _, err := runLoad(ctx, warm, s); err != nil {
		return nil, err
	}
	time.Sleep(settleTime)
	var before, after [2]int64
	var err error
	if before[0], before[1], err = p.memory(); err != nil {
		return nil, err
	}
	s.Forget()
	l, err := s.Load(w.load, nil)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.Held:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("%d connections did not open", w.load.Conns)
	}
	time.Sleep(settleTime)
	if after[0], after[1], err = p.memory(); err != nil {
		return nil, err
	}
	copied := float64(max(1, s.TargetCount()))
	v := Values{
		Copied:          100 * copied / float64(w.load.Conns),
		TcpcopyMemory:   float64(after[0]-before[0]) / copied,
		InterceptMemory: float64(after[1]-before[1]) / copied,
	}
	if err := l.GoOn(); err != nil {
		return nil, err
	}
	_, err = l.Wait(ctx)
	return v, err
}
