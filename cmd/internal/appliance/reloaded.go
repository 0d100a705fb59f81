package appliance

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloads is how the last reload went. The start counts as one.
type reloads struct {
	prefix string // of its metrics

	mu   sync.Mutex
	err  error // of the last
	good time.Time
}

// ended is told of each reload.
func (r *reloads) ended(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err = err; err == nil {
		r.good = time.Now()
	}
}

// failure says why the last one failed; nil: it did not.
func (r *reloads) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Describe implements prometheus.Collector.
func (r *reloads) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(r, ch) }

// Collect implements prometheus.Collector.
func (r *reloads) Collect(ch chan<- prometheus.Metric) {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(r.prefix+name, help, nil, nil)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	var (
		descSuccessful = desc("config_last_reload_successful", "Whether the last reload of the configuration succeeded: 1, or 0 where the one before stays.")
		descGood       = desc("config_last_reload_success_timestamp_seconds", "When the configuration that is in force was taken on.")
	)
	r.mu.Lock()
	defer r.mu.Unlock()
	successful := 1.0
	if r.err != nil {
		successful = 0
	}
	gauge(descSuccessful, successful)
	gauge(descGood, float64(r.good.UnixMicro())/1e6)
}
