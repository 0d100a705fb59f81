package load

import (
	"slices"
	"time"
)

// A Line is what a load writes to standard output, as JSON, one a second and
// one at the end. One field is set.
type Line struct {
	Held   int     `json:"held,omitempty"` // connections open, waiting for standard input
	Second *Stat   `json:"second,omitempty"`
	Report *Report `json:"report,omitempty"`
}

// Stat is what happened in a span of time.
type Stat struct {
	Seconds  float64 `json:"seconds"`
	Requests int     `json:"requests"` // begun
	Answers  int     `json:"answers"`  // complete and as expected
	Bytes    int64   `json:"bytes"`    // received
	P50      int     `json:"p50_us"`   // latency in microseconds, from when the request was due
	P99      int     `json:"p99_us"`
	Max      int     `json:"max_us"`
}

// Rate is answers per second.
func (s Stat) Rate() float64 { return float64(s.Answers) / max(s.Seconds, 1e-3) }

// Report sums a load up.
type Report struct {
	Stat
	Connections int            `json:"connections"` // opened
	Errors      map[string]int `json:"errors,omitempty"`
}

// Failed is the number of errors of any kind.
func (r *Report) Failed() (n int) {
	for _, k := range r.Errors {
		n += k
	}
	return n
}

// meter collects a Stat.
type meter struct {
	stat    Stat
	began   time.Time
	latency []int32 // microseconds
}

func (m *meter) answer(us int64) {
	m.stat.Answers++
	m.latency = append(m.latency, int32(min(us, 1<<31-1)))
}

// take returns what was collected since began, and begins anew.
func (m *meter) take(now time.Time) Stat {
	s := m.stat
	s.Seconds = now.Sub(m.began).Seconds()
	if n := len(m.latency); n > 0 {
		slices.Sort(m.latency)
		s.P50, s.P99, s.Max = int(m.latency[n/2]), int(m.latency[n*99/100]), int(m.latency[n-1])
	}
	*m = meter{began: now, latency: m.latency[:0]}
	return s
}
