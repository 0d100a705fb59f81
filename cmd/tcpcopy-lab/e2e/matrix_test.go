package e2e

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/matrix"
)

// Software that nobody here wrote, on all sides: each server and each client
// of the matrix once. `make matrix` has every client with every server.
func TestRequestsOfRealClientsReachRealServersOnceAndInTime(t *testing.T) {
	c := matrix.Config{Programs: needs(t), Short: true}
	report, err := matrix.Run(t.Context(), c, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range report.Cells {
		t.Run(cell.Row+", "+cell.Column, func(t *testing.T) {
			if !cell.Exact() {
				t.Error(cell)
			}
		})
	}
	t.Logf("\n%s", report)
}
