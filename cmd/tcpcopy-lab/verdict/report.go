package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
)

// A Report is the verdict with its grounds.
type Report struct {
	Online  []Count `json:"online"`
	Gateway []Count `json:"gateway,omitempty"`
	Target  []Count `json:"target"`

	Copy   *Result `json:"copy"`
	Behind *Result `json:"behind,omitempty"` // the servers behind a proxy

	Before *load.Stat `json:"before,omitempty"` // production without a copy
	During *load.Stat `json:"during,omitempty"`

	Tcpcopy Account `json:"tcpcopy"`
}

// Count is how much a server logged.
type Count struct {
	Server      string `json:"server"`
	Requests    int    `json:"requests"`
	Connections int    `json:"connections"`
}

// Counts are those of servers.
func Counts(servers []Server) (c []Count) {
	for _, s := range servers {
		conns := map[uint64]bool{}
		for _, e := range s.Log {
			conns[e.Conn] = true
		}
		c = append(c, Count{s.Name, len(s.Log), len(conns)})
	}
	return c
}

// Account is what the tcpcopys counted, together. Bytes are payload; what
// sessions accepted is delivered, buffered, or dropped by them.
type Account struct {
	Accepted  float64            `json:"accepted_bytes"`
	Delivered float64            `json:"delivered_bytes"`
	Buffered  float64            `json:"buffered_bytes"`
	Uncaught  float64            `json:"kernel_drops"`              // packets that the capture missed
	Packets   map[string]float64 `json:"dropped_packets,omitempty"` // by "stage reason"
	Bytes     map[string]float64 `json:"dropped_bytes,omitempty"`
}

// Unaccounted is what the counters do not explain: 0 while no packet is in
// flight.
func (a *Account) Unaccounted() float64 {
	rest := a.Accepted - a.Delivered - a.Buffered
	for reason, n := range a.Bytes {
		if strings.HasPrefix(reason, "session ") {
			rest -= n
		}
	}
	return rest
}

// Account adds the counters of one tcpcopy.
func (r *Report) Account(m Metrics) {
	a := &r.Tcpcopy
	a.Accepted += m.Sum("tcpcopy_accepted_payload_bytes_total")
	a.Delivered += m.Sum("tcpcopy_delivered_payload_bytes_total")
	a.Buffered += m.Sum("tcpcopy_buffered_payload_bytes")
	a.Uncaught += m.Sum("tcpcopy_capture_kernel_drops_total")
	if a.Packets == nil {
		a.Packets, a.Bytes = map[string]float64{}, map[string]float64{}
	}
	add := func(to map[string]float64, name string) {
		for reason, n := range m.By(name, "stage", "reason") {
			if n > 0 {
				to[reason] += n
			}
		}
	}
	add(a.Packets, "tcpcopy_dropped_packets_total")
	add(a.Bytes, "tcpcopy_dropped_payload_bytes_total")
}

// Exact reports whether the copy is 100 %: see Result.Exact.
func (r *Report) Exact() bool {
	return r.Copy.Exact() && (r.Behind == nil || r.Behind.Exact())
}

// String is the table.
func (r *Report) String() string {
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, c := range cells {
			fmt.Fprint(w, c, "\t")
		}
		fmt.Fprintln(w)
	}
	for _, side := range []struct {
		name   string
		counts []Count
	}{{"production", r.Online}, {"gateway", r.Gateway}, {"target", r.Target}} {
		if side.counts == nil {
			continue
		}
		names, cells, sum := []any{""}, []any{side.name + ", requests"}, 0
		for _, c := range side.counts {
			names, cells, sum = append(names, c.Server), append(cells, c.Requests), sum+c.Requests
		}
		row(append(names, "sum")...)
		row(append(cells, sum)...)
	}
	row()
	r.result(row)
	row()
	if r.Before != nil && r.During != nil {
		row("production", "alone", "copied")
		row("requests per second", int(r.Before.Rate()+0.5), int(r.During.Rate()+0.5))
		row("latency p50, us", r.Before.P50, r.During.P50)
		row("latency p99, us", r.Before.P99, r.During.P99)
		row()
	}
	r.Tcpcopy.rows(row)
	w.Flush()
	for _, result := range []*Result{r.Copy, r.Behind} {
		if result != nil {
			for _, e := range result.Examples {
				fmt.Fprintln(&s, "  ", e)
			}
		}
	}
	if r.Exact() {
		fmt.Fprintf(&s, "\nverdict: each of %d requests was copied exactly once, in order, and nothing else\n", r.Copy.Online)
	} else {
		fmt.Fprintf(&s, "\nverdict: NOT an exact copy\n")
	}
	return s.String()
}

// result writes the counts of the comparisons, one column each.
func (r *Report) result(row func(...any)) {
	results := []*Result{r.Copy}
	if r.Behind != nil {
		results = append(results, r.Behind)
		row("compared with production", "gateway", "servers behind")
	}
	line := func(name string, get func(*Result) any) {
		cells := []any{name}
		for _, x := range results {
			cells = append(cells, get(x))
		}
		row(cells...)
	}
	line("missing", func(x *Result) any { return x.Missing })
	line("duplicated", func(x *Result) any { return x.Duplicated })
	line("out of order", func(x *Result) any { return x.OutOfOrder })
	line("foreign", func(x *Result) any { return x.Foreign })
	line("altered or mixed", func(x *Result) any { return x.Altered + x.Mixed })
	line("copy ratio", func(x *Result) any { return fmt.Sprintf("%.4f %%", 100*x.Ratio()) })
	if r.Copy.Before > 0 {
		line("before the copy", func(x *Result) any { return x.Before })
	}
}

func (a *Account) rows(row func(...any)) {
	row("tcpcopy's account", "packets", "payload bytes")
	row("dropped by the kernel's capture", int(a.Uncaught), "")
	row("accepted", "", int(a.Accepted))
	row("delivered", "", int(a.Delivered))
	row("buffered", "", int(a.Buffered))
	reasons := slices.Sorted(maps.Keys(a.Packets))
	for reason := range a.Bytes {
		if a.Packets[reason] == 0 {
			reasons = append(reasons, reason)
		}
	}
	for _, reason := range reasons {
		row("dropped, "+reason, int(a.Packets[reason]), int(a.Bytes[reason]))
	}
	row("not accounted for", "", int(a.Unaccounted()))
}
