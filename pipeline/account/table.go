package account

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcpcopy-go/tcpcopy/pipeline/histogram"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// Totals are the sums over all workers, with what their labels need.
type Totals struct {
	*Counters
	Transfers []string // the names by number, empty where a number is free
	Copies    int      // how many copies of each client's session are wanted
}

// give is called with each value of a metric.
type give func(v uint64, labels ...string)

// row is a metric that is made of Totals.
type row struct {
	desc    *prometheus.Desc
	collect func(*prometheus.Desc, Metrics, Totals)
}

func counter(name, help string, values func(Totals, give), labels ...string) row {
	return row{Desc(name, help, labels...), func(d *prometheus.Desc, m Metrics, t Totals) {
		values(t, func(v uint64, labels ...string) { m.Count(d, v, labels...) })
	}}
}

func gauge(name, help string, values func(Totals, give), labels ...string) row {
	return row{Desc(name, help, labels...), func(d *prometheus.Desc, m Metrics, t Totals) {
		values(t, func(v uint64, labels ...string) { m.Gauge(d, float64(v), labels...) })
	}}
}

func ratio(name, help string, value func(Totals) float64) row {
	return row{Desc(name, help), func(d *prometheus.Desc, m Metrics, t Totals) { m.Gauge(d, value(t)) }}
}

func seconds(name, help string, of func(Totals) *histogram.Histogram) row {
	return row{Desc(name, help), func(d *prometheus.Desc, m Metrics, t Totals) { m.Histogram(d, of(t)) }}
}

// one is the value of a metric without labels.
func one(value func(Totals) uint64) func(Totals, give) {
	return func(t Totals, g give) { g(value(t)) }
}

