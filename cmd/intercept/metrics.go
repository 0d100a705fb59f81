package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// collector reads the counters of an intercept when it is asked for them.
type collector struct{ *intercept }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("intercept_"+name, help, labels, nil)
}

var (
	descPackets = desc("capture_packets_total", "Packets that passed the filter.", "interface", "ring")
	descDrops   = desc("capture_kernel_drops_total", "Packets that found the capture ring full.", "interface", "ring")

	descUp       = desc("capture_up", "Whether packets are captured: 0 while the interface is deleted or down.", "interface")
	descReopened = desc("capture_reopened_total", "Times that the capture went on with new rings because the interface had been deleted.", "interface")

	descCaptured  = desc("replies_captured_total", "Packets taken from the rings; the sum of replies_total, replies_held and replies_queued.")
	descReplies   = desc("replies_total", "What became of the captured packets.", "result")
	descMalformed = desc("malformed_packets_total", "Captured packets that are not a TCP segment's headers; replies_total has their sum.", "reason")
	descHeld      = desc("replies_held", "Replies that wait for the claim of their session.")
	descQueued    = desc("replies_queued", "Reply records that wait for a tcpcopy that fell behind.")

	descClaims = desc("claims", "Address prefixes that tcpcopys claim.")
	descFlows  = desc("flows", "Single endpoints that tcpcopys claim.")
	descLeaks  = desc("leaks", "Claims whose replies the kernel would forward to the real clients.")

	descLinks    = desc("links", "Open links.")
	descTcpcopys = desc("tcpcopys", "Processes that the links belong to.")
	descRefused  = desc("links_refused_total", "Links that were not taken: another protocol, a wrong secret, claims that overlap or leak.")
	descRTT      = desc("link_rtt_seconds", "Round-trip time of a link's last heartbeat.", "tcpcopy", "peer")
	descBatch    = desc("records_per_batch", "Reply records delivered to a link at once.")
	descStalls   = desc("link_write_stalls_total", "Writes that a link's socket did not take whole.")
	descDropped  = desc("dropped_records_total", "Reply records that links lost because a tcpcopy fell behind or went away.")
)

// Describe is of prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descPackets, descDrops, descUp, descReopened, descCaptured, descReplies, descMalformed, descHeld, descQueued, descClaims, descFlows, descLeaks,
		descLinks, descTcpcopys, descRefused, descRTT, descBatch, descStalls, descDropped,
	} {
		ch <- d
	}
}

// Collect is of prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for n, capture := range c.captures {
		rings, up := capture.packets.Stats(0), 1.0
		if capture.packets.Err() != nil {
			up = 0
		}
		name := capture.replies.Name()
		if name == "" {
			name = "all"
		}
		counter(descPackets, rings.Packets, name, strconv.Itoa(n))
		counter(descDrops, rings.Drops, name, strconv.Itoa(n))
		gauge(descUp, up, name)
		counter(descReopened, capture.packets.Reopened(), name)
	}

	a := c.account()
	var malformed uint64
	for m := packet.WellFormed + 1; int(m) < len(a.Malformed); m++ {
		malformed += a.Malformed[m]
		counter(descMalformed, a.Malformed[m], m.String())
	}
	counter(descCaptured, a.Captured)
	counter(descReplies, a.Forwarded, "forwarded")
	counter(descReplies, a.Dropped, "dropped")
	counter(descReplies, a.NoSession, "no_session")
	counter(descReplies, a.LinkDown, "link_down")
	counter(descReplies, a.Expired, "expired")
	counter(descReplies, malformed, "malformed")
	gauge(descHeld, float64(a.Held))
	gauge(descQueued, float64(a.Queued))

	router, server := c.router.Stats(), c.server.Stats()
	gauge(descClaims, float64(router.Claims))
	gauge(descFlows, float64(router.Flows))
	gauge(descLeaks, float64(c.guard.Leaks()))
	gauge(descLinks, float64(server.Links))
	gauge(descTcpcopys, float64(server.Instances))
	counter(descRefused, server.Refused)
	counter(descStalls, server.Stalls)
	counter(descDropped, server.Dropped)
	for _, l := range c.server.Links() {
		if l.RTT > 0 {
			gauge(descRTT, l.RTT.Seconds(), l.Name, l.Peer.String())
		}
	}
	b := server.Batches
	ch <- prometheus.MustNewConstHistogram(descBatch, b.Count, float64(b.Sum), b.Buckets)
}
