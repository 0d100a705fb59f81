package pipeline

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/histogram"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// A scrape reads what the workers published and never waits for them.
var _ prometheus.Collector = (*Pipeline)(nil)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tcpcopy_"+name, help, labels, nil)
}

var (
	descCapturePackets = desc("capture_packets_total", "Packets that passed the kernel's filter into a ring.", "interface", "ring")
	descCaptureDrops   = desc("capture_kernel_drops_total", "Packets that the kernel dropped because a ring was full.", "interface", "ring")
	descCaptureFreezes = desc("capture_ring_freezes_total", "Times that a ring became full.", "interface", "ring")
	descCaptured       = desc("captured_packets_total", "Packets that workers took from the rings.")
	descCaptureBytes   = desc("capture_bytes_total", "Bytes of the packets that a worker took from a ring, from the network header.", "interface", "ring")
	descAccepted       = desc("accepted_packets_total", "Packets given to a session.")
	descThreads        = desc("worker_threads", "Threads that run the workers: one while it has the time, then one each.")
	descBusy           = desc("worker_busy_seconds_total", "Time that a worker's thread was at work, and not asleep.", "worker")
	descHanded         = desc("handed_over_packets_total", "Packets that came in the ring of another worker than their session's.")
	descMatched        = desc("matched_packets_total", "Packets that belong to a transfer.", "transfer")
	descMatchedBytes   = desc("matched_payload_bytes_total", "Payload of packets that belong to a transfer.", "transfer")
	descDropped        = desc("dropped_packets_total", "Packets that reached no session.", "stage", "reason")
	descDroppedBytes   = desc("dropped_payload_bytes_total", "Payload that was not delivered.", "stage", "reason")
	descPayload        = desc("accepted_payload_bytes_total", "Payload given to sessions: delivered, buffered, or dropped in stage session.")
	descDelivered      = desc("delivered_payload_bytes_total", "Payload that targets acknowledged.")
	descBuffered       = desc("buffered_payload_bytes", "Payload that waits for its delivery.")
	descHeld           = desc("held_payload_bytes", "Memory in payload, with what is kept to be sent again.")

	descHandshakes = desc("handshakes_total", "Handshakes with targets.", "result")
	descSessions   = desc("sessions", "Sessions by their state towards the target.", "state")
	descClients    = desc("online_connections_total", "Connections of clients that were taken up.")
	descRequested  = desc("copies_requested", "Sessions that are made of each client's.")
	descAchieved   = desc("copies_achieved", "Sessions established at targets for each client's.")
	descRatio      = desc("reproduction_ratio", "Share of the turns that ended copied: docs/fidelity.md.")
	descClosed     = desc("sessions_closed_total", "Sessions that ended.", "reason")
	descMidstream  = desc("sessions_midstream_total", "Sessions whose connection began before the capture.")
	descReopened   = desc("sessions_reopened_total", "Connections opened again after the target ended one early.")
	descTurns      = desc("turns_total", "Turns: what a client sends between two responses.", "result")
	descNoEndpoint = desc("endpoint_allocation_failures_total", "Sessions that found no free address and port.")

	descConnect   = desc("target_connect_seconds", "Time from the first SYN to the SYN-ACK of a target.")
	descFirstByte = desc("target_first_byte_seconds", "Time from the end of a turn to the first byte of its response.")
	descLag       = desc("copy_lag_seconds", "Time from the capture of a packet to the sending of its copy, of those that need not wait for the target.")

	descSent       = desc("sent_packets_total", "Packets sent to targets, before segmentation.", "kind")
	descSentBytes  = desc("sent_payload_bytes_total", "Payload sent to targets, with retransmissions.")
	descRetrans    = desc("retransmitted_packets_total", "Packets sent to targets again.", "kind")
	descSegments   = desc("sent_segments_total", "TCP segments sent to targets, as they go on the wire.")
	descSendErrors = desc("send_errors_total", "Packets that could not be sent.", "errno")

	descResponses     = desc("responses_total", "Packets of targets.", "kind")
	descResponseBytes = desc("response_bytes_total", "Payload of targets' packets.")
	descNoSession     = desc("replies_no_session_total", "Packets of targets that belong to no session.")
	descRepliesLost   = desc("replies_lost_total", "Packets of targets lost in the queue to a worker.")
	descRepliesQueued = desc("replies_queued", "Packets of targets in the queues to a worker.", "worker")

	descLinkUp         = desc("link_up", "Connections to an intercept that are open.", "intercept")
	descLinkRTT        = desc("link_rtt_seconds", "Round trip of the last heartbeat.", "intercept")
	descLinkRecords    = desc("link_records_total", "Reply records received.", "intercept")
	descLinkDropped    = desc("link_dropped_records_total", "Reply records that intercept dropped because this end fell behind.", "intercept")
	descLinkReconnects = desc("link_reconnects_total", "Connections to an intercept that were lost or could not be opened.", "intercept")

	descHomePackets = desc("reply_capture_packets_total", "Packets of targets that were captured on this host.", "interface")
	descHomeDrops   = desc("reply_capture_kernel_drops_total", "Packets of targets that the kernel dropped because the ring was full.", "interface")
	descHomeReplies = desc("replies_captured_total", "What became of the packets of targets that were captured on this host.", "result")

	descReplayRead     = desc("replay_read_bytes", "Bytes of the recordings that were read, of this run.")
	descReplaySize     = desc("replay_size_bytes", "Bytes of the recordings, as far as they are files.")
	descReplayRecorded = desc("replay_recorded_seconds_total", "Recorded time that was replayed.")
	descReplayRuns     = desc("replay_runs_total", "Complete runs through the recordings.")
	descReplayBroken   = desc("replay_broken_files_total", "Recordings that could not be read to their end.")
	descReplayStalled  = desc("replay_stalled_seconds_total", "Time that the replay waited because the target did not keep up.")
	descReplayLate     = desc("replay_lateness_seconds", "How much later than planned packets reached their session.")
)

