package recording

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Progress is how far a replay is.
type Progress struct {
	Read, Size int64         // bytes of the recordings, of this run; Size 0: not known
	Run, Runs  int           // runs that are complete, of how many; Runs 0: until stopped
	Elapsed    time.Duration // since the beginning
	Recorded   time.Duration // recorded time that is replayed, of all runs
	Sessions   uint64        // that are open
	Begun      uint64        // clients' connections
	Turns      uint64        // that were copied
	Reproduced float64       // share of the turns that were
}

// done is the share that is replayed; known is false without an end.
func (p *Progress) done() (share float64, known bool) {
	if p.Size == 0 || p.Runs == 0 {
		return 0, false
	}
	share = (float64(p.Run) + float64(p.Read)/float64(p.Size)) / float64(p.Runs)
	return min(share, 1), true
}

// eta is the time that is left at the pace so far.
func (p *Progress) eta() (time.Duration, bool) {
	share, known := p.done()
	if !known || share < 0.001 {
		return 0, false
	}
	return time.Duration(float64(p.Elapsed) * (1 - share) / share).Round(time.Second), true
}

// rate is how many turns a second there were.
func (p *Progress) rate() float64 { return float64(p.Turns) / max(p.Elapsed.Seconds(), 0.001) }

// Attrs are the fields of a line in the log.
func (p *Progress) Attrs() []any {
	attrs := []any{
		"recorded", p.Recorded.Round(time.Millisecond), "elapsed", p.Elapsed.Round(time.Millisecond), "run", p.Run + 1,
		"sessions", p.Sessions, "begun", p.Begun, "turns_copied", p.Turns, "turns_per_second", math.Round(p.rate()),
		"reproduced", fmt.Sprintf("%.4f", p.Reproduced),
	}
	if share, known := p.done(); known {
		attrs = append(attrs, "done", fmt.Sprintf("%.1f%%", 100*share))
	}
	if eta, known := p.eta(); known {
		attrs = append(attrs, "eta", eta)
	}
	return attrs
}

// Line is a line for a terminal of width columns.
func (p *Progress) Line(width int) string {
	text := fmt.Sprintf(" %v recorded  %d sessions  %.0f requests/s",
		p.Recorded.Round(100*time.Millisecond), p.Sessions, p.rate())
	if p.Turns > 0 || p.Reproduced < 1 { // else no turn has ended
		text += fmt.Sprintf("  %.2f %% copied", 100*p.Reproduced)
	}
	if p.Runs != 1 {
		text = fmt.Sprintf(" run %d ", p.Run+1) + text
	}
	if eta, known := p.eta(); known {
		text += fmt.Sprintf("  %v left", eta)
	}
	share, known := p.done()
	if bar := width - len(text) - len("[] 100 %") - 1; known && bar >= 8 {
		bar = min(bar, 40)
		full := int(share * float64(bar))
		text = fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat("-", bar-full), math.Floor(100*share)) + text
	}
	return text[:min(len(text), max(width-1, 0))]
}
