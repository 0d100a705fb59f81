package grafana

// Rows is the dashboard, in the order of docs/operations.md: first whether the
// copy is good, then a packet's way.
var Rows = []Row{
	{"Verdict", []Panel{
		{Title: "Reproduction ratio", Kind: "stat", Unit: "percentunit", Width: 4, Steps: good(0.95, 0.999),
			About:   "Share of the turns (requests) that the target answered as production did, of those that ended lately. docs/fidelity.md",
			Queries: []Query{{`sum(rate(tcpcopy_turns_total{result="copied",$sel}[$__rate_interval])) / sum(rate(tcpcopy_turns_total{$sel}[$__rate_interval]))`, ""}}},
		{Title: "Payload delivered", Kind: "stat", Unit: "percentunit", Width: 4, Steps: good(0.95, 0.99),
			About:   "Of the payload that clients sent to a transfer's address, times the copies that were asked for.",
			Queries: []Query{{`sum(rate(tcpcopy_delivered_payload_bytes_total{$sel}[$__rate_interval])) / sum(sum by (job, instance) (rate(tcpcopy_matched_payload_bytes_total{$sel}[$__rate_interval])) * on (job, instance) tcpcopy_copies_requested{$sel})`, ""}}},
		{Title: "Sessions", Kind: "stat", Unit: "short", Width: 4, Steps: plain,
			About:   "Connections that are open at targets.",
			Queries: []Query{{`sum(tcpcopy_sessions{state="established",$sel})`, ""}}},
		{Title: "Copies of each connection", Kind: "stat", Unit: "short", Width: 4, Steps: plain,
			About: "Sessions that were established at targets for each connection of a client, and how many were asked for.",
			Queries: []Query{
				{`avg(tcpcopy_copies_achieved{$sel})`, "achieved"},
				{`avg(tcpcopy_copies_requested{$sel})`, "requested"},
			}},
		{Title: "Lost by the kernel", Kind: "stat", Unit: "pps", Width: 4, Steps: bad,
			About:   "Packets that found the capture ring full. Each costs its connection a request or two.",
			Queries: []Query{{`sum(rate(tcpcopy_capture_kernel_drops_total{$sel}[$__rate_interval]))`, ""}}},
		{Title: "Leaks", Kind: "stat", Unit: "short", Width: 4, Steps: bad,
			About:   "Claims whose replies the assistant would forward to real clients. Anything but 0 is an alarm.",
			Queries: []Query{{`sum(intercept_leaks{$sel})`, ""}}},
		{Title: "Reproduction ratio", Kind: "timeseries", Unit: "percentunit", Width: 8, Max: "1",
			Queries: []Query{{`sum by (instance) (rate(tcpcopy_turns_total{result="copied",$sel}[$__rate_interval])) / sum by (instance) (rate(tcpcopy_turns_total{$sel}[$__rate_interval]))`, "{{instance}}"}}},
		{Title: "Packets not copied, by reason", Kind: "timeseries", Unit: "pps", Width: 8,
			About:   "Captured packets that reached no session. docs/metrics.md explains the reasons.",
			Queries: []Query{{`sum by (reason) (rate(tcpcopy_dropped_packets_total{$sel}[$__rate_interval])) > 0 or sum(rate(tcpcopy_dropped_packets_total{$sel}[$__rate_interval]))`, "{{reason}}"}}},
		{Title: "Payload not delivered, by reason", Kind: "timeseries", Unit: "Bps", Width: 8,
			About:   "Duplicates are no loss: the client had sent those bytes before.",
			Queries: []Query{{`sum by (stage, reason) (rate(tcpcopy_dropped_payload_bytes_total{$sel}[$__rate_interval])) > 0 or sum(rate(tcpcopy_dropped_payload_bytes_total{$sel}[$__rate_interval]))`, "{{stage}} {{reason}}"}}},
	}},
	{"Production and copy", []Panel{
		{Title: "Payload of clients", Kind: "timeseries", Unit: "Bps", Width: 8, Queries: []Query{
			{`sum(rate(tcpcopy_matched_payload_bytes_total{$sel}[$__rate_interval]))`, "production"},
			{`sum(rate(tcpcopy_delivered_payload_bytes_total{$sel}[$__rate_interval]))`, "copy, delivered"},
			{`sum(rate(tcpcopy_sent_payload_bytes_total{$sel}[$__rate_interval]))`, "copy, sent"},
		}},
		{Title: "Connections", Kind: "timeseries", Unit: "cps", Width: 8, Queries: []Query{
			{`sum(rate(tcpcopy_online_connections_total{$sel}[$__rate_interval]))`, "production, taken up"},
			{`sum(rate(tcpcopy_handshakes_total{result="established",$sel}[$__rate_interval]))`, "copy, established"},
		}},
		{Title: "Turns (requests)", Kind: "timeseries", Unit: "reqps", Width: 8, Queries: []Query{
			{`sum by (result) (rate(tcpcopy_turns_total{$sel}[$__rate_interval]))`, "{{result}}"},
		}},
	}},
	{"Handshakes and sessions", []Panel{
		{Title: "Handshake funnel", Kind: "timeseries", Unit: "cps", Width: 8,
			About: "sent and established should be one line. timeout: nothing answers; docs/troubleshooting.md finds the hop.",
			Queries: []Query{
				{`sum by (result) (rate(tcpcopy_handshakes_total{$sel}[$__rate_interval]))`, "{{result}}"},
				{`sum(rate(tcpcopy_endpoint_allocation_failures_total{$sel}[$__rate_interval]))`, "no free address"},
			}},
		{Title: "Sessions by state", Kind: "timeseries", Unit: "short", Width: 8,
			Queries: []Query{{`sum by (state) (tcpcopy_sessions{$sel})`, "{{state}}"}}},
		{Title: "Sessions ended, by reason", Kind: "timeseries", Unit: "cps", Width: 8,
			Queries: []Query{{`sum by (reason) (rate(tcpcopy_sessions_closed_total{$sel}[$__rate_interval])) > 0 or sum(rate(tcpcopy_sessions_closed_total{$sel}[$__rate_interval]))`, "{{reason}}"}}},
	}},
	{"Target", []Panel{
		{Title: "Time to connect", Kind: "timeseries", Unit: "s", Width: 8,
			About:   "From the first SYN to the target's SYN-ACK.",
			Queries: quantiles("tcpcopy_target_connect_seconds")},
		{Title: "Time to first byte", Kind: "timeseries", Unit: "s", Width: 8,
			About:   "From the end of a request to the first byte of the target's response.",
			Queries: quantiles("tcpcopy_target_first_byte_seconds")},
		{Title: "Copy lag", Kind: "timeseries", Unit: "s", Width: 8,
			About:   "From the capture of a packet to the sending of its copy, where that need not wait for the target: what tcpcopy adds.",
			Queries: quantiles("tcpcopy_copy_lag_seconds")},
		{Title: "Answers", Kind: "timeseries", Unit: "pps", Width: 8,
			Queries: []Query{{`sum by (kind) (rate(tcpcopy_responses_total{$sel}[$__rate_interval]))`, "{{kind}}"}}},
		{Title: "Early ends and resets", Kind: "timeseries", Unit: "cps", Width: 8, Queries: []Query{
			{`sum(rate(tcpcopy_sessions_reopened_total{$sel}[$__rate_interval]))`, "reopened"},
			{`sum(rate(tcpcopy_responses_total{kind="rst",$sel}[$__rate_interval]))`, "RST"},
			{`sum(rate(tcpcopy_handshakes_total{result="reset",$sel}[$__rate_interval]))`, "RST to a SYN"},
			{`sum(rate(tcpcopy_sessions_closed_total{reason="target_timeout",$sel}[$__rate_interval]))`, "given up"},
		}},
		{Title: "Repetitions", Kind: "timeseries", Unit: "percentunit", Width: 8,
			About: "Share of the packets that had to be sent again: the way to the target loses them, or the target does not keep up.",
			Queries: []Query{
				{`sum(rate(tcpcopy_retransmitted_packets_total{$sel}[$__rate_interval])) / sum(rate(tcpcopy_sent_packets_total{$sel}[$__rate_interval]))`, "all"},
				{`sum(rate(tcpcopy_retransmitted_packets_total{kind="syn",$sel}[$__rate_interval])) / (sum(rate(tcpcopy_sent_packets_total{kind="syn",$sel}[$__rate_interval])) > 0) or vector(0)`, "SYN"},
			}},
		{Title: "Answers' payload", Kind: "timeseries", Unit: "Bps", Width: 8,
			Queries: []Query{{`sum by (instance) (rate(tcpcopy_response_bytes_total{$sel}[$__rate_interval]))`, "{{instance}}"}}},
		{Title: "Sent", Kind: "timeseries", Unit: "pps", Width: 8, Queries: []Query{
			{`sum by (kind) (rate(tcpcopy_sent_packets_total{$sel}[$__rate_interval]))`, "{{kind}}"},
			{`sum(rate(tcpcopy_sent_segments_total{$sel}[$__rate_interval]))`, "segments on the wire"},
		}},
		{Title: "Packets that could not be sent", Kind: "timeseries", Unit: "pps", Width: 8,
			Queries: []Query{{`sum by (errno) (rate(tcpcopy_send_errors_total{$sel}[$__rate_interval])) or vector(0)`, "{{errno}}"}}},
	}},
	{"Capture, memory, CPU", []Panel{
		{Title: "Captured, by ring", Kind: "timeseries", Unit: "pps", Width: 6,
			Queries: []Query{{`sum by (instance, interface, ring) (rate(tcpcopy_capture_packets_total{$sel}[$__rate_interval]))`, "{{instance}} {{interface}} {{ring}}"}}},
		{Title: "Full rings", Kind: "timeseries", Unit: "pps", Width: 6, Queries: []Query{
			{`sum by (instance) (rate(tcpcopy_capture_kernel_drops_total{$sel}[$__rate_interval]))`, "{{instance}} packets lost"},
			{`sum by (instance) (rate(tcpcopy_capture_ring_freezes_total{$sel}[$__rate_interval]))`, "{{instance}} times full"},
		}},
		{Title: "Captured bytes", Kind: "timeseries", Unit: "Bps", Width: 6,
			Queries: []Query{{`sum by (instance) (rate(tcpcopy_capture_bytes_total{$sel}[$__rate_interval]))`, "{{instance}}"}}},
		{Title: "Captures up", Kind: "timeseries", Unit: "short", Width: 6,
			About: "0 while an interface is deleted or down: nothing is captured there. The capture goes on by itself when the interface is back.",
			Queries: []Query{
				{`tcpcopy_capture_up{$sel}`, "{{instance}} {{interface}}"},
				{`rate(tcpcopy_capture_reopened_total{$sel}[$__rate_interval])`, "{{instance}} {{interface}} opened again/s"},
			}},
		{Title: "CPU", Kind: "timeseries", Unit: "short", Width: 6,
			About:   "CPUs in use.",
			Queries: []Query{{`sum by (job, instance) (rate(process_cpu_seconds_total{$sel}[$__rate_interval]))`, "{{job}} {{instance}}"}}},
		{Title: "Workers' threads", Kind: "timeseries", Unit: "short", Width: 6,
			About: "Their number, and how much of its time, 1 being all, the busiest was at work. One runs all workers while it has the time, which costs less.",
			Queries: []Query{
				{`max by (instance) (rate(tcpcopy_worker_busy_seconds_total{$sel}[$__rate_interval]))`, "{{instance}} busiest"},
				{`sum by (instance) (tcpcopy_worker_threads{$sel})`, "{{instance}} threads"},
			}},
		{Title: "Payload in memory", Kind: "timeseries", Unit: "bytes", Width: 6,
			About: "Bounded by session.memory, above which the newest sessions are shed.",
			Queries: []Query{
				{`sum by (instance) (tcpcopy_held_payload_bytes{$sel})`, "{{instance}} held"},
				{`sum by (instance) (tcpcopy_buffered_payload_bytes{$sel})`, "{{instance}} not delivered yet"},
			}},
		{Title: "Memory of the processes", Kind: "timeseries", Unit: "bytes", Width: 6,
			Queries: []Query{{`sum by (job, instance) (process_resident_memory_bytes{$sel})`, "{{job}} {{instance}}"}}},
	}},
	{"Links", []Panel{
		{Title: "Links up", Kind: "timeseries", Unit: "short", Width: 8,
			Queries: []Query{{`tcpcopy_link_up{$sel}`, "{{instance}} to {{intercept}}"}}},
		{Title: "Round trip", Kind: "timeseries", Unit: "s", Width: 8,
			Queries: []Query{{`tcpcopy_link_rtt_seconds{$sel}`, "{{instance}} to {{intercept}}"}}},
		{Title: "Reply records", Kind: "timeseries", Unit: "pps", Width: 8,
			Queries: []Query{{`sum by (instance, intercept) (rate(tcpcopy_link_records_total{$sel}[$__rate_interval]))`, "{{instance}} from {{intercept}}"}}},
		{Title: "Reply records that wait", Kind: "timeseries", Unit: "short", Width: 12,
			About:   "For a worker, in its queues.",
			Queries: []Query{{`sum by (instance) (tcpcopy_replies_queued{$sel})`, "{{instance}}"}}},
		{Title: "Reply records lost", Kind: "timeseries", Unit: "pps", Width: 12, Queries: []Query{
			{`sum by (instance, intercept) (rate(tcpcopy_link_dropped_records_total{$sel}[$__rate_interval]))`, "{{instance}} from {{intercept}}"},
			{`sum by (instance) (rate(tcpcopy_replies_lost_total{$sel}[$__rate_interval]))`, "{{instance}} queue to a worker"},
			{`sum by (instance) (rate(tcpcopy_replies_no_session_total{$sel}[$__rate_interval]))`, "{{instance}} of no session"},
		}},
	}},
	{"intercept", []Panel{
		{Title: "Replies", Kind: "timeseries", Unit: "pps", Width: 8,
			Queries: []Query{{`sum by (result) (rate(intercept_replies_total{$sel}[$__rate_interval]))`, "{{result}}"}}},
		{Title: "Capture", Kind: "timeseries", Unit: "pps", Width: 8, Queries: []Query{
			{`sum by (instance, interface) (rate(intercept_capture_packets_total{$sel}[$__rate_interval]))`, "{{instance}} {{interface}}"},
			{`sum by (instance, interface) (rate(intercept_capture_kernel_drops_total{$sel}[$__rate_interval]))`, "{{instance}} {{interface}} lost"},
		}},
		{Title: "Served", Kind: "timeseries", Unit: "short", Width: 8, Queries: []Query{
			{`sum by (instance) (intercept_capture_up{$sel})`, "{{instance}} interfaces captured"},
			{`sum by (instance) (rate(intercept_capture_reopened_total{$sel}[$__rate_interval]))`, "{{instance}} captures opened again/s"},
			{`sum by (instance) (intercept_tcpcopys{$sel})`, "{{instance}} tcpcopys"},
			{`sum by (instance) (intercept_links{$sel})`, "{{instance}} links"},
			{`sum by (instance) (intercept_claims{$sel})`, "{{instance}} prefixes"},
			{`sum by (instance) (intercept_flows{$sel})`, "{{instance}} single endpoints"},
		}},
		{Title: "Waiting", Kind: "timeseries", Unit: "short", Width: 8, Queries: []Query{
			{`sum by (instance) (intercept_replies_held{$sel})`, "{{instance}} for a claim"},
			{`sum by (instance) (intercept_replies_queued{$sel})`, "{{instance}} for a tcpcopy"},
		}},
		{Title: "Slow tcpcopys", Kind: "timeseries", Unit: "short", Width: 8, Queries: []Query{
			{`sum by (instance) (rate(intercept_link_write_stalls_total{$sel}[$__rate_interval]))`, "{{instance}} stalled writes/s"},
			{`sum by (instance) (rate(intercept_dropped_records_total{$sel}[$__rate_interval]))`, "{{instance}} records lost/s"},
			{`sum by (instance) (rate(intercept_links_refused_total{$sel}[$__rate_interval]))`, "{{instance}} links refused/s"},
		}},
		{Title: "Replies sent at once", Kind: "timeseries", Unit: "short", Width: 8, Queries: []Query{
			{`histogram_quantile(0.5, sum by (le) (rate(intercept_records_per_batch_bucket{$sel}[$__rate_interval])))`, "median"},
			{`histogram_quantile(0.99, sum by (le) (rate(intercept_records_per_batch_bucket{$sel}[$__rate_interval])))`, "99 %"},
		}},
	}},
}

// quantiles are those of a histogram over all instances: of the native one, or
// where Prometheus does not take these, of the classic one.
func quantiles(name string) (qs []Query) {
	for _, q := range []struct{ share, legend string }{{"0.5", "median"}, {"0.9", "90 %"}, {"0.99", "99 %"}} {
		native := "histogram_quantile(" + q.share + ", sum(rate(" + name + "{$sel}[$__rate_interval])))"
		classic := "histogram_quantile(" + q.share + ", sum by (le) (rate(" + name + "_bucket{$sel}[$__rate_interval])))"
		qs = append(qs, Query{native + " or " + classic, q.legend})
	}
	return qs
}

// Colours of stats.
var (
	plain = []Step{{Color: "text"}}
	bad   = []Step{{Color: "green"}, {Color: "red", From: 1e-9}}
)

// good is red at first, then yellow, then green.
func good(yellow, green float64) []Step {
	return []Step{{Color: "red"}, {Color: "yellow", From: yellow}, {Color: "green", From: green}}
}