// Describe implements prometheus.Collector.
func (p *Pipeline) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(p, ch) }

// Collect implements prometheus.Collector.
func (p *Pipeline) Collect(ch chan<- prometheus.Metric) {
	c := p.Totals()
	m := metrics(ch)
	p.collectThreads(m)
	p.collectCapture(m)
	p.collectIntake(m, &c)
	collectSessions(m, &c)
	m.gauge(descRequested, float64(p.now.Load().cfg.Copies))
	p.collectSending(m, &c.Session)
	p.collectReplies(m, &c)
	if p.home != nil {
		p.home.collect(m)
	}
	if p.replayer != nil {
		p.replayer.collect(m, &c.Late)
	}
}

// metrics is where constant metrics go.
type metrics chan<- prometheus.Metric

func (m metrics) count(d *prometheus.Desc, v uint64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (m metrics) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (m metrics) histogram(d *prometheus.Desc, h *histogram.Histogram) {
	buckets, zeros := h.Native()
	m <- bothHistograms{
		prometheus.MustNewConstNativeHistogram(d, h.Count(), h.Sum().Seconds(), buckets, nil, zeros, histogram.Schema, histogram.ZeroThreshold, time.Time{}),
		prometheus.MustNewConstHistogram(d, h.Count(), h.Sum().Seconds(), h.Classic()),
	}
}

// bothHistograms is a native histogram with classic buckets beside, as those
// that the library counts itself have them: each scraper takes what it knows.
type bothHistograms struct {
	prometheus.Metric // native
	classic           prometheus.Metric
}

func (b bothHistograms) Write(out *dto.Metric) error {
	if err := b.classic.Write(out); err != nil {
		return err
	}
	buckets := out.Histogram.Bucket
	err := b.Metric.Write(out)
	out.Histogram.Bucket, out.Histogram.CreatedTimestamp = buckets, nil // as the counters beside it
	return err
}

func (m metrics) seconds(d *prometheus.Desc, ns int64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, time.Duration(ns).Seconds(), labels...)
}

func (p *Pipeline) collectThreads(m metrics) {
	n := 0
	for i, w := range p.workers {
		m.seconds(descBusy, w.own.busy.Load()*int64(time.Microsecond), strconv.Itoa(i))
		if w.thread.Load() == w.own {
			n++
		}
	}
	m.gauge(descThreads, float64(n))
}

func (p *Pipeline) collectCapture(m metrics) {
	for k, x := range p.captures {
		name := x.name
		if name == "" {
			name = "any"
		}
		for i, r := range x.rings {
			s, _ := r.Stats()
			m.count(descCapturePackets, s.Packets, name, strconv.Itoa(i))
			m.count(descCaptureBytes, p.workers[i].ringBytes[k].Load(), name, strconv.Itoa(i))
			m.count(descCaptureDrops, s.Drops, name, strconv.Itoa(i))
			m.count(descCaptureFreezes, s.Freezes, name, strconv.Itoa(i))
		}
	}
}

func (p *Pipeline) collectIntake(m metrics, c *Counters) {
	m.count(descCaptured, c.Captured)
	m.count(descAccepted, c.Accepted)
	m.count(descHanded, c.HandedOver)
	transfers := p.now.Load().set.matcher.transfers
	for i := range transfers {
		label := transferLabel(&transfers[i])
		m.count(descMatched, c.Matched[i], label)
		m.count(descMatchedBytes, c.MatchedBytes[i], label)
	}
	for d := range c.Dropped {
		m.count(descDropped, c.Dropped[d], "capture", PacketDrop(d).String())
		m.count(descDroppedBytes, c.DroppedBytes[d], "capture", PacketDrop(d).String())
	}
	s := &c.Session
	for r := range s.Dropped {
		if session.Reason(r) != session.Finished {
			m.count(descDroppedBytes, s.Dropped[r], "session", session.Reason(r).String())
		}
	}
	m.count(descPayload, s.Accepted)
	m.count(descDelivered, s.Delivered)
	m.gauge(descBuffered, float64(s.Buffered))
	m.gauge(descHeld, float64(c.Held))
}

