package message

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// sent is a message of a stream, with what a Framer is to say of it.
type sent struct {
	bytes  string
	answer Answer
}

// exchange is a stream of messages. What follows the last one is incomplete,
// malformed, or of another protocol.
type stream struct {
	name     string
	from     Framer
	messages []sent
	rest     string
	lost     bool
	protocol Protocol // at the end
}

// follow feeds b to f in the given runs, and returns the ends of messages and
// their answers.
func follow(t *testing.T, f *Framer, runs ...[]byte) string {
	t.Helper()
	var s strings.Builder
	at := 0
	for _, b := range runs {
		for len(b) > 0 {
			n, end := f.Next(b)
			if n < 0 || n > len(b) || n == 0 && !end || !end && n != len(b) {
				t.Fatalf("Next took %d of %d bytes, end %v", n, len(b), end)
			}
			if end && !f.Boundary() && f.protocol != Unknown {
				t.Fatalf("no boundary behind the end of a message")
			}
			at += n
			b = b[n:]
			if end {
				fmt.Fprintf(&s, "%d:%d ", at, f.Answer())
			}
		}
	}
	fmt.Fprintf(&s, "%v lost=%v", f.Protocol(), f.Lost())
	return s.String()
}

func run(t *testing.T, streams []stream) {
	for _, c := range streams {
		t.Run(c.name, func(t *testing.T) {
			var all []byte
			var want strings.Builder
			for _, m := range c.messages {
				all = append(all, m.bytes...)
				fmt.Fprintf(&want, "%d:%d ", len(all), m.answer)
			}
			all = append(all, c.rest...)
			fmt.Fprintf(&want, "%v lost=%v", c.protocol, c.lost)
			f := c.from
			if got := follow(t, &f, all); got != want.String() {
				t.Fatalf("at once:\n got %s\nwant %s", got, &want)
			}
			f = c.from
			if got := follow(t, &f, bytes.SplitAfter(all, nil)...); got != want.String() {
				t.Fatalf("byte by byte:\n got %s\nwant %s", got, &want)
			}
			for i := range all {
				f = c.from
				if got := follow(t, &f, all[:i], all[i:]); got != want.String() {
					t.Fatalf("cut at %d:\n got %s\nwant %s", i, got, &want)
				}
			}
		})
	}
}

// judge checks a Verdict about b, and that every shorter piece of what is
// recognised leaves it open.
func judge(t *testing.T, what string, b string, want Verdict, verdict func([]byte) Verdict) {
	t.Helper()
	if got := verdict([]byte(b)); got != want {
		t.Errorf("%s: %q: got %d, want %d", what, b, got, want)
		return
	}
	decided := false
	for i := 1; i <= len(b); i++ {
		got := verdict([]byte(b[:i]))
		if decided && got != want || got != Maybe && got != want {
			t.Errorf("%s: %q: %d after %d bytes, %d at the end", what, b, got, i, want)
			return
		}
		decided = got != Maybe
	}
}
