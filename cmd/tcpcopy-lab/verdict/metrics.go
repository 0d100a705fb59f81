package verdict

import (
	"fmt"
	"strconv"
	"strings"
)

// Metrics are the samples of a /metrics page.
type Metrics []Sample

// A Sample is one of them; histograms come as their _bucket, _sum, _count.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// ParseMetrics reads Prometheus' text format, without timestamps.
func ParseMetrics(text string) (Metrics, error) {
	var m Metrics
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("verdict: metrics line %q: %w", line, err)
		}
		m = append(m, s)
	}
	return m, nil
}

func parseSample(line string) (s Sample, err error) {
	space := strings.LastIndexByte(line, ' ')
	if space < 0 {
		return s, strconv.ErrSyntax
	}
	if s.Value, err = strconv.ParseFloat(line[space+1:], 64); err != nil {
		return s, err
	}
	name, labels, ok := strings.Cut(line[:space], "{")
	s.Name = name
	if !ok {
		return s, nil
	}
	s.Labels = map[string]string{}
	for labels != "}" {
		key, rest, ok := strings.Cut(labels, "=")
		if !ok {
			return s, strconv.ErrSyntax
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return s, err
		}
		if s.Labels[key], err = strconv.Unquote(quoted); err != nil {
			return s, err
		}
		labels = strings.TrimPrefix(rest[len(quoted):], ",")
	}
	return s, nil
}

// Sum adds the samples of a name.
func (m Metrics) Sum(name string) (sum float64) {
	for _, s := range m {
		if s.Name == name {
			sum += s.Value
		}
	}
	return sum
}

// Linked reports how many intercepts a tcpcopy has a link to.
func (m Metrics) Linked() (n int) {
	for _, up := range m.By("tcpcopy_link_up", "intercept") {
		if up > 0 {
			n++
		}
	}
	return n
}

// By adds the samples of a name by the values of labels, joined by a space.
func (m Metrics) By(name string, labels ...string) map[string]float64 {
	sums := map[string]float64{}
	for _, s := range m {
		if s.Name != name {
			continue
		}
		values := make([]string, len(labels))
		for i, l := range labels {
			values[i] = s.Labels[l]
		}
		sums[strings.Join(values, " ")] += s.Value
	}
	return sums
}
