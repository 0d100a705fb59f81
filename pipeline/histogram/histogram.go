// Package histogram counts times for Prometheus: by the buckets of its native
// histograms and by classic ones, at once and without rounding one to the
// other.
package histogram

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

const (
	// Schema is that of the native buckets: eight for each factor of two, so
	// that a quantile is off by 4.5 % at most.
	Schema    = 3
	perOctave = 1 << Schema
	// Times up to 2^zero seconds, 7.6 us, have one native bucket, those above
	// 2^top, 64 s, another.
	zero, top = -17, 6
	// numBounds is how many bounds there are: the native ones, 1, 2 and 5 in
	// each of seven decades.
	numBounds = (top-zero)*perOctave + 1 + 3*7
)

// ZeroThreshold is the bound of the native bucket of the least times, in
// seconds.
var ZeroThreshold = math.Ldexp(1, zero)

// Histogram counts times. Its zero value is empty. It is not safe for
// concurrent use, and may be copied.
type Histogram struct {
	counts [numBounds + 1]uint64 // by index in bounds; the last is above all
	sum    uint64                // us
	most   uint64                // the longest time, us
}

// bound is the upper end of a bucket.
type bound struct {
	us      uint64
	native  int  // index of the native bucket that it is in, or ends
	classic bool // a classic bucket ends here
}

var (
	bounds [numBounds]bound
	// first is the first bound that a time can belong to, by key of the time.
	// The last key stands for all that are higher.
	first [24 << 4]uint8
)

func init() {
	all := bounds[:0]
	for i := zero * perOctave; i <= top*perOctave; i++ {
		all = append(all, bound{us: uint64(math.Exp2(float64(i)/perOctave) * 1e6), native: i})
	}
	for decade := uint64(10); decade <= 10_000_000; decade *= 10 {
		for _, us := range []uint64{decade, 2 * decade, 5 * decade} {
			all = append(all, bound{us, int(math.Ceil(math.Log2(float64(us)/1e6) * perOctave)), true})
		}
	}
	slices.SortFunc(all, func(a, b bound) int { return int(a.us) - int(b.us) })
	i := 0
	for k := range first {
		for i < numBounds && bounds[i].us < lowest(k) {
			i++
		}
		first[k] = uint8(i)
	}
}

// key numbers times so that each factor of two has 16 of them (log-linear, as
// in HdrHistogram).
func key(us uint64) int {
	e := max(bits.Len64(us)-5, 0)
	return e<<4 + int(us>>e)
}

// lowest is the least time of a key.
func lowest(key int) uint64 {
	e := max(key>>4-1, 0)
	return uint64(key-e<<4) << e
}

// Observe counts a time in microseconds; one below zero, which clocks that are
// set can make, as zero.
func (h *Histogram) Observe(us int64) {
	v := uint64(max(us, 0))
	i := int(first[min(key(v), len(first)-1)])
	for i < numBounds && v > bounds[i].us {
		i++
	}
	h.counts[i]++
	h.sum += v
	h.most = max(h.most, v)
}

// Add adds what o counted.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.sum += o.sum
	h.most = max(h.most, o.most)
}

// Count is how many times were counted.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.counts {
		n += c
	}
	return n
}

// Sum is the sum of all times.
func (h *Histogram) Sum() time.Duration { return time.Duration(h.sum) * time.Microsecond }

// Classic is how many times were at most each of the bounds, in seconds.
func (h *Histogram) Classic() map[float64]uint64 {
	buckets := map[float64]uint64{}
	var n uint64
	for i, b := range bounds {
		if n += h.counts[i]; b.classic {
			buckets[float64(b.us)/1e6] = n
		}
	}
	return buckets
}

// Native is how many times were in each native bucket, as far as there were
// any, and how many at most ZeroThreshold.
func (h *Histogram) Native() (buckets map[int]int64, zeros uint64) {
	buckets = map[int]int64{}
	for i, n := range h.counts {
		at := top*perOctave + 1
		if i < numBounds {
			at = bounds[i].native
		}
		switch {
		case n == 0:
		case at <= zero*perOctave:
			zeros += n
		default:
			buckets[at] += int64(n)
		}
	}
	return buckets, zeros
}

// Quantile is what a share q of the times were not above, to the bound of a
// bucket or the greatest time.
func (h *Histogram) Quantile(q float64) time.Duration {
	us := h.most
	rest := uint64(math.Ceil(q * float64(h.Count())))
	for i, n := range h.counts[:numBounds] {
		if rest <= n {
			us = min(bounds[i].us, h.most)
			break
		}
		rest -= n
	}
	return time.Duration(us) * time.Microsecond
}
