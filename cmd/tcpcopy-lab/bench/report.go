package bench

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// A Metric is what is measured, with its unit.
type Metric string

// The metrics, in the order of the report.
const (
	Rate            Metric = "production, requests/s"
	P50             Metric = "production p50, us"
	P99             Metric = "production p99, us"
	Copied          Metric = "copied exactly once, %"
	CopyRate        Metric = "copied, requests/s"
	TcpcopyCPU      Metric = "tcpcopy, CPU s per million requests"
	InterceptCPU    Metric = "intercept, CPU s per million requests"
	ReplayCPU       Metric = "all processes, CPU s per million requests"
	LagP50          Metric = "copy lag p50, us"
	LagP99          Metric = "copy lag p99, us"
	TcpcopyIdle     Metric = "tcpcopy, % of a CPU"
	InterceptIdle   Metric = "intercept, % of a CPU"
	TcpcopyMemory   Metric = "tcpcopy, bytes per idle session"
	InterceptMemory Metric = "intercept, bytes per idle session"
)

var metrics = []Metric{Rate, P50, P99, Copied, CopyRate, TcpcopyCPU, InterceptCPU, ReplayCPU, LagP50, LagP99, TcpcopyIdle, InterceptIdle, TcpcopyMemory, InterceptMemory}

// Values are what one run measured.
type Values map[Metric]float64

func (v Values) String() string {
	var words []string
	for _, m := range metrics {
		if x, ok := v[m]; ok {
			words = append(words, fmt.Sprintf("%s %s", m, m.format(x)))
		}
	}
	return strings.Join(words, "; ")
}

// A Report is what a benchmark found.
type Report struct {
	Machine string   `json:"machine"`
	Date    string   `json:"date"`
	Runs    int      `json:"runs"`
	Seconds float64  `json:"seconds"` // of each load
	Results []Result `json:"results"`
}

// A Result is every run of a row.
type Result struct {
	Row     string            `json:"row"`
	Samples map[Side][]Values `json:"samples"`
}

// median is that of a side's runs, if there are any.
func (r *Result) median(s Side, m Metric) (float64, bool) {
	var all []float64
	for _, v := range r.Samples[s] {
		if x, ok := v[m]; ok {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return all[len(all)/2], true
}

// String is the table of medians. The ratio is ours by the peer's.
func (r *Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s; %s; medians of %d loads of %g s\n\n", r.Machine, r.Date, r.Runs, r.Seconds)
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "row\twhat\talone\tours\tpeer\tratio\n")
	for _, result := range r.Results {
		name := result.Row
		for _, m := range metrics {
			cells := []string{"", "", "", ""}
			found := map[Side]float64{}
			for i, side := range []Side{Alone, Ours, Peer} {
				if x, ok := result.median(side, m); ok {
					found[side], cells[i] = x, m.format(x)
				}
			}
			if len(found) == 0 {
				continue
			}
			if found[Peer] > 0 {
				cells[3] = fmt.Sprintf("%.2f", found[Ours]/found[Peer])
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", name, m, strings.Join(cells, "\t"))
			name = ""
		}
	}
	w.Flush()
	for _, side := range []Side{Ours, Peer} {
		if rate, row := r.highest(side); rate > 0 {
			fmt.Fprintf(&s, "\nhighest rate of which everything was copied, %s: %.0f requests/s (%s)", side, rate, row)
		}
	}
	s.WriteByte('\n')
	return s.String()
}

// highest is the most requests a second of which a side copied every one, and
// the row where it did.
func (r *Report) highest(s Side) (rate float64, row string) {
	for i := range r.Results {
		copied, _ := r.Results[i].median(s, Copied)
		if x, _ := r.Results[i].median(s, Rate); copied == 100 && x > rate {
			rate, row = x, r.Results[i].Row
		}
	}
	return rate, row
}

// format has three digits, or all before the point; of shares, which are near
// to 100, all that count.
func (m Metric) format(x float64) string {
	switch {
	case m == Copied:
		return fmt.Sprintf("%.3f", x)
	case x >= 100 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// machine names what it was measured on.
func machine() string {
	cpu := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	return fmt.Sprintf("%d x %s, Linux %s, %s", runtime.NumCPU(), cpu, unix.ByteSliceToString(u.Release[:]), runtime.Version())
}
