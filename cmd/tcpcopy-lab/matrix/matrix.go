// Package matrix copies the traffic of clients that other people wrote onto
// servers that other people wrote, each client to each server, and counts at
// both ends what the servers were asked for.
package matrix

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// Config says which cells of the matrix to run.
type Config struct {
	Programs testbed.Programs
	Rows     []string // none: all
	Columns  []string // none: all
	Short    bool     // each row once and each column once
}

// A row is a kind of server under test.
type row struct {
	name    string
	port    int
	backend bool     // it is a gateway and needs a host behind it
	needs   []string // programs of the server
	start   func(context.Context, *cell) (online, target server, err error)
	columns []column
}

// A column is a kind of client.
type column struct {
	name        string
	needs       []string // programs of the client
	http2       bool     // of production and of the gateway
	captureLoss float64  // share of the clients' packets that tcpcopy does not see
	// notYet is copied exactly in most runs, and not in each (docs/lab.md): it
	// belongs to the whole matrix, and not to its short form.
	notYet bool
	// before, where it is not nil, starts clients that connect before the copy
	// starts; run has to end them.
	before func(context.Context, *cell) error
	run    func(context.Context, *cell) error
	// counts, where it is not nil, selects the requests that must be copied.
	counts func(request string) bool
}

// rows are the rows of the matrix.
func rows() []row {
	return append(gateways(), mosquitto(), unbound(), redis(), postgreSQL(), webSocket())
}

// Rows are the names of the servers.
func Rows() (names []string) {
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}

// Columns are the names of the clients.
func Columns() (names []string) {
	for _, r := range rows() {
		for _, c := range r.columns {
			if !slices.Contains(names, c.name) {
				names = append(names, c.name)
			}
		}
	}
	return names
}

// cells are those that c asks for. In the short form the clients of HTTP go
// round the gateways, so that each gateway and each client is there.
func (c Config) cells() (cells []cell, err error) {
	for _, names := range []struct{ asked, known []string }{{c.Rows, Rows()}, {c.Columns, Columns()}} {
		for _, n := range names.asked {
			if !slices.Contains(names.known, n) {
				return nil, fmt.Errorf("matrix: no %q; there are %s", n, strings.Join(names.known, ", "))
			}
		}
	}
	for _, r := range rows() {
		gateway := slices.IndexFunc(proxies, func(g gateway) bool { return g.name == r.name })
		for i, col := range r.columns {
			if len(c.Rows) > 0 && !slices.Contains(c.Rows, r.name) || len(c.Columns) > 0 && !slices.Contains(c.Columns, col.name) {
				continue
			}
			if c.Short && (gateway >= 0 && i%len(proxies) != gateway || col.notYet) {
				continue
			}
			cells = append(cells, cell{row: r, column: col})
		}
	}
	return cells, nil
}

// Run runs the cells, one after the other, and writes each result to progress
// as it comes.
func Run(ctx context.Context, c Config, progress io.Writer) (*Report, error) {
	cells, err := c.cells()
	if err != nil {
		return nil, err
	}
	if lacks := missing(cells); len(lacks) > 0 {
		return nil, fmt.Errorf("matrix: not installed; run: .ci/install %s", strings.Join(lacks, " "))
	}
	r := newReport()
	for i := range cells {
		result := cells[i].measure(ctx, c.Programs)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fmt.Fprintln(progress, result)
		r.Cells = append(r.Cells, result)
	}
	return r, nil
}

// missing are the programs, and modules of Python, that the cells need and this
// machine lacks.
func missing(cells []cell) (names []string) {
	for _, c := range cells {
		for _, name := range append(slices.Clone(c.row.needs), c.column.needs...) {
			if !installed(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// systemPython is the Python whose modules the package manager installs. There
// may be another in PATH.
const systemPython = "/usr/bin/python3"

// installed takes names as .ci/install does.
func installed(name string) bool {
	if module, ok := strings.CutPrefix(name, "python3-"); ok {
		return exec.Command(systemPython, "-c", "import "+module).Run() == nil
	}
	_, err := exec.LookPath(debianPath(name))
	return err == nil
}