// table has a line for each metric that is made of Counters.
var table = []row{
	counter("captured_packets_total", "Packets that workers took from the rings.", one(func(t Totals) uint64 { return t.Captured })),
	counter("accepted_packets_total", "Packets given to a session.", one(func(t Totals) uint64 { return t.Accepted })),
	counter("handed_over_packets_total", "Packets that came in the ring of another worker than their session's.", one(func(t Totals) uint64 { return t.HandedOver })),
	counter("matched_packets_total", "Packets that belong to a transfer.", func(t Totals, g give) { byTransfer(t, &t.Matched, g) }, "transfer"),
	counter("matched_payload_bytes_total", "Payload of packets that belong to a transfer.", func(t Totals, g give) { byTransfer(t, &t.MatchedBytes, g) }, "transfer"),
	counter("dropped_packets_total", "Packets that reached no session.", func(t Totals, g give) { byDrop(&t.Dropped, g) }, "stage", "reason"),
	counter("dropped_payload_bytes_total", "Payload that was not delivered.", func(t Totals, g give) {
		byDrop(&t.DroppedBytes, g)
		for r, n := range t.Session.Dropped {
			if session.Reason(r) != session.Finished {
				g(n, "session", session.Reason(r).String())
			}
		}
	}, "stage", "reason"),
	counter("accepted_payload_bytes_total", "Payload given to sessions: delivered, buffered, or dropped in stage session.", one(func(t Totals) uint64 { return t.Session.Accepted })),
	counter("delivered_payload_bytes_total", "Payload that targets acknowledged.", one(func(t Totals) uint64 { return t.Session.Delivered })),
	gauge("buffered_payload_bytes", "Payload that waits for its delivery.", one(func(t Totals) uint64 { return t.Session.Buffered })),
	gauge("held_payload_bytes", "Memory in payload, with what is kept to be sent again.", one(func(t Totals) uint64 { return t.Held })),

	counter("handshakes_total", "Handshakes with targets.", func(t Totals, g give) {
		g(t.Session.Opened, "sent")
		g(t.Session.Established, "established")
		g(t.Session.Refused, "reset")
		g(t.Session.Closed[session.HandshakeTimeout], "timeout")
	}, "result"),
	gauge("sessions", "Sessions by their state towards the target.", func(t Totals, g give) {
		for st, n := range t.Sessions {
			if session.State(st) != session.Closed {
				g(n, session.State(st).String())
			}
		}
	}, "state"),
	counter("sessions_closed_total", "Sessions that ended.", func(t Totals, g give) {
		for r, n := range t.Session.Closed {
			g(n, session.Reason(r).String())
		}
	}, "reason"),
	counter("endpoint_allocation_failures_total", "Sessions that found no free address and port.", one(func(t Totals) uint64 { return t.Session.Closed[session.NoEndpoint] })),
	counter("online_connections_total", "Connections of clients that were taken up.", one(func(t Totals) uint64 { return t.Clients })),
	gauge("copies_requested", "Sessions that are made of each client's.", one(func(t Totals) uint64 { return uint64(t.Copies) })),
	ratio("copies_achieved", "Sessions established at targets for each client's.", func(t Totals) float64 { return t.Achieved() }),
	ratio("reproduction_ratio", "Share of the turns that ended copied: docs/fidelity.md.", func(t Totals) float64 { return t.Session.Reproduced() }),
	counter("sessions_midstream_total", "Sessions whose connection began before the capture.", one(func(t Totals) uint64 { return t.Session.Midstream })),
	counter("sessions_reopened_total", "Connections opened again after the target ended one early.", one(func(t Totals) uint64 { return t.Session.Reopened })),
	counter("turns_total", "Turns: what a client sends between two responses.", func(t Totals, g give) {
		g(t.Session.TurnsCopied, "copied")
		g(t.Session.TurnsUnanswered, "unanswered")
		g(t.Session.TurnsLost, "lost")
	}, "result"),
	seconds("target_connect_seconds", "Time from the first SYN to the SYN-ACK of a target.", func(t Totals) *histogram.Histogram { return &t.Session.Connect }),
	seconds("target_first_byte_seconds", "Time from the end of a turn to the first byte of its response.", func(t Totals) *histogram.Histogram { return &t.Session.FirstByte }),
	seconds("copy_lag_seconds", "Time from the capture of a packet to the sending of its copy, of those that need not wait for the target.", func(t Totals) *histogram.Histogram { return &t.Lag }),

	counter("sent_packets_total", "Packets sent to targets, before segmentation.", func(t Totals, g give) { byKind(&t.Session.Sent, g) }, "kind"),
	counter("retransmitted_packets_total", "Packets sent to targets again.", func(t Totals, g give) { byKind(&t.Session.Retransmitted, g) }, "kind"),
	counter("sent_payload_bytes_total", "Payload sent to targets, with retransmissions.", one(func(t Totals) uint64 { return t.Session.SentBytes })),
	counter("responses_total", "Packets of targets.", func(t Totals, g give) {
		for k, n := range t.Session.Responses {
			name := session.Kind(k).String()
			if session.Kind(k) == session.KindSYN {
				name = "synack"
			}
			g(n, name)
		}
	}, "kind"),
	counter("response_bytes_total", "Payload of targets' packets.", one(func(t Totals) uint64 { return t.Session.ResponseBytes })),
	counter("replies_no_session_total", "Packets of targets that belong to no session.", one(func(t Totals) uint64 { return t.RepliesNoSession })),
	counter("replies_lost_total", "Packets of targets lost in the queue to a worker.", one(func(t Totals) uint64 { return t.RepliesLost })),
}

// Collect gives every metric of the table.
func Collect(m Metrics, t Totals) {
	for i := range table {
		table[i].collect(table[i].desc, m, t)
	}
}

func byTransfer(t Totals, counts *[MaxTransfers]uint64, g give) {
	for i, name := range t.Transfers {
		if name != "" {
			g(counts[i], name)
		}
	}
}

func byDrop(counts *[NumPacketDrops]uint64, g give) {
	for d, n := range counts {
		g(n, "capture", PacketDrop(d).String())
	}
}

func byKind(counts *[session.NumKinds]uint64, g give) {
	for k, n := range counts {
		g(n, session.Kind(k).String())
	}
}
