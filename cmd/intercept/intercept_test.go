package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// mainEnv makes the test binary the program itself.
const mainEnv = "INTERCEPT_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is a running intercept.
type process struct {
	cmd *exec.Cmd
	log *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{exec.Command(os.Args[0], args...), new(logBuffer)}
	p.cmd.Env = append(os.Environ(), mainEnv+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("intercept wrote:\n%s", p.log)
		}
	})
	return p
}

// end sends a signal and returns the exit status.
func (p *process) end(s os.Signal) int {
	_ = p.cmd.Process.Signal(s)
	return p.status()
}

func (p *process) status() int {
	var exit *exec.ExitError
	if err := p.cmd.Wait(); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		return -2
	}
	return 0
}

// eventually waits for what another process brings about, and tries again to
// bring it about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never happened: %s", what)
}

// inbox is what a tcpcopy gets.
type inbox struct {
	mu  sync.Mutex
	got []packet.Reply
}

// own takes what a link brings.
func (b *inbox) own(_ int, in *link.Inlet) {
	go func() {
		fds := []unix.PollFd{{Fd: int32(in.FD()), Events: unix.POLLIN}}
		for open := true; open; _, open = in.Read(b.put) {
			unix.Poll(fds, 100)
		}
	}()
}

func (b *inbox) put(batch []packet.Reply) {
	b.mu.Lock()
	b.got = append(b.got, batch...)
	b.mu.Unlock()
}

// synAck returns the SYN-ACK to an endpoint.
func (b *inbox) synAck(to packet.Endpoint) (packet.Reply, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.got {
		if r.Dst == to && r.Flags == packet.SYN|packet.ACK {
			return r, true
		}
	}
	return packet.Reply{}, false
}

func (b *inbox) clear() {
	b.mu.Lock()
	b.got = nil
	b.mu.Unlock()
}

// tcpcopy links to the intercept.
func tcpcopy(t *testing.T, n byte, change func(*link.ClientConfig)) (*link.Client, *inbox) {
	t.Helper()
	b := new(inbox)
	cfg := link.ClientConfig{
		Addr: netip.MustParseAddrPort("10.9.2.30:36524"), Name: fmt.Sprintf("S%d", n), Instance: [16]byte{n},
		Conns: 2, OnOpen: b.own, Logger: slog.New(slog.DiscardHandler),
	}
	change(&cfg)
	c, err := link.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	go c.Run(t.Context())
	eventually(t, "the links are up", func() bool { return c.Stats().Up == cfg.Conns })
	return c, b
}

// syn sends a SYN to the target's web server from an endpoint that nobody has.
func syn(t *testing.T, tx *ring.Tx, from packet.Endpoint) {
	t.Helper()
	to := packet.EndpointFrom(target4)
	if !from.Addr.Is4() {
		to = packet.EndpointFrom(target6)
	}
	h := packet.Header{Src: from, Dst: to, Seq: 1000, Flags: packet.SYN, Window: 64000, Options: []byte{2, 4, 5, 180, 4, 2, 1, 1}}
	tx.Commit(packet.Build(tx.Begin(), &h, 0), 0, nil)
	tx.Flush()
	if st := tx.Stats(); len(st.Errors) > 0 {
		t.Fatal(st.Errors)
	}
}

