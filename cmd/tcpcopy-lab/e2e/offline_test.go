package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/stage"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// record plays loads, one after another, while tcpdump records.
func (p *play) record(loads ...load.Config) (file string) {
	p.Helper()
	file = filepath.Join(p.Lab.Dir, "s1.pcap")
	r, err := p.Record(p.ctx, file)
	p.must(err)
	for _, c := range loads {
		p.wait(p.load(c))
	}
	p.must(r.End())
	return file
}

// replay replays to the end and wants status 0 and an exact copy.
func (p *play) replay(file string, args ...string) stage.ReplayReport {
	p.Helper()
	p.ForgetTarget()
	r, err := p.Replay(append([]string{"-i", file, "-x", "80-" + lab.TargetAddr4}, args...)...)
	p.must(err)
	status, report, err := r.Wait(p.ctx)
	p.must(err)
	v, err := p.Judge(verdict.Rules{})
	p.must(err)
	if status != 0 || !report.Complete || !v.Exact() {
		p.Errorf("tcpcopy %v: exit status %d, %+v\n%v\n%s", args, status, report, v, r.Tail(20))
	} else {
		p.Logf("%v: %.2f s for %.2f s, late p99 %.6f s: %v", args, report.Seconds, report.Recorded, report.Lateness.P99, v.Copy)
	}
	return report
}

func TestRecordingIsReplayedExactlyAtEverySpeed(t *testing.T) {
	for name, c := range map[string]load.Config{
		"short":      {Conns: 1000, Rate: 2000, Duration: 3 * time.Second, Close: "server"},
		"keep-alive": {Conns: 50, Rate: 2000, Duration: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			p := small(t, stage.Small{Options: lab.Options{Offload: true}})
			file := p.record(c)
			for _, speed := range []string{"1", "10", "10", "100", "max", "max"} {
				p.replay(file, "-c", lab.Pool4, "-a", speed)
			}
		})
	}
}

var _ = strings.Contains
