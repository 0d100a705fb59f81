package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/message"

// target is what the sessions of a Core have found out about the server at the
// other end of a transfer, and what they allow themselves towards it.
type target struct {
	protocol message.Protocol // of the last connection that was recognised
	lengths  lengths
	reopens  bucket
}

// numTargets bounds what is kept. Transfers beyond it share.
const numTargets = 64

func (c *Core) target(s *Session) *target { return &c.targets[s.Transfer%numTargets] }

// lengths are the differences, in bytes, between the target's answers and
// production's. Where every answer lacks a header of production's they are all
// the same, and the end of an answer is known without waiting for a silence.
type lengths [16]difference

// difference is one that silence has confirmed so many times. It is believed
// when that was enough, which is the more the oftener it turned out wrong.
type difference struct {
	bytes      int32
	seen, need uint8
}

const (
	enough   = 2
	mostSeen = 200
)

// expects reports whether an answer that differs by n bytes is a whole one.
func (l *lengths) expects(n int32) bool {
	for i := range l {
		if d := &l[i]; d.bytes == n && d.seen > 0 && d.seen >= d.need {
			return true
		}
	}
	return false
}

// confirm takes note that an answer that differed by n bytes was a whole one.
func (l *lengths) confirm(n int32) {
	least := 0
	for i := range l {
		d := &l[i]
		if d.bytes == n && d.need > 0 {
			d.seen = min(d.seen+1, mostSeen)
			return
		}
		if d.seen < l[least].seen {
			least = i
		}
	}
	if d := &l[least]; d.seen > 0 {
		d.seen-- // what is seen more often stays
		return
	}
	l[least] = difference{bytes: n, seen: 1, need: enough}
}

// deny takes note that more came behind an answer that differed by n bytes.
func (l *lengths) deny(n int32) {
	for i := range l {
		if d := &l[i]; d.bytes == n && d.need > 0 {
			d.seen, d.need = 0, min(2*d.need, mostSeen)
			return
		}
	}
}

// bucket lets a number of events a second pass, and as many at once. Without a
// rate there is no bound.
type bucket struct {
	tokens float64
	at     Time
}

func (b *bucket) take(rate float64, now Time) bool {
	if rate == 0 {
		return true
	}
	burst := max(rate, 1)
	if b.at == 0 {
		b.tokens = burst
	} else if now > b.at {
		b.tokens = min(b.tokens+rate*float64(now-b.at)/float64(Second), burst)
	}
	b.at = max(now, 1)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
