package matrix

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// lateAtMost is how long after the load's end the last request may reach the
// target.
const lateAtMost = 2 * time.Second

// holesAtMost is how much later it may be where the capture lost packets: behind
// each hole it has to be waited whether the client sends again what is missing.
const holesAtMost = 3 * time.Second

// connectionsAtMost is how many connections may be opened at the target for
// each of production's. A request that was captured in part may cost one more:
// what of it was sent cannot be taken back, and the connection is over.
const connectionsAtMost = 1.1

// A Result is what became of the requests of one cell.
type Result struct {
	Row    string `json:"row"`
	Column string `json:"column"`
	Error  string `json:"error,omitempty"` // the cell could not be run

	Online     int `json:"online"`     // requests in production's log
	Expected   int `json:"expected"`   // of them, those whose packets were all captured
	Target     int `json:"target"`     // requests in the log behind the target
	Missing    int `json:"missing"`    // expected, and not there
	Duplicated int `json:"duplicated"` // more often there than in production
	Foreign    int `json:"foreign"`    // there, and never in production
	Partial    int `json:"partial"`    // there, but not to their end
	Altered    int `json:"altered"`    // there, although the capture lacks bytes of them
	Misbegun   int `json:"misbegun"`   // connections to the target that begin inside a message

	OnlineConnections int `json:"online_connections"`
	TargetConnections int `json:"target_connections"`

	// Seconds after the load until the last request was there; with requests
	// missing, until the last one that came.
	Late float64 `json:"late_seconds"`

	// tcpcopy's own counters.
	TurnsCopied     int `json:"turns_copied"`
	TurnsUnanswered int `json:"turns_unanswered"`
	TurnsLost       int `json:"turns_lost"`
	Reopened        int `json:"reopened"`
	KernelDrops     int `json:"kernel_drops"`
}

// Faults are what is not as it has to be.
func (r *Result) Faults() (faults []string) {
	if r.Error != "" {
		return []string{r.Error}
	}
	inPart := r.Online - r.Expected
	for _, f := range []struct {
		n    int
		what string
	}{
		{r.Missing, "missing"}, {r.Duplicated, "duplicated"}, {r.Foreign, "foreign"}, {r.Partial - inPart, "not to their end"},
		{r.Altered, "with bytes that are not theirs"},
		{r.Misbegun, "connections that begin inside a message"},
	} {
		if f.n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", f.n, f.what))
		}
	}
	if r.Missing > 0 && r.KernelDrops > 0 {
		faults = append(faults, fmt.Sprintf("%d packets that the kernel dropped from tcpcopy's rings", r.KernelDrops))
	}
	if r.Online == 0 {
		faults = append(faults, "nothing in production's log")
	}
	if float64(r.TargetConnections) > connectionsAtMost*float64(r.OnlineConnections)+float64(inPart) {
		faults = append(faults, fmt.Sprintf("%d connections for %d", r.TargetConnections, r.OnlineConnections))
	}
	late := lateAtMost
	if inPart > 0 {
		late += holesAtMost
	}
	if r.Late > late.Seconds() {
		faults = append(faults, fmt.Sprintf("%.1f s late", r.Late))
	}
	return faults
}

// Exact reports whether each request was copied once, in time, and nothing
// else was sent.
func (r *Result) Exact() bool { return len(r.Faults()) == 0 }

// String is the cell on a line.
func (r *Result) String() string {
	verdict := "exact"
	if faults := r.Faults(); len(faults) > 0 {
		verdict = strings.Join(faults, ", ")
	}
	return fmt.Sprintf("%s, %s: %s (%d requests, %d behind the target, %.1f s)", r.Row, r.Column, verdict, r.Online, r.Target, r.Late)
}

// A Report is the matrix.
type Report struct {
	Date  string    `json:"date"`
	Cells []*Result `json:"cells"`
}

func newReport() *Report { return &Report{Date: time.Now().Format(time.DateOnly)} }

// Exact reports whether every cell is.
func (r *Report) Exact() bool {
	for _, c := range r.Cells {
		if !c.Exact() {
			return false
		}
	}
	return true
}

// String is the table.
func (r *Report) String() string {
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "server\tclient\trequests\tto arrive\tarrived\tmissing\ttwice\tforeign\tpartial\taltered\tconnections\tlate\tturns copied/unanswered/lost\tverdict")
	exact := 0
	for _, c := range r.Cells {
		verdict := "exact"
		if faults := c.Faults(); len(faults) > 0 {
			verdict, _, _ = strings.Cut(strings.Join(faults, ", "), "\n")
		} else {
			exact++
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d for %d\t%.1f s\t%d/%d/%d\t%s\n",
			c.Row, c.Column, c.Online, c.Expected, c.Target, c.Missing, c.Duplicated, c.Foreign, c.Partial, c.Altered,
			c.TargetConnections, c.OnlineConnections, c.Late, c.TurnsCopied, c.TurnsUnanswered, c.TurnsLost, verdict)
	}
	w.Flush()
	fmt.Fprintf(&s, "\n%d of %d cells are exact\n", exact, len(r.Cells))
	return s.String()
}
