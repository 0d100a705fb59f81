package recording

import (
	"math"
	"testing"
	"time"
)

const epoch = 1_700_000_000_000_000_000

// place asks for packets at milliseconds of the recording.
func place(s *Schedule, ms ...int) (due []time.Duration) {
	for _, m := range ms {
		t := epoch + int64(m)*1e6
		if s.Locate(t) == Within {
			_, d := s.Place(t)
			due = append(due, d)
		}
	}
	return due
}

func TestPacketsAreDueAsTheScheduleSays(t *testing.T) {
	for name, c := range map[string]struct {
		schedule Schedule
		at       []int
		want     []time.Duration // ms
	}{
		"as recorded":         {Schedule{Speed: 1}, []int{5, 10, 1010}, []time.Duration{0, 5, 1005}},
		"ten times as fast":   {Schedule{Speed: 10}, []int{0, 10, 1010}, []time.Duration{0, 1, 101}},
		"half as fast":        {Schedule{Speed: 0.5}, []int{0, 10, 1010}, []time.Duration{0, 20, 2020}},
		"at once":             {Schedule{Speed: math.Inf(1)}, []int{0, 10, 1010}, []time.Duration{0, 0, 0}},
		"gaps cut":            {Schedule{Speed: 1, MaxGap: 100 * time.Millisecond}, []int{0, 10, 1010, 1020, 9000}, []time.Duration{0, 10, 110, 120, 220}},
		"gaps cut, fast":      {Schedule{Speed: 2, MaxGap: 100 * time.Millisecond}, []int{0, 10, 1010}, []time.Duration{0, 5, 55}},
		"a part":              {Schedule{Speed: 1, From: 10 * time.Millisecond, To: 30 * time.Millisecond}, []int{0, 9, 10, 20, 30, 31}, []time.Duration{0, 10}},
		"time goes back":      {Schedule{Speed: 1}, []int{0, 10, 8, 12}, []time.Duration{0, 10, 10, 12}},
		"before the first":    {Schedule{Speed: 1}, []int{10, 5, 12}, []time.Duration{0, 0, 2}},
		"part and gap":        {Schedule{Speed: 1, From: 50 * time.Millisecond, MaxGap: 10 * time.Millisecond}, []int{0, 60, 90}, []time.Duration{0, 10}},
		"all before the part": {Schedule{Speed: 1, From: time.Hour}, []int{0, 60, 90}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := place(&c.schedule, c.at...)
			if len(got) != len(c.want) {
				t.Fatalf("due at %v, want %v ms", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i]*time.Millisecond {
					t.Errorf("due at %v, want %v ms", got, c.want)
				}
			}
		})
	}
}

func TestFurtherRunsFollowWithoutAWait(t *testing.T) {
	s := &Schedule{Speed: 2, From: 10 * time.Millisecond}
	for run := range 3 {
		got := place(s, 0, 10, 30)
		s.Again()
		base := time.Duration(run) * 10 * time.Millisecond
		if len(got) != 2 || got[0] != base || got[1] != base+10*time.Millisecond {
			t.Errorf("run %d is due at %v", run, got)
		}
	}
}

func TestPacketsBehindTheEndAreToldFromThoseBefore(t *testing.T) {
	s := &Schedule{Speed: 1, From: time.Second, To: 2 * time.Second}
	for ms, want := range []Part{0: Before, 1: Within, 2: Behind} {
		if got := s.Locate(epoch + int64(ms)*1e9); got != want {
			t.Errorf("a packet after %d s is in part %d, want %d", ms, got, want)
		}
	}
}
