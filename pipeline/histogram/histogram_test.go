package histogram

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// samples are times around every bound, and some in between.
func samples() []int64 {
	all := []int64{0, 1, 2, 63_999_999, 64_000_000, 64_000_001, 1 << 40, math.MaxInt64 / 1000}
	for _, b := range bounds {
		all = append(all, int64(b.us)-1, int64(b.us), int64(b.us)+1)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		all = append(all, int64(math.Exp2(27*r.Float64())))
	}
	return all
}

func TestEachTimeIsInTheClassicBucketsThatItIsNotAbove(t *testing.T) {
	for _, us := range samples() {
		var h Histogram
		h.Observe(us)
		for le, n := range h.Classic() {
			if in := float64(us)/1e6 <= le; in != (n == 1) {
				t.Fatalf("%d us: %d in the bucket up to %v s", us, n, le)
			}
		}
	}
}

// The bucket i of a native histogram holds what is above 2^((i-1)/2^schema) and
// at most 2^(i/2^schema) (prometheus.io/docs/specs/native_histograms).
func TestEachTimeIsInItsNativeBucket(t *testing.T) {
	for _, us := range samples() {
		var h Histogram
		h.Observe(us)
		buckets, zeros := h.Native()
		s := min(float64(us)/1e6, 64.1)
		if s <= ZeroThreshold {
			if zeros != 1 || len(buckets) != 0 {
				t.Fatalf("%d us: %d at zero, %v", us, zeros, buckets)
			}
			continue
		}
		want := int(math.Ceil(math.Log2(s) * perOctave))
		if zeros != 0 || len(buckets) != 1 || buckets[want] != 1 {
			t.Fatalf("%d us: %d at zero, %v; want it in bucket %d", us, zeros, buckets, want)
		}
	}
}

func TestBucketsHoldWhatWasCounted(t *testing.T) {
	var a, b Histogram
	all := samples()
	var sum int64
	for i, us := range all {
		if us > 1e9 {
			us = 1e9
		}
		sum += us
		if i%2 == 0 {
			a.Observe(us)
		} else {
			b.Observe(us)
		}
	}
	a.Add(&b)
	buckets, zeros := a.Native()
	n := zeros
	for _, c := range buckets {
		n += uint64(c)
	}
	if n != uint64(len(all)) || a.Count() != n || a.Sum() != time.Duration(sum)*time.Microsecond {
		t.Errorf("%d times of %v: %d in native buckets, %d counted, sum %v", len(all), time.Duration(sum)*time.Microsecond, n, a.Count(), a.Sum())
	}
}

func TestQuantilesAreAtMostABucketAboveTheTruth(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for us := range int64(1000) {
		h.Observe(us + 1)
	}
	h.Observe(-5)
	for q, us := range map[float64]float64{0.1: 100, 0.5: 500, 0.9: 900, 0.99: 990, 1: 1000} {
		got := float64(h.Quantile(q).Microseconds())
		if got < us || got > us*math.Exp2(1./perOctave) {
			t.Errorf("quantile %v is %v us, the truth %v", q, got, us)
		}
	}
	if got := h.Quantile(1); got != time.Millisecond {
		t.Errorf("the greatest of 1 to 1000 us is %v", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	us := int64(1)
	b.ReportAllocs()
	for b.Loop() {
		us = us*5%99_999_989 + 1
		h.Observe(us)
	}
}
