package pipeline

import (
	"testing"
	"time"
)

func TestAWorkerWithoutWorkIsInNoHurry(t *testing.T) {
	p := newPipeline(t, 2, nil)
	told := make(chan bool, 2)
	p.haste.tell = func(on bool) { told <- on }
	run(t, p)
	for _, w := range p.workers { // told once for both
		w.do(func() {
			w.hurry, w.behind, w.busyAt = true, 1<<10, w.now
			w.haste.change(true)
		})
	}
	for _, want := range []bool{true, false} {
		select {
		case on := <-told:
			if on != want {
				t.Fatalf("hurry %v, want %v", on, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody was told of hurry %v", want)
		}
	}
	if p.haste.hurrying() || len(told) > 0 {
		t.Error("a hurry is left")
	}
}

func TestAWorkerHurriesWhileMostRoundsAreLate(t *testing.T) {
	p := newPipeline(t, 1, nil)
	var told []bool
	p.haste.tell = func(on bool) { told = append(told, on) }
	w := p.workers[0]
	rounds := func(n int, late bool) {
		for range n {
			w.late = late
			w.pace()
		}
	}
	rounds(3, true)
	rounds(3, false)
	if len(told) > 0 {
		t.Errorf("told %v of a moment", told)
	}
	rounds(30, true)
	rounds(5, false)
	if len(told) != 1 || !told[0] {
		t.Errorf("told %v while most rounds were late", told)
	}
	rounds(30, false)
	if len(told) != 2 || told[1] {
		t.Errorf("told %v when the copy had caught up", told)
	}
}
