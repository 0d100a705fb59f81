package session

import (
	"testing"
	"testing/quick"
)

// Laws of sequence numbers, for positions anywhere and distances below 2^31.
func TestSequenceNumbersCompareAcrossTheWrap(t *testing.T) {
	laws := map[string]any{
		"what is added is the distance": func(s Seq, n uint32) bool { return s.Add(n).Sub(s) == n },
		"further on is later":           func(s Seq, n uint32) bool { n >>= 1; return s.Before(s.Add(n)) == (n > 0) },
		"never before each other":       func(s, u Seq) bool { return !(s.Before(u) && u.Before(s)) },
		"nothing is before itself":      func(s Seq) bool { return !s.Before(s) },
		"additions add up":              func(s Seq, m, n uint32) bool { return s.Add(m).Add(n) == s.Add(m+n) },
		"order does not depend on where": func(s Seq, shift, n uint32) bool {
			u := s.Add(n)
			return s.Before(u) == s.Add(shift).Before(u.Add(shift))
		},
		"Min and Max are the two, in order": func(s Seq, n uint32) bool {
			u := s.Add(n >> 1)
			return s.Min(u) == s && u.Min(s) == s && s.Max(u) == u && u.Max(s) == u
		},
	}
	for name, law := range laws {
		if err := quick.Check(law, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := ^Seq(0)
	if !last.Before(0) || Seq(0).Before(last) || last.Add(1) != 0 || Seq(5).Sub(last) != 6 {
		t.Error("the number after the last is 0")
	}
}
