package recorded

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/recording"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

// fromTheRecording are reasons that say nothing of the target or of tcpcopy:
// what was recorded could not be replayed.
var fromTheRecording = []session.Reason{session.Finished, session.Midstream, session.ClientSilent, session.TLS, session.SSH}

// Conclude writes the report, and returns in a line what did not complete, if
// anything.
func (r *Replay) Conclude(err error, c *account.Counters) error {
	report := r.report(c)
	if err == nil {
		err = r.verdict(&report, c)
	}
	if err != nil {
		report.Problem = err.Error()
	}
	report.Complete = err == nil
	if path := r.conf.Replay.Report; path != "" {
		if werr := report.Write(path); werr != nil {
			return errors.Join(err, werr)
		}
	}
	return err
}

// verdict says what did not complete.
func (r *Replay) verdict(report *recording.Report, c *account.Counters) error {
	files := strings.Join(r.conf.Replay.Files, ",")
	switch {
	case r.fault.Load() != nil:
		return r.fault.Load()
	case report.Packets.Matching == 0 && !r.interrupted:
		return &pcapfile.Error{Path: files, Err: fmt.Errorf("no packet belongs to %v: `tcpcopy pcap-info` shows what is there", r.conf.Transfers)}
	}
	var faults []string
	fault := func(n uint64, what string) {
		if n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", n, what))
		}
	}
	for i, n := range c.Session.Closed {
		reason := session.Reason(i)
		if !slices.Contains(fromTheRecording, reason) && !(r.interrupted && reason == session.Shutdown) {
			fault(n, "sessions "+reason.String())
		}
	}
	for _, d := range []account.PacketDrop{account.ShedSessions, account.ShedMemory, account.HandoverFull} {
		fault(c.Dropped[d], "packets "+d.String())
	}
	fault(c.Session.TurnsUnanswered, "requests unanswered")
	fault(c.Session.TurnsLost, "requests lost")
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("not everything was replayed: %s (docs/metrics.md explains the reasons)", strings.Join(faults, ", "))
}

func (r *Replay) report(c *account.Counters) recording.Report {
	s := &c.Session
	report := recording.Report{
		Files: r.conf.Replay.Files, Speed: recording.Speed(r.conf.Replay.Speed),
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
			report.Packets.Dropped[account.PacketDrop(d).String()] = n
		}
	}
	report.Sessions.Begun, report.Sessions.Midstream = c.Clients, s.Midstream
	report.Sessions.Ended = byReason(&s.Closed)
	report.Turns.Copied, report.Turns.Unanswered, report.Turns.Lost = s.TurnsCopied, s.TurnsUnanswered, s.TurnsLost
	report.Turns.Reproduced = s.Reproduced()
	report.Payload.Accepted, report.Payload.Delivered = s.Accepted, s.Delivered
	report.Payload.Dropped = byReason(&s.Dropped)
	if !math.IsInf(r.conf.Replay.Speed, 1) {
		report.Lateness = &recording.Lateness{
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

// Attrs are what a line of totals in the log says of the replay.
func (r *Replay) Attrs(c *account.Counters) []any {
	return []any{
		"late_p99", c.Late.Quantile(0.99), "late_max", c.Late.Quantile(1),
		"stalled", time.Duration(r.stalled.Load()).Round(time.Millisecond),
	}
}

var (
	descRead     = account.Desc("replay_read_bytes", "Bytes of the recordings that were read, of this run.")
	descSize     = account.Desc("replay_size_bytes", "Bytes of the recordings, as far as they are files.")
	descRecorded = account.Desc("replay_recorded_seconds_total", "Recorded time that was replayed.")
	descRuns     = account.Desc("replay_runs_total", "Complete runs through the recordings.")
	descBroken   = account.Desc("replay_broken_files_total", "Recordings that could not be read to their end.")
	descStalled  = account.Desc("replay_stalled_seconds_total", "Time that the replay waited because the target did not keep up.")
	descLate     = account.Desc("replay_lateness_seconds", "How much later than planned packets reached their session.")
)

// Collect gives the replay's metrics.
func (r *Replay) Collect(m account.Metrics, c *account.Counters) {
	read, size := r.files.Position()
	m.Gauge(descRead, float64(read))
	m.Gauge(descSize, float64(size))
	m.Seconds(descRecorded, r.recorded())
	m.Seconds(descStalled, time.Duration(r.stalled.Load()))
	m.Count(descRuns, uint64(r.runs.Load()))
	m.Count(descBroken, uint64(r.broken.Load()))
	m.Histogram(descLate, &c.Late)
}