func TestRepliesOfTheTargetReachTheirTcpcopy(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	tx, err := ring.NewTx(ring.Raw)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	args := []string{"-i", "eth0", "-F", "tcp and src port 80", "-b", "10.9.2.30", "--web.listen-address", "127.0.0.1:9100"}
	p := start(t, args...)

	// Replies to a claimed prefix, of both families.
	_, prefix := tcpcopy(t, 1, func(c *link.ClientConfig) {
		c.Claims = []netip.Prefix{netip.MustParsePrefix("10.9.3.0/24"), netip.MustParsePrefix("fd00:9:3::/64")}
	})
	expect := func(box *inbox, from packet.Endpoint) {
		t.Helper()
		box.clear()
		n := 0
		eventually(t, "the SYN-ACK to "+from.String(), func() bool {
			if n++; n%50 == 1 {
				syn(t, tx, from)
			}
			_, ok := box.synAck(from)
			return ok
		})
		r, _ := box.synAck(from)
		if r.Ack != 1001 || r.MSS == 0 || !r.SACKOK || r.Len != 0 || r.Src.Port != 80 {
			t.Errorf("the SYN-ACK says %+v", r)
		}
	}
	for _, from := range []string{"10.9.3.7:40000", "10.9.3.8:40001", "[fd00:9:3::7]:40000"} {
		expect(prefix, packet.EndpointFrom(netip.MustParseAddrPort(from)))
	}

	// Replies to clients who keep their addresses, claimed after the SYN went.
	own := packet.EndpointFrom(netip.MustParseAddrPort("192.0.2.7:5000"))
	var live sync.Map
	flows, flowBox := tcpcopy(t, 2, func(c *link.ClientConfig) {
		c.LiveFlows = func(yield func(packet.Endpoint)) {
			live.Range(func(e, _ any) bool { yield(e.(packet.Endpoint)); return true })
		}
	})
	syn(t, tx, own)
	eventually(t, "a reply is held", func() bool { return metrics(t)["intercept_replies_held"] > 0 })
	live.Store(own, true)
	flows.AddFlows([]packet.Endpoint{own})
	expect(flowBox, own)

	// The program is killed and comes back; both go on.
	if status := p.end(syscall.SIGKILL); status != -1 {
		t.Errorf("exit status %d", status)
	}
	p = start(t, args...)
	expect(prefix, packet.EndpointFrom(netip.MustParseAddrPort("10.9.3.9:40000")))
	expect(flowBox, own)

	// Forwarding is switched on under a claim.
	sysctl(t, "ipv4/ip_forward", "1")
	addRoute(t, "10.9.3.0/24", "10.9.2.1")
	eventually(t, "it is loud about the leak", func() bool {
		return strings.Contains(p.log.String(), "REPLIES LEAK TO REAL CLIENTS") && strings.Contains(p.log.String(), "sysctl -w net.ipv4.ip_forward=0")
	})

	eventually(t, "all packets are accounted for", func() bool {
		m := metrics(t)
		sum := m["intercept_replies_held"] + m["intercept_replies_queued"]
		for _, result := range []string{"forwarded", "dropped", "no_session", "link_down", "expired", "malformed"} {
			sum += m[`intercept_replies_total{result="`+result+`"}`]
		}
		return sum == m["intercept_replies_captured_total"] && m[`intercept_replies_total{result="forwarded"}`] > 0 &&
			m[`intercept_capture_packets_total{interface="eth0",ring="0"}`] == sum
	})
	m := metrics(t)
	if m["intercept_links"] != 4 || m["intercept_tcpcopys"] != 2 || m["intercept_claims"] != 2 || m["intercept_flows"] != 1 || m["intercept_leaks"] != 1 {
		t.Errorf("%v", m)
	}
	if status := p.end(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if log := p.log.String(); !strings.Contains(log, "msg=summary captured=") {
		t.Error(log)
	}
}

func TestStartIsRefusedWhereForwardingWouldLeak(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	sysctl(t, "ipv4/ip_forward", "1")
	addRoute(t, "0.0.0.0/0", "10.9.2.1")
	p := start(t, "-i", "eth0")
	if status := p.status(); status != 1 || !strings.Contains(p.log.String(), "run `sysctl -w net.ipv4.ip_forward=0`") {
		t.Errorf("exit status %d", status)
	}
}

func TestMistakesEndWithAStatusThatTellsThemApart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		status int
		args   []string
	}{
		{0, []string{"-h"}},
		{2, []string{"-F", "tcp and sorce port 80"}},
		{1, []string{"-i", "lo", "-F", "port 1", "-b", taken.Addr().String()}},
	} {
		p := start(t, tt.args...)
		if status := p.status(); status != tt.status || tt.status > 0 && strings.Count(p.log.String(), "\nintercept: ") > 1 {
			t.Errorf("%q: exit status %d, want %d", tt.args, status, tt.status)
		}
	}
}

// metrics reads the program's.
func metrics(t *testing.T) map[string]float64 {
	t.Helper()
	var resp *http.Response
	eventually(t, "metrics", func() (ok bool) {
		var err error
		resp, err = http.Get("http://127.0.0.1:9100/metrics")
		return err == nil
	})
	defer resp.Body.Close()
	m := make(map[string]float64)
	s := bufio.NewScanner(resp.Body)
	for s.Scan() {
		if name, v, ok := strings.Cut(s.Text(), " "); ok && strings.HasPrefix(name, "intercept_") {
			m[name], _ = strconv.ParseFloat(v, 64)
		}
	}
	return m
}

// web accepts connections and says nothing.
func web(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
}
