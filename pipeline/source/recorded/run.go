package recorded

import (
	"context"
	"errors"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/recording"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
)

// Run replays the recordings, and waits until their last sessions are over, or
// ctx is done.
func (r *Replay) Run(ctx context.Context, host source.Host) error {
	r.wake = host.Wake
	if err := host.AwaitReplies(ctx); err != nil {
		r.files.Close()
		return err
	}
	r.began = time.Now()
	stop := make(chan struct{})
	replayed := make(chan error, 1)
	go func() { replayed <- r.read(stop) }()
	t := time.NewTicker(progressEvery)
	defer t.Stop()
	ending := false
	logged, moved := time.Now(), time.Now()
	var last uint64
	for {
		select {
		case <-ctx.Done():
			r.interrupted = true
			close(stop)
			select {
			case <-replayed:
			case <-time.After(2 * longestNap): // it waits for standard input
			}
			return nil
		case err := <-replayed:
			if err != nil {
				return err
			}
			ending, replayed = true, nil
			moved = time.Now()
			t.Reset(progressEvery / 10)
		case <-t.C:
		}
		g := r.progress(host)
		host.Progress(g)
		if now := time.Now(); now.Sub(logged) >= source.SummaryEvery {
			logged = now
			r.log.Info("replaying", g.Attrs()...)
		}
		if !ending {
			continue
		}
		left, steps := r.remaining(host)
		if steps != last || r.queued() > 0 {
			last, moved = steps, time.Now()
		}
		if left == 0 || time.Since(moved) > host.Patience() {
			return nil
		}
	}
}

// remaining is how many packets and sessions are not over, and a number that grows
// while anything happens to them.
func (r *Replay) remaining(host source.Host) (n int, steps uint64) {
	n = r.queued() // before the sessions: a packet that leaves the queue meanwhile is in its session then
	n += host.Sessions()
	c := host.Totals()
	s := &c.Session
	steps = s.Delivered + s.TurnsCopied + s.TurnsUnanswered + s.TurnsLost + s.Established
	for _, closed := range s.Closed {
		steps += closed
	}
	return n, steps
}

// queued is how many packets wait for their time.
func (r *Replay) queued() (n int) {
	for _, s := range r.sources {
		n += s.queue.Len()
	}
	return n
}

// progress says how far the replay is.
func (r *Replay) progress(host source.Host) recording.Progress {
	c := host.Totals()
	s := &c.Session
	read, size := r.files.Position()
	return recording.Progress{
		Read: read, Size: size,
		Run: int(r.runs.Load()), Runs: r.conf.Replay.Times,
		Elapsed: time.Since(r.began), Recorded: r.recorded(),
		Sessions: c.Live(), Begun: c.Clients, Turns: s.TurnsCopied, Reproduced: s.Reproduced(),
	}
}

// Prepare refuses what cannot change while a replay runs.
func (r *Replay) Prepare(_ *match.Matcher, now, next *conf.Tcpcopy) (commit func() error, err error) {
	if !conf.SameTransfers(now.Transfers, next.Transfers) {
		return nil, errors.New("transfer: those of a replay do not change while it runs; restart it")
	}
	return func() error { return nil }, nil
}

// Err is nil: what is wrong with a recording Run returns.
func (r *Replay) Err() error { return nil }

// Lost is 0: the kernel loses nothing of a recording.
func (r *Replay) Lost() uint64 { return 0 }

// Close closes the recordings.
func (r *Replay) Close() { r.files.Close() }
