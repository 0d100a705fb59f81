package replies

import (
	"slices"
	"testing"
)

func TestRepliesAreUrgentWhileAnyWorkerWaits(t *testing.T) {
	var told []bool
	u := NewUrgency(func(urgent bool) { told = append(told, urgent) })
	for _, urgent := range []bool{true, true, false} {
		u.Change(urgent)
	}
	if !u.Urgent() || !slices.Equal(told, []bool{true}) {
		t.Errorf("one of two workers waits, told %v", told)
	}
	u.Change(false)
	if u.Urgent() || !slices.Equal(told, []bool{true, false}) {
		t.Errorf("nobody waits, told %v", told)
	}
}
