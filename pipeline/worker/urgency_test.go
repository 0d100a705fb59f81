package worker

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

func TestAWorkerWithoutWorkDoesNotHurryReplies(t *testing.T) {
	var told []bool
	u := urgency{tell: func(urgent bool) { told = append(told, urgent) }}
	at := session.Time(session.Second)
	for range 30 {
		u.follow(at, 1, true)
	}
	if u.timeout() < 0 {
		t.Error("a thread may sleep for ever while replies are urgent")
	}
	u.follow(at+urgentFor-1, 0, false)
	if len(told) != 1 || !told[0] {
		t.Fatalf("told %v before the time was over", told)
	}
	u.follow(at+urgentFor, 0, false)
	if len(told) != 2 || told[1] || u.timeout() >= 0 {
		t.Errorf("told %v", told)
	}
}

func TestRepliesAreUrgentWhileMostPassesAreBehind(t *testing.T) {
	var told []bool
	u := urgency{tell: func(urgent bool) { told = append(told, urgent) }}
	passes := func(n int, behind bool) {
		for range n {
			u.follow(0, 1, behind)
		}
	}
	passes(3, true)
	passes(3, false)
	if len(told) > 0 {
		t.Errorf("told %v of a moment", told)
	}
	passes(30, true)
	passes(5, false)
	if len(told) != 1 || !told[0] {
		t.Errorf("told %v while most passes were behind", told)
	}
	passes(30, false)
	if len(told) != 2 || told[1] {
		t.Errorf("told %v when the copy had caught up", told)
	}
}
