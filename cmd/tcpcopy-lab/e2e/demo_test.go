package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/demo"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

func TestDemoIsExactWithEachGateway(t *testing.T) {
	for _, c := range []struct {
		name string
		demo.Config
	}{
		{"l4", demo.Config{Gateway: lab.L4, Assistants: 1, Offload: true}},
		{"l4, offloads off", demo.Config{Gateway: lab.L4, Assistants: 1}},
		{"l7", demo.Config{Gateway: lab.L7, Assistants: 1, Offload: true}},
		{"l4, two assistants", demo.Config{Gateway: lab.L4, Assistants: 2, Offload: true}},
		{"l7, two assistants", demo.Config{Gateway: lab.L7, Assistants: 2, Offload: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := needs(t)
			c.Alone, c.Copied, c.Rate = 2*time.Second, 6*time.Second, 1500
			var out bytes.Buffer
			report, err := demo.Run(t.Context(), p, c.Config, &out)
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			if !report.Exact() {
				t.Errorf("not an exact copy\n%s", out.String())
			}
			for _, target := range report.Target {
				if target.Requests == 0 {
					t.Errorf("the gateway sent nothing to %s", target.Server)
				}
			}
			t.Log("\n" + out.String()[strings.Index(out.String(), "3. the verdict"):])
		})
	}
}

// Ctrl-C, or the death of the lab with what the next start does.
func TestAnInterruptedDemoLeavesNothingBehind(t *testing.T) {
	p := needs(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			demo := exec.Command(p.Lab, "demo", "--alone", "1s", "--copied", "20s")
			out, err := demo.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := demo.Start(); err != nil {
				t.Fatal(err)
			}
			run, lines := "", bufio.NewScanner(out)
			for lines.Scan() && !strings.Contains(lines.Text(), "2s ") {
				if rest, ok := strings.CutPrefix(lines.Text(), "lab "); ok {
					run, _, _ = strings.Cut(rest, " ")
				}
			}
			if err := demo.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
			}
			demo.Wait()
			if sig == syscall.SIGKILL {
				if _, err := lab.Clean(); err != nil {
					t.Error(err)
				}
			} else if demo.ProcessState.ExitCode() != 130 {
				t.Errorf("exit status %d after %v, want 130", demo.ProcessState.ExitCode(), sig)
			}
			if run == "" {
				t.Fatal("the demo did not tell its run")
			}
			for _, pattern := range []string{"/run/netns/" + lab.Prefix + run + "*", "/run/tcpcopy-lab/" + run, os.TempDir() + "/" + lab.Prefix + run + "*"} {
				if left, _ := filepath.Glob(pattern); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			}
			cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, c := range cmdlines {
				if text, _ := os.ReadFile(c); bytes.Contains(text, []byte(lab.Prefix+run)) || bytes.HasPrefix(text, []byte(filepath.Dir(p.Lab))) {
					t.Errorf("still running: %s %s", c, bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
				}
			}
		})
	}
}