// transferLabel names a transfer as -x does.
func transferLabel(t *transfer) string {
	if t.any {
		return fmt.Sprintf("%d-%v", t.online.Port, t.target)
	}
	return fmt.Sprintf("%v-%v", t.online, t.target)
}

func collectSessions(m metrics, c *Counters) {
	s := &c.Session
	m.count(descHandshakes, s.Opened, "sent")
	m.count(descHandshakes, s.Established, "established")
	m.count(descHandshakes, s.Refused, "reset")
	m.count(descHandshakes, s.Closed[session.HandshakeTimeout], "timeout")
	for st, n := range c.Sessions {
		if session.State(st) != session.Closed {
			m.gauge(descSessions, float64(n), session.State(st).String())
		}
	}
	for r, n := range s.Closed {
		m.count(descClosed, n, session.Reason(r).String())
	}
	m.count(descNoEndpoint, s.Closed[session.NoEndpoint])
	m.count(descClients, c.Clients)
	m.gauge(descAchieved, c.achieved())
	m.gauge(descRatio, s.Reproduced())
	m.count(descMidstream, s.Midstream)
	m.count(descReopened, s.Reopened)
	m.count(descTurns, s.TurnsCopied, "copied")
	m.count(descTurns, s.TurnsUnanswered, "unanswered")
	m.count(descTurns, s.TurnsLost, "lost")
	m.histogram(descConnect, &s.Connect)
	m.histogram(descFirstByte, &s.FirstByte)
	m.histogram(descLag, &c.Lag)
}

func (p *Pipeline) collectSending(m metrics, s *session.Stats) {
	for k := range s.Sent {
		m.count(descSent, s.Sent[k], session.Kind(k).String())
		m.count(descRetrans, s.Retransmitted[k], session.Kind(k).String())
	}
	m.count(descSentBytes, s.SentBytes)
	var segments uint64
	errors := map[unix.Errno]uint64{}
	for _, w := range p.workers {
		t := w.own.tx.Stats()
		segments += t.Segments
		for _, e := range t.Errors {
			errors[e.Errno] += e.Count
		}
	}
	m.count(descSegments, segments)
	for errno, n := range errors {
		name := unix.ErrnoName(errno)
		if name == "" {
			name = strconv.Itoa(int(errno))
		}
		m.count(descSendErrors, n, name)
	}
}

func (p *Pipeline) collectReplies(m metrics, c *Counters) {
	for k, n := range c.Session.Responses {
		name := session.Kind(k).String()
		if session.Kind(k) == session.KindSYN {
			name = "synack"
		}
		m.count(descResponses, n, name)
	}
	m.count(descResponseBytes, c.Session.ResponseBytes)
	m.count(descNoSession, c.RepliesNoSession)
	m.count(descRepliesLost, c.RepliesLost+p.repliesLost.Load())
	for i, w := range p.workers {
		n := 0
		for _, q := range w.replies {
			if q != nil {
				n += q.Len()
			}
		}
		m.gauge(descRepliesQueued, float64(n), strconv.Itoa(i))
	}
	for _, l := range p.now.Load().links {
		s, name := l.Stats(), l.addr.String()
		m.gauge(descLinkUp, float64(s.Up), name)
		m.gauge(descLinkRTT, s.RTT.Seconds(), name)
		m.count(descLinkRecords, s.Records, name)
		m.count(descLinkDropped, s.Dropped, name)
		m.count(descLinkReconnects, s.Reconnects, name)
	}
}

func (h *home) collect(m metrics) {
	var all reply.Counts
	for _, c := range h.captures {
		rings := c.packets.Stats(0)
		name := c.Name()
		if name == "" {
			name = "any"
		}
		m.count(descHomePackets, rings.Packets, name)
		m.count(descHomeDrops, rings.Drops, name)
		all.Add(c.Counts())
	}
	held := h.router.Stats()
	m.count(descHomeReplies, all.Routed+held.Released, "routed")
	m.count(descHomeReplies, all.NoSession+held.Expired, "no_session")
	m.count(descHomeReplies, all.Captured-all.Routed-all.NoSession-all.Held, "malformed")
}

func (r *replayer) collect(m metrics, late *histogram.Histogram) {
	read, size := r.files.Position()
	m.gauge(descReplayRead, float64(read))
	m.gauge(descReplaySize, float64(size))
	m.seconds(descReplayRecorded, int64(r.recorded()))
	m.seconds(descReplayStalled, r.stalled.Load())
	m.count(descReplayRuns, uint64(r.runs.Load()))
	m.count(descReplayBroken, uint64(r.broken.Load()))
	m.histogram(descReplayLate, late)
}
