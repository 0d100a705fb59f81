package account

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tcpcopy-go/tcpcopy/pipeline/histogram"
)

// Desc describes one of tcpcopy's metrics by its name without the prefix, a
// sentence, and the names of its labels.
func Desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tcpcopy_"+name, help, labels, nil)
}

// Metrics is where a scrape gathers metrics. Its methods give it one each.
type Metrics chan<- prometheus.Metric

// Count gives the value of a counter.
func (m Metrics) Count(d *prometheus.Desc, v uint64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// Seconds gives the value of a counter of time.
func (m Metrics) Seconds(d *prometheus.Desc, v time.Duration, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v.Seconds(), labels...)
}

// Gauge gives the value of a gauge.
func (m Metrics) Gauge(d *prometheus.Desc, v float64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Bool gives a gauge that is 1 or 0.
func (m Metrics) Bool(d *prometheus.Desc, v bool, labels ...string) {
	n := 0.0
	if v {
		n = 1
	}
	m.Gauge(d, n, labels...)
}

// Histogram gives a histogram of times in seconds, native and classic.
func (m Metrics) Histogram(d *prometheus.Desc, h *histogram.Histogram) {
	buckets, zeros := h.Native()
	m <- bothHistograms{
		prometheus.MustNewConstNativeHistogram(d, h.Count(), h.Sum().Seconds(), buckets, nil, zeros, histogram.Schema, histogram.ZeroThreshold, time.Time{}),
		prometheus.MustNewConstHistogram(d, h.Count(), h.Sum().Seconds(), h.Classic()),
	}
}

// bothHistograms is a native histogram that has classic buckets, too, as the
// library's own histograms may have: each scraper takes those that it knows.
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
