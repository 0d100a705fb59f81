package recording

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// Report is the summary of a replay, as --report writes it. Seconds are of
// wall time, RecordedSeconds of the recording.
type Report struct {
	Files           []string  `json:"files"`
	Speed           Speed     `json:"speed"`
	Runs            int       `json:"runs"` // complete ones
	Complete        bool      `json:"complete"`
	Problem         string    `json:"problem,omitempty"`
	Interrupted     bool      `json:"interrupted,omitempty"`
	Broken          int       `json:"broken_files,omitempty"`
	Seconds         float64   `json:"seconds"`
	RecordedSeconds float64   `json:"recorded_seconds"`
	StalledSeconds  float64   `json:"stalled_seconds"` // that the target did not keep up
	Lateness        *Lateness `json:"lateness_seconds,omitempty"`

	Packets struct {
		Read     uint64            `json:"read"`
		Matching uint64            `json:"matching"`
		Dropped  map[string]uint64 `json:"dropped"` // by reason, those that do not match included
	} `json:"packets"`
	Sessions struct {
		Begun     uint64            `json:"begun"` // clients' connections
		Midstream uint64            `json:"midstream"`
		Ended     map[string]uint64 `json:"ended"` // by reason, with all copies
	} `json:"sessions"`
	Turns struct {
		Copied     uint64  `json:"copied"`
		Unanswered uint64  `json:"unanswered"`
		Lost       uint64  `json:"lost"`
		Reproduced float64 `json:"reproduced_ratio"`
	} `json:"turns"`
	Payload struct {
		Accepted  uint64            `json:"accepted"`
		Delivered uint64            `json:"delivered"`
		Dropped   map[string]uint64 `json:"dropped"` // by reason
	} `json:"payload_bytes"`
}

// Lateness is how much later than planned packets reached their sessions.
type Lateness struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Speed is a factor, or "max" for +Inf, which JSON has no number for.
type Speed float64

// MarshalJSON implements json.Marshaler.
func (s Speed) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(s), 1) {
		return []byte(`"max"`), nil
	}
	return json.Marshal(float64(s))
}

// Write writes r to a file.
func (r *Report) Write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("report: %w; name another file with --report", err)
	}
	return nil
}
