package session

import "testing"

// Names become labels of metrics: each value needs one of its own.
func TestNamesAreDistinct(t *testing.T) {
	tables := map[string]func(i int) string{
		"reason": func(i int) string { return Reason(i).String() },
		"kind":   func(i int) string { return Kind(i).String() },
		"state":  func(i int) string { return State(i).String() },
	}
	for name, n := range map[string]int{"reason": NumReasons, "kind": NumKinds, "state": NumStates} {
		seen := map[string]bool{}
		for i := range n {
			seen[tables[name](i)] = true
		}
		if len(seen) != n || seen[""] {
			t.Errorf("%s: %d values, names %v", name, n, seen)
		}
	}
}
