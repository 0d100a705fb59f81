package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/replay"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

const (
	// progressEvery is how often OnProgress is called.
	progressEvery = 500 * time.Millisecond
	// linksWithin is how long a replay waits for its intercepts.
	linksWithin = 30 * time.Second
)

// replay replays the recordings, and waits until their last sessions are over.
func (p *Pipeline) replay(ctx context.Context) error {
	r := p.replayer
	r.began = time.Now()
	if err := p.awaitLinks(ctx); err != nil {
		r.files.Close()
		return err
	}
	r.began = time.Now()
	stop := make(chan struct{})
	replayed := make(chan error, 1)
	go func() { replayed <- r.run(stop) }()
	t := time.NewTicker(progressEvery)
	defer t.Stop()
	ending := false
	lines, moved := time.Now(), time.Now()
	var last uint64
	for {
		select {
		case <-ctx.Done():
			r.interrupted = true
			close(stop)
			select {
			case <-replayed:
			case <-time.After(2 * longest): // it waits for standard input
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
		if now := time.Now(); now.Sub(lines) >= summaryEvery {
			lines = now
			p.logProgress()
		}
		if p.OnProgress != nil {
			p.OnProgress(p.Progress())
		}
		if !ending {
			continue
		}
		left, steps := p.left()
		if steps != last || p.queued() > 0 {
			last, moved = steps, time.Now()
		}
		if left == 0 || time.Since(moved) > p.now.Load().cfg.NoResponseTimeout {
			return nil
		}
	}
}

// awaitLinks waits until each intercept can bring replies, so that none of the
// first is lost.
func (p *Pipeline) awaitLinks(ctx context.Context) error {
	for end := time.Now().Add(linksWithin); ; {
		missing := ""
		for _, l := range p.now.Load().links {
			if l.Stats().Up == 0 {
				missing = l.addr.String()
			}
		}
		if missing == "" || ctx.Err() != nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no link to intercept %s within %v: start it there, or leave -s out and route the replies to this host", missing, linksWithin)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// left is how many sessions are not over, and a number that grows while
// anything happens to them.
func (p *Pipeline) left() (n int, steps uint64) {
	n = p.queued() // first: what leaves the queue meanwhile has a session
	for _, w := range p.workers {
		w.do(func() { n += w.slab.Len() })
	}
	c := p.Totals()
	s := &c.Session
	steps = s.Delivered + s.TurnsCopied + s.TurnsUnanswered + s.TurnsLost + s.Established
	for _, closed := range s.Closed {
		steps += closed
	}
	return n, steps
}

// queued is how many packets wait for their time.
func (p *Pipeline) queued() (n int) {
	for _, w := range p.workers {
		n += w.feed.queue.Len()
	}
	return n
}

// Progress says how far a replay is.
func (p *Pipeline) Progress() replay.Progress {
	r, c := p.replayer, p.Totals()
	s := &c.Session
	read, size := r.files.Position()
	return replay.Progress{
		Read: read, Size: size,
		Run: int(r.runs.Load()), Runs: r.conf.Times,
		Elapsed: time.Since(r.began), Recorded: r.recorded(),
		Sessions: c.live(), Begun: c.Clients, Turns: s.TurnsCopied, Reproduced: s.Reproduced(),
	}
}

func (p *Pipeline) logProgress() {
	g := p.Progress()
	p.log.Info("replaying", g.Attrs()...)
}

// fromTheRecording are reasons that say nothing of the target or of tcpcopy:
// what was recorded could not be replayed.
var fromTheRecording = []session.Reason{session.Finished, session.Midstream, session.ClientSilent, session.TLS, session.SSH}

// conclude writes the report, and returns in a line what did not complete, if
// anything.
func (p *Pipeline) conclude(err error) error {
	report := p.report()
	if err == nil {
		err = p.verdict(&report)
	}
	if err != nil {
		report.Problem = err.Error()
	}
	report.Complete = err == nil
	if path := p.cfg.Replay.Report; path != "" {
		if werr := report.Write(path); werr != nil {
			return errors.Join(err, werr)
		}
	}
	return err
}

// verdict says what did not complete.
func (p *Pipeline) verdict(report *replay.Report) error {
	r := p.replayer
	files := strings.Join(p.cfg.Replay.Files, ",")
	switch {
	case r.worst.Load() != nil:
		return r.worst.Load()
	case report.Packets.Matching == 0 && !r.interrupted:
		return &pcapfile.Error{Path: files, Err: fmt.Errorf("no packet belongs to %v: `tcpcopy pcap-info` shows what is there", p.cfg.Transfers)}
	}
	var faults []string
	fault := func(n uint64, what string) {
		if n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", n, what))
		}
	}
	c := p.Totals()
	for i, n := range c.Session.Closed {
		reason := session.Reason(i)
		if !slices.Contains(fromTheRecording, reason) && !(r.interrupted && reason == session.Shutdown) {
			fault(n, "sessions "+reason.String())
		}
	}
	for _, d := range []PacketDrop{ShedSessions, ShedMemory, HandoverFull} {
		fault(c.Dropped[d], "packets "+d.String())
	}
	fault(c.Session.TurnsUnanswered, "requests unanswered")
	fault(c.Session.TurnsLost, "requests lost")
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("not everything was replayed: %s (docs/metrics.md explains the reasons)", strings.Join(faults, ", "))
}

func (p *Pipeline) report() replay.Report {
	r, c := p.replayer, p.Totals()
	s := &c.Session
	report := replay.Report{
		Files: p.cfg.Replay.Files, Speed: replay.Speed(p.cfg.Replay.Speed),
		Runs: int(r.runs.Load()), Broken: int(r.broken.Load()), Interrupted: r.interrupted,
		Seconds: time.Since(r.began).Seconds(), RecordedSeconds: r.recorded().Seconds(),
		StalledSeconds: time.Duration(r.stalled.Load()).Seconds(),
	}
	report.Packets.Read = c.Captured
	for _, n := range c.Matched {
		report.Packets.Matching += n
	}
	report.Packets.Dropped = map[string]uint64{}
	for d, n := range c.Dropped {
		if n > 0 {
			report.Packets.Dropped[PacketDrop(d).String()] = n
		}
	}
	report.Sessions.Begun, report.Sessions.Midstream = c.Clients, s.Midstream
	report.Sessions.Ended = byReason(&s.Closed)
	report.Turns.Copied, report.Turns.Unanswered, report.Turns.Lost = s.TurnsCopied, s.TurnsUnanswered, s.TurnsLost
	report.Turns.Reproduced = s.Reproduced()
	report.Payload.Accepted, report.Payload.Delivered = s.Accepted, s.Delivered
	report.Payload.Dropped = byReason(&s.Dropped)
	if !math.IsInf(p.cfg.Replay.Speed, 1) {
		report.Lateness = &replay.Lateness{
			P50: c.Late.Quantile(0.5).Seconds(), P99: c.Late.Quantile(0.99).Seconds(), Max: c.Late.Quantile(1).Seconds(),
		}
	}
	return report
}

func byReason(counts *[session.NumReasons]uint64) map[string]uint64 {
	m := map[string]uint64{}
	for r, n := range counts {
		if n > 0 {
			m[session.Reason(r).String()] = n
		}
	}
	return m
}
