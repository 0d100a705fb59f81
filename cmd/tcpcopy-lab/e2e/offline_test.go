package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

var (
	shortSessions = load.Config{Conns: 1000, Rate: 2000, Duration: 2 * time.Second, Close: "server"}
	keepAlive     = load.Config{Conns: 50, Rate: 2000, Duration: 2 * time.Second}
)

// record plays loads, one after another, while tcpdump records.
func (p *scenario) record(loads ...load.Config) (file string) {
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

// replay replays file to its end, with args, and returns tcpcopy's exit
// status, its report and the verdict on what the target got.
func (p *scenario) replay(file string, args ...string) (int, testbed.ReplayReport, *verdict.Report) {
	p.Helper()
	p.ForgetTarget()
	r, err := p.Replay(append([]string{"-i", file, "-x", "80-" + lab.TargetAddr4}, args...)...)
	p.must(err)
	return p.replayed(r, args)
}

func (p *scenario) replayed(r *testbed.Replay, args []string) (int, testbed.ReplayReport, *verdict.Report) {
	p.Helper()
	status, report, err := r.Wait(p.ctx)
	p.must(err)
	v, err := p.Judge(verdict.Rules{})
	p.must(err)
	p.Logf("tcpcopy %s: exit status %d, %.2f s for %.2f s, late p99 %.6f s, problem %q: %v",
		strings.Join(args, " "), status, report.Seconds, report.Recorded, report.Lateness.P99, report.Problem, v.Copy)
	return status, report, v
}

// exactly wants status 0 and an exact copy.
func (p *scenario) exactly(file string, args ...string) {
	p.Helper()
	status, report, v := p.replay(file, args...)
	if status != 0 || !report.Complete || !v.Exact() {
		p.Errorf("not an exact replay: %v", v.Copy)
	}
}

func TestARecordingIsReplayedExactlyAtEverySpeed(t *testing.T) {
	cases := map[string]struct {
		load   load.Config
		speeds []string
	}{
		"short":      {shortSessions, []string{"1", "10", "max"}},
		"keep-alive": {keepAlive, []string{"10", "100", "max"}},
	}
	if soak() {
		for name, c := range cases {
			c.speeds = []string{"0.5", "1", "4", "10", "100", "max"}
			c.load.Conns, c.load.Duration = max(c.load.Conns, 200), 10*time.Second
			if name == "keep-alive" {
				c.load.Rate = 4000
			}
			cases[name] = c
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := small(t, testbed.Small{Options: lab.Options{Offload: true}})
			file := p.record(c.load)
			for _, speed := range c.speeds {
				p.exactly(file, "-c", lab.Pool4, "-a", speed)
			}
		})
	}
}

// The target closes first, so that it keeps every endpoint in TIME-WAIT.
func TestARecordingIsReplayedAgainOntoTheSameEndpoints(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}})
	file := p.record(shortSessions)
	for range 2 {
		p.exactly(file, "-a", "10")
	}
	status, report, v := p.replay(file, "-a", "max", "-T", "3")
	online := v.Copy.Online
	if c := v.Copy; status != 0 || report.Runs != 3 || c.Target != 3*online || c.Duplicated != 2*online || c.Missing+c.OutOfOrder+c.Foreign+c.Altered > 0 {
		t.Errorf("three runs in a row: %v", c)
	}
}

// Five files, as tcpdump rotates them: the same sessions again and again.
func TestMemoryDoesNotGrowWithTheRecording(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Origin: testbed.Origin{Embedded: true}})
	c := load.Config{Conns: 20, Rate: 100, Duration: time.Second, Post: megabyte, Close: "client"}
	if soak() {
		c.Duration = 10 * time.Second
	}
	file := p.record(c)
	for i := 1; i < 5; i++ {
		p.shifted(file, filepath.Join(p.Lab.Dir, "s1-"+strconv.Itoa(i)+".pcap"), uint32(20*i))
	}
	p.ForgetTarget()
	args := []string{"-i", filepath.Join(p.Lab.Dir, "s1*.pcap"), "-x", "80-" + lab.TargetAddr4, "-c", lab.Pool4, "-a", "max", "-m", "64"}
	r, err := p.Replay(args...)
	p.must(err)
	status, _, v := p.replayed(r, args)
	if c := v.Copy; status != 0 || c.Target != 5*c.Online || c.Missing+c.OutOfOrder+c.Foreign+c.Altered > 0 {
		t.Errorf("five times the same sessions: %v", c)
	}
	peak := r.PeakMemory() >> 20
	t.Logf("%d MB at most", peak)
	if peak > 64+150 {
		t.Errorf("it took %d MB with -m 64", peak)
	}
}

