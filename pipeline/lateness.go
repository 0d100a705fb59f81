package pipeline

import (
	"math"
	"math/bits"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// lateness counts packets of recordings by how much later than planned they
// reached their session: bucket i those of less than 2^(i+lateFirst)
// microseconds, as far as they are in none before.
type lateness struct {
	counts [lateBuckets]uint64
	sum    uint64 // us
	most   uint64
}

// The buckets go from 32 us to 67 s; the last has what is above.
const (
	lateFirst   = 5
	lateBuckets = 23
)

func (l *lateness) observe(late session.Time) {
	us := uint64(max(late, 0))
	l.counts[min(max(bits.Len64(us)-lateFirst, 0), lateBuckets-1)]++
	l.sum += us
	l.most = max(l.most, us)
}

func (l *lateness) add(o *lateness) {
	addAll(l.counts[:], o.counts[:])
	l.sum += o.sum
	l.most = max(l.most, o.most)
}

// upTo is what bucket i is below.
func upTo(i int) time.Duration { return time.Duration(1<<(i+lateFirst)) * time.Microsecond }

func (l *lateness) count() (n uint64) {
	for _, c := range l.counts {
		n += c
	}
	return n
}

// quantile is what a share q of the packets were not later than, to the bound
// of its bucket or the latest packet.
func (l *lateness) quantile(q float64) time.Duration {
	most := time.Duration(l.most) * time.Microsecond
	rest := uint64(math.Ceil(q * float64(l.count())))
	for i, n := range l.counts[:lateBuckets-1] {
		if rest <= n {
			return min(upTo(i), most)
		}
		rest -= n
	}
	return most
}
