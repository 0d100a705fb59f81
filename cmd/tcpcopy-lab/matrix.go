package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/matrix"
)

func runMatrix(ctx context.Context, args []string) error {
	var c matrix.Config
	f := pflag.NewFlagSet("matrix", pflag.ContinueOnError)
	f.StringSliceVar(&c.Rows, "rows", nil, "servers (default all): "+strings.Join(matrix.Rows(), ","))
	f.StringSliceVar(&c.Columns, "columns", nil, "clients (default all): "+strings.Join(matrix.Columns(), ","))
	f.BoolVar(&c.Short, "short", false, "each server and each client once")
	out := f.String("json", "", "write every figure as JSON to this file")
	if err := parse(f, args); err != nil {
		return err
	}
	var err error
	if c.Programs, err = programs(); err != nil {
		return err
	}
	report, err := matrix.Run(ctx, c, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Print(report)
	if *out != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(*out, append(text, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	if !report.Exact() {
		return errors.New("not every copy is exact")
	}
	return nil
}