// shifted copies a recording of tcpdump's, seconds later, without much of it
// in memory at a time: lab.Process.PeakMemory would count that.
func (p *scenario) shifted(from, to string, seconds uint32) {
	p.Helper()
	in, err := os.Open(from)
	p.must(err)
	defer in.Close()
	out, err := os.Create(to)
	p.must(err)
	defer out.Close()
	r, w := bufio.NewReader(in), bufio.NewWriter(out)
	_, err = io.CopyN(w, r, 24)
	p.must(err)
	for {
		var head [16]byte
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			break
		}
		binary.LittleEndian.PutUint32(head[:], binary.LittleEndian.Uint32(head[:])+seconds)
		_, _ = w.Write(head[:]) // Flush has the error
		_, err = io.CopyN(w, r, int64(binary.LittleEndian.Uint32(head[8:])))
		p.must(err)
	}
	p.must(w.Flush())
}

func TestRepliesOfAReplayMayComeByIntercepts(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true, Assistants: 2}})
	file := p.record(keepAlive)
	for _, i := range p.Intercepts {
		p.must(i.Start(p.ctx, "intercept"))
	}
	p.ForgetTarget()
	args := []string{"-i", file, "-x", "80-" + lab.TargetAddr4, "-c", lab.Pool4, "-s", lab.AssistantAddr4(0) + "," + lab.AssistantAddr4(1), "-a", "10"}
	r, err := p.ReplayOn(p.Online[0].Host, args...)
	p.must(err)
	if status, _, v := p.replayed(r, args); status != 0 || !v.Exact() {
		t.Errorf("not an exact replay: %v", v.Copy)
	}
}

func TestRepliesOfLiveTrafficMayComeToTcpcopyItself(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, LocalReplies: true})
	p.must(p.Copiers[0].Start(p.ctx, "tcpcopy"))
	p.Intercepts = nil
	p.wait(p.load(keepAlive))
	p.wait(p.load(shortSessions))
	p.exact(p.judge(verdict.Rules{}))
	p.end()
}

// What is recorded of connections whose ends are not: what is there is
// replayed, and the connections are closed.
func TestAPartOfARecordingIsReplayed(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}})
	c := keepAlive
	c.Duration = 4 * time.Second
	file := p.record(c)
	for _, args := range [][]string{{"--to", "2"}, {"--from", "1", "--to", "3"}} {
		status, report, v := p.replay(file, append(args, "-c", lab.Pool4, "-a", "4")...)
		if c := v.Copy; status != 0 || c.Duplicated+c.OutOfOrder+c.Foreign+c.Altered+c.Mixed > 0 || c.Target < 3500 || c.Target > 4500 ||
			report.Recorded < 1.9 || report.Recorded > 2 {
			t.Errorf("%v: %+v\n%v", args, report, c)
		}
	}
	if n := p.Target[0].Host.Established(80); n > 0 {
		t.Errorf("%d connections are still open at the target", n)
	}
}

func TestAPipeIsReplayedAsItComes(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}})
	text, err := os.ReadFile(p.record(keepAlive))
	p.must(err)
	p.ForgetTarget()
	out, in, err := os.Pipe()
	p.must(err)
	go func() {
		defer in.Close()
		for b := range bytes.SplitSeq(text, []byte("GET ")) { // in pieces that have nothing to do with packets
			if _, err := in.Write(append(b, "GET "...)); err != nil {
				return
			}
		}
	}()
	args := []string{"-i", "-", "-x", "80-" + lab.TargetAddr4, "-c", lab.Pool4, "-a", "max"}
	r, err := p.ReplayFrom(out, args...)
	p.must(err)
	out.Close()
	_, _, v := p.replayed(r, args)
	if c := v.Copy; c.Missing+c.Duplicated+c.OutOfOrder+c.Foreign > 0 {
		t.Errorf("not an exact replay: %v", c)
	}
}

