// Package recording knows when each packet of a recording is due, what a recording
// holds, and how far its replay is. It does not know how packets reach a target.
package recording

import (
	"math"
	"time"
)

// Schedule says when the packets of a recording are due. Its zero fields but
// Speed leave the recording as it is.
type Schedule struct {
	Speed    float64       // times as fast as recorded; +Inf: everything is due at once
	MaxGap   time.Duration // longer gaps between packets that are replayed are cut to it
	From, To time.Duration // the part that is replayed, from the first packet; To 0: to the end

	begun  bool
	first  int64         // capture time of the first packet of this run, ns
	last   int64         // of the last one that is replayed
	placed bool          // a packet of this run has been replayed
	place  time.Duration // of the last packet
}

// Part is where a packet lies.
type Part uint8

const (
	Before Part = iota // of From
	Within
	Behind // of To
)

// Locate says whether a packet that was captured at t, ns since the epoch,
// belongs to the part that is replayed. It is to be called for every packet, in
// order.
func (s *Schedule) Locate(t int64) Part {
	if !s.begun {
		s.begun, s.first = true, t
	}
	switch at := max(time.Duration(t-s.first), 0); {
	case at < s.From:
		return Before
	case s.To > 0 && at >= s.To:
		return Behind
	}
	return Within
}

// Place moves on to a packet that is replayed, and returns its place in
// recorded time without the gaps that are cut, over all runs, and when it is
// due after the first one. Neither ever goes back, although recordings of
// several CPUs do, by a little.
func (s *Schedule) Place(t int64) (place, due time.Duration) {
	if s.placed {
		gap := max(time.Duration(t-s.last), 0)
		if s.MaxGap > 0 {
			gap = min(gap, s.MaxGap)
		}
		s.place += gap
		s.last = max(s.last, t)
	} else {
		s.placed, s.last = true, t
	}
	if math.IsInf(s.Speed, 1) {
		return s.place, 0
	}
	return s.place, time.Duration(float64(s.place) / s.Speed)
}

// Again begins the next run: its first packet is due together with the last one of
// this run.
func (s *Schedule) Again() { s.begun, s.placed = false, false }
