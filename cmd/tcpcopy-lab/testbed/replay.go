package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// A Recording is a tcpdump that runs on a host.
type Recording struct {
	File    string
	process *lab.Process
}

// Record starts the seed's tcpdump on the first of production's servers.
func (s *Testbed) Record(ctx context.Context, file string) (*Recording, error) {
	_, port, err := net.SplitHostPort(s.Front)
	if err != nil {
		return nil, fmt.Errorf("testbed: %w", err)
	}
	return Record(ctx, s.Online[0].Host, "eth0", 0, "tcp and port "+port, file)
}

// Record starts a tcpdump on an interface of h that keeps the first snaplen
// bytes of each packet that the filter takes; 0: all.
func Record(ctx context.Context, h *lab.Host, iface string, snaplen int, filter, file string) (*Recording, error) {
	p, err := h.Start(lab.Command{Name: "tcpdump-" + iface, Args: []string{
		"tcpdump", "-i", iface, "-s", strconv.Itoa(snaplen), "-B", "65536", "-Z", "root", "-w", file, filter,
	}})
	if err != nil {
		return nil, err
	}
	for !strings.Contains(p.Tail(20), "listening on") {
		select {
		case <-p.Done:
			return nil, fmt.Errorf("testbed: tcpdump ended:\n%s", p.Tail(20))
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return &Recording{file, p}, nil
}

// End ends the recording. It is an error if the kernel dropped packets.
func (r *Recording) End() error {
	time.Sleep(1500 * time.Millisecond) // the kernel hands tcpdump a block after a second
	if err := r.process.Signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("testbed: tcpdump: %w", err)
	}
	if status, err := r.process.Wait(); err != nil || status != 0 || !strings.Contains(r.process.Tail(20), "\n0 packets dropped by kernel") {
		return fmt.Errorf("testbed: tcpdump ended with %d, %v:\n%s", status, err, r.process.Tail(20))
	}
	return nil
}

// A Replay is a tcpcopy that replays a recording, on the host to which the
// return routes lead.
type Replay struct {
	*lab.Process
	report string
}

// Replay starts tcpcopy with args on the first assistant's host, which captures
// the replies by itself.
func (s *Testbed) Replay(args ...string) (*Replay, error) {
	return s.replay(s.Intercepts[0].Host, nil, args)
}

// ReplayFrom is Replay with a standard input.
func (s *Testbed) ReplayFrom(stdin *os.File, args ...string) (*Replay, error) {
	return s.replay(s.Intercepts[0].Host, stdin, args)
}

// ReplayOn is Replay on another host.
func (s *Testbed) ReplayOn(h *lab.Host, args ...string) (*Replay, error) {
	return s.replay(h, nil, args)
}

func (s *Testbed) replay(h *lab.Host, stdin *os.File, args []string) (*Replay, error) {
	s.replays++
	name := fmt.Sprint("replay", s.replays)
	report := filepath.Join(s.Lab.Dir, name+".json")
	c := lab.Command{Name: name, Args: append([]string{s.Programs.Tcpcopy, "--report", report}, args...)}
	if stdin != nil {
		c.Stdin = stdin
	}
	p, err := h.Start(c)
	if err != nil {
		return nil, err
	}
	return &Replay{p, report}, nil
}

// A ReplayReport is of what tcpcopy reports of a replay what the tests ask for.
type ReplayReport struct {
	Complete bool    `json:"complete"`
	Problem  string  `json:"problem"`
	Runs     int     `json:"runs"`
	Seconds  float64 `json:"seconds"`
	Recorded float64 `json:"recorded_seconds"`
	Lateness struct {
		P99 float64 `json:"p99"`
	} `json:"lateness_seconds"`
	Turns struct {
		Copied uint64 `json:"copied"`
	} `json:"turns"`
}

// Wait waits for the end of a replay and returns its exit status and report.
func (r *Replay) Wait(ctx context.Context) (status int, report ReplayReport, err error) {
	select {
	case <-r.Done:
	case <-ctx.Done():
		return -1, report, ctx.Err()
	}
	if status, err = r.Process.Wait(); err != nil {
		return status, report, err
	}
	text, err := os.ReadFile(r.report)
	if err != nil {
		return status, report, fmt.Errorf("testbed: %w\n%s", err, r.Tail(20))
	}
	return status, report, json.Unmarshal(text, &report)
}

// ForgetTarget leaves what the target was asked so far out of the counts and
// the verdict.
func (s *Testbed) ForgetTarget() {
	for _, server := range s.Target {
		server.forget()
	}
}