func TestExitStatusSaysWhatBecameOfAReplay(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}})
	file := p.record(load.Config{Conns: 20, Rate: 200, Duration: time.Second})
	text, err := os.ReadFile(file)
	p.must(err)
	write := func(name string, b []byte) string {
		path := filepath.Join(p.Lab.Dir, name)
		p.must(os.WriteFile(path, b, 0o644))
		return path
	}
	broken := bytes.Clone(text)
	for i := len(broken) / 2; i < len(broken)/2+4000; i++ {
		broken[i] = 0xee
	}
	var holed []byte // without each 40th packet
	for at, n := 0, 24; at < len(text); n++ {
		size := 24
		if at > 0 {
			size = 16 + int(binary.LittleEndian.Uint32(text[at+8:]))
		}
		if n%40 > 0 {
			holed = append(holed, text[at:at+size]...)
		}
		at += size
	}
	for name, c := range map[string]struct {
		file   string
		args   []string
		status int
		say    string
	}{
		"cut at its end":  {write("cut.pcap", text[:len(text)-7]), nil, 0, "ends within a packet"},
		"broken":          {write("broken.pcap", broken), nil, 2, "broken at byte"},
		"holes":           {write("holed.pcap", holed), nil, 1, "requests lost"},
		"no recording":    {write("text.pcap", []byte("GET / HTTP/1.1\r\n\r\n")), nil, 2, "is no recording"},
		"nothing matches": {file, []string{"-F", "tcp port 81"}, 2, "no packet belongs to"},
		"target is this":  {file, []string{"-x", "80-" + lab.AssistantAddr4(0)}, 1, "is this host"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-i", c.file, "-x", "80-" + lab.TargetAddr4, "-c", lab.Pool4, "-a", "max"}, c.args...)
			r, err := p.Replay(args...)
			p.must(err)
			status, err := r.Process.Wait()
			p.must(err)
			if status != c.status || !strings.Contains(r.Tail(20), c.say) {
				t.Errorf("tcpcopy %v: exit status %d, want %d and %q:\n%s", args, status, c.status, c.say, r.Tail(20))
			}
		})
	}
}

func TestATargetThatDoesNotAnswerFailsTheReplay(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Target: &testbed.Origin{Embedded: true, Fault: web.NeverAnswers}})
	file := p.record(load.Config{Conns: 10, Rate: 100, Duration: 100 * time.Millisecond})
	status, report, _ := p.replay(file, "-c", lab.Pool4, "-t", "1")
	if status != 1 || report.Complete || !strings.Contains(report.Problem, "10 requests unanswered") {
		t.Errorf("exit status %d, %+v", status, report)
	}
}

func TestMissingReturnRouteIsNamed(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}})
	file := p.record(load.Config{Conns: 20, Rate: 200, Duration: time.Second})
	r, err := p.Replay("-i", file, "-x", "80-"+lab.TargetAddr4, "-c", "10.9.9.x", "--shutdown-grace", "0")
	p.must(err)
	want := "ip route add 10.9.9.0/24 via " + lab.AssistantAddr4(0)
	for range 200 {
		if strings.Contains(r.Tail(20), "no answer to any SYN") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if text := r.Tail(20); !strings.Contains(text, "no answer to any SYN") || strings.Count(text, want) < 2 {
		t.Errorf("the log lacks %q:\n%s", want, text)
	}
	p.must(r.Signal(syscall.SIGTERM))
	if status, err := r.Process.Wait(); status != 0 && status != 1 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
}

func TestAReplayWithoutEndEndsInOrder(t *testing.T) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}})
	file := p.record(load.Config{Conns: 20, Rate: 500, Duration: time.Second})
	p.ForgetTarget()
	r, err := p.Replay("-i", file, "-x", "80-"+lab.TargetAddr4, "-c", lab.Pool4, "-T", "0", "-a", "max")
	p.must(err)
	for p.TargetCount() < 1500 {
		select {
		case <-r.Done:
			t.Fatalf("it ended:\n%s", r.Tail(20))
		case <-time.After(50 * time.Millisecond):
		}
	}
	p.must(r.Signal(syscall.SIGTERM))
	status, report, err := r.Wait(p.ctx)
	p.must(err)
	if status != 0 || report.Runs < 3 {
		t.Errorf("exit status %d after %s runs:\n%s", status, strconv.Itoa(report.Runs), r.Tail(20))
	}
	if n := p.Target[0].Host.Established(80); n > 0 {
		t.Errorf("%d connections are still open at the target", n)
	}
}
