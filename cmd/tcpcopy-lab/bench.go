package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/bench"
)

func runBench(ctx context.Context, args []string) error {
	var c bench.Config
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.StringSliceVar(&c.Rows, "rows", bench.Rows(), "what to measure, separated by commas")
	f.IntVar(&c.Runs, "runs", 5, "runs of each row and side, of which the medians are told")
	f.DurationVar(&c.Duration, "duration", 5*time.Second, "how long a load lasts")
	f.StringVar(&c.Peer.Tcpcopy, "peer-tcpcopy", os.Getenv("PEER_TCPCOPY"), "another tcpcopy to compare with, of the same command line")
	f.StringVar(&c.Peer.Intercept, "peer-intercept", os.Getenv("PEER_INTERCEPT"), "its intercept")
	f.StringVar(&c.PeerReplayer, "peer-replayer", os.Getenv("PEER_REPLAYER"), "its tcpcopy for recordings, where that is another one")
	out := f.String("out", "", "write the report to FILE.txt and, with every run, to FILE.json")
	if err := parse(f, args); err != nil {
		return err
	}
	if (c.Peer.Tcpcopy == "") != (c.Peer.Intercept == "") {
		return fmt.Errorf("bench: a peer is a tcpcopy and an intercept")
	}
	var err error
	if c.Programs, err = programs(); err != nil {
		return err
	}
	report, err := bench.Run(ctx, c, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Print(report)
	if *out == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
		return err
	}
	base := strings.TrimSuffix(*out, ".txt")
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".txt", []byte(report.String()), 0o644)
}
