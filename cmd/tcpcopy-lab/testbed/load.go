package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
)

// A Load is a running load generator on the testbed's client.
type Load struct {
	Held   <-chan struct{} // closed when all connections wait for GoOn
	stdin  *os.File
	report *load.Report
	done   chan error
}

// Load starts c against the testbed's front. second, if not nil, gets what
// happened each second.
func (s *Testbed) Load(c load.Config, second func(load.Stat)) (*Load, error) {
	s.loads++
	c.Target, c.Sources, c.Run = s.Front, s.Sources, fmt.Sprint(s.loads)
	stdin, hold, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("testbed: %w", err)
	}
	defer stdin.Close()
	lines, out := io.Pipe()
	p, err := s.Client.Start(lab.Command{
		Name: "load" + c.Run, Args: append([]string{s.Programs.Lab, "load"}, c.Args()...),
		Stdin: stdin, Stdout: out,
	})
	if err != nil {
		hold.Close()
		return nil, err
	}
	held := make(chan struct{})
	l := &Load{Held: held, stdin: hold, done: make(chan error, 1)}
	go func() {
		<-p.Done
		out.Close()
	}()
	go func() {
		defer lines.Close() // whatever else the process writes does not hold its end up
		in := json.NewDecoder(lines)
		for {
			var line load.Line
			err := in.Decode(&line)
			switch {
			case err != nil:
				if l.report == nil {
					l.done <- fmt.Errorf("testbed: load ended without a report: %w\n%s", err, p.Tail(10))
				} else {
					l.done <- nil
				}
				return
			case line.Held > 0:
				close(held)
			case line.Second != nil && second != nil:
				second(*line.Second)
			case line.Report != nil:
				l.report = line.Report
			}
		}
	}()
	return l, nil
}

// GoOn releases held connections.
func (l *Load) GoOn() error {
	_, err := l.stdin.WriteString("\n")
	return err
}

// Wait returns the load's report; one with failures is an error too, since
// then production itself did not work.
func (l *Load) Wait(ctx context.Context) (*load.Report, error) {
	defer l.stdin.Close()
	var err error
	select {
	case err = <-l.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err == nil && l.report.Failed() > 0 {
		text, _ := json.Marshal(l.report)
		err = errors.New("testbed: production failed: " + string(text))
	}
	return l.report, err
}
