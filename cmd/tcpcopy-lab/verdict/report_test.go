package verdict

import (
	"strings"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
)

func account(t *testing.T, r *Report, text string) {
	t.Helper()
	m, err := ParseMetrics(text)
	if err != nil {
		t.Fatal(err)
	}
	r.Account(m)
}

func TestAccountsOfSeveralTcpcopysAddUp(t *testing.T) {
	var r Report
	for range 2 {
		account(t, &r, `tcpcopy_accepted_payload_bytes_total 100
tcpcopy_delivered_payload_bytes_total 80
tcpcopy_buffered_payload_bytes 5
tcpcopy_dropped_payload_bytes_total{stage="session",reason="midstream"} 15
tcpcopy_dropped_payload_bytes_total{stage="capture",reason="not_matched"} 7
tcpcopy_capture_kernel_drops_total{interface="any",ring="0"} 1
`)
	}
	if got := r.Tcpcopy.Unaccounted(); got != 0 {
		t.Errorf("%v bytes are not accounted for, want 0", got)
	}
	if r.Tcpcopy.Uncaught != 2 || r.Tcpcopy.Bytes["session midstream"] != 30 {
		t.Errorf("account %+v", r.Tcpcopy)
	}
	account(t, &r, "tcpcopy_accepted_payload_bytes_total 9\n")
	if got := r.Tcpcopy.Unaccounted(); got != 9 {
		t.Errorf("%v bytes are not accounted for, want 9", got)
	}
}

func TestTheTableTellsTheVerdict(t *testing.T) {
	online, target := []Server{side("s1", "1:a,b")}, []Server{side("b1", "7:a,b")}
	exact := &Report{
		Online: Counts(online), Target: Counts(target), Copy: Compare(online, target, Rules{}),
		Before: &load.Stat{Seconds: 1, Answers: 1000, P99: 500}, During: &load.Stat{Seconds: 2, Answers: 1998, P99: 700},
	}
	for _, want := range []string{"copy ratio  100.0000 %", "requests per second   1000     999", "exactly once, in order"} {
		if !strings.Contains(exact.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, exact)
		}
	}
	less := &Report{Copy: Compare(online, []Server{side("b1", "7:a")}, Rules{})}
	for _, want := range []string{"copy ratio  50.0000 %", "missing: b", "NOT an exact copy"} {
		if !strings.Contains(less.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, less)
		}
	}
	if !exact.Exact() || less.Exact() {
		t.Error("Exact does not tell the two apart")
	}
}
