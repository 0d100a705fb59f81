package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// serve starts the lab's server and returns its address and log.
func serve(t *testing.T) (addr, log string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	ln.Close()
	log = filepath.Join(t.TempDir(), "access.log")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- web.Serve(ctx, addr, log, web.NoFault) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr, log
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestEveryRequestIsSentOnceInOrderAndAnswered(t *testing.T) {
	short := func(c Config) Config {
		c.Run, c.Duration = "t", 300*time.Millisecond
		return c
	}
	for name, c := range map[string]Config{
		"keep-alive":         short(Config{Conns: 10, Rate: 1000}),
		"server closes":      short(Config{Conns: 50, Rate: 500, Close: "server"}),
		"client closes":      short(Config{Conns: 50, Rate: 500, Close: "client"}),
		"pipelined":          short(Config{Conns: 4, Rate: 1600, Depth: 8}),
		"post":               short(Config{Conns: 2, Rate: 40, Post: 300_000}),
		"post, close":        short(Config{Conns: 4, Rate: 40, Post: 3000, Close: "server"}),
		"download":           short(Config{Conns: 2, Rate: 20, Get: 3_000_000}),
		"sources":            short(Config{Conns: 4, Rate: 100, Sources: []string{"127.0.0.2", "127.0.0.3"}}),
		"more than it takes": short(Config{Conns: 1, Rate: 3000}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, log := serve(t)
			c.Target = addr
			r, err := Run(context.Background(), c, nil, func(Line) {})
			if err != nil {
				t.Fatal(err)
			}
			want := int(c.Rate*c.Duration.Seconds() + 0.5)
			if r.Requests != want || r.Answers != want || r.Failed() > 0 {
				t.Errorf("%d requests, %d answers, errors %v; want %d, none", r.Requests, r.Answers, r.Errors, want)
			}
			if c.Get > 0 && r.Bytes < int64(want*c.Get) {
				t.Errorf("%d bytes received of %d answers of %d", r.Bytes, want, c.Get)
			}
			entries, err := web.ReadLog(log, 0)
			for end := time.Now().Add(5 * time.Second); err == nil && len(entries) < want && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond) // a request is logged behind its answer
				entries, err = web.ReadLog(log, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			order := map[uint64]int{}
			for _, e := range entries {
				if seen[e.URI] {
					t.Errorf("%s sent twice", e.URI)
				}
				seen[e.URI] = true
				var kind, run string
				var conn, seq int
				f := strings.ReplaceAll(strings.Replace(e.URI, fmt.Sprintf("/d/%d/", c.Get), "/d/", 1), "/", " ")
				if _, err := fmt.Sscan(f, &kind, &run, &conn, &seq); err != nil || seq != order[e.Conn]+1 || seq != e.Seq {
					t.Errorf("URI %s as request %d of its connection (%v)", e.URI, e.Seq, err)
				}
				order[e.Conn] = seq
			}
			if len(seen) != want {
				t.Errorf("the server saw %d requests, want %d", len(seen), want)
			}
		})
	}
}

func TestAClosedLoopKeepsEveryConnectionBusyForItsTime(t *testing.T) {
	addr, log := serve(t)
	r, err := Run(context.Background(), Config{Target: addr, Run: "c", Conns: 7, Duration: 200 * time.Millisecond}, nil, func(Line) {})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := web.ReadLog(log, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r.Connections != 7 || r.Answers < 7 || r.Answers != r.Requests || r.Answers != len(entries) || r.Failed() > 0 {
		t.Errorf("%d connections, %d requests, %d answers, %d logged, errors %v; want 7 and all answered", r.Connections, r.Requests, r.Answers, len(entries), r.Errors)
	}
}

func TestHeldConnectionsGoOnAfterTheSign(t *testing.T) {
	addr, log := serve(t)
	r, w := io.Pipe()
	held := 0
	report, err := Run(context.Background(), Config{Target: addr, Run: "h", Conns: 5, Rate: 200, Duration: 100 * time.Millisecond, Hold: true}, r, func(l Line) {
		if l.Held > 0 {
			held = l.Held
			go io.WriteString(w, "\n")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if held != 5 || report.Connections != 5 || report.Answers != 20 {
		t.Errorf("held %d, %d connections, %d answers; want 5, 5, 20", held, report.Connections, report.Answers)
	}
	if entries, _ := web.ReadLog(log, 0); len(entries) != 25 {
		t.Errorf("the server saw %d requests, want 25", len(entries))
	}
}

func TestFailuresAreCountedAndNotTriedAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	requests := make(chan int, 1000)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				n, _ := c.Read(make([]byte, 1000))
				requests <- n
				c.Close()
			}()
		}
	}()
	r, err := Run(context.Background(), Config{Target: ln.Addr().String(), Conns: 3, Rate: 100, Duration: 100 * time.Millisecond}, nil, func(Line) {})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed() != 10 || r.Answers != 0 || len(requests) != 10 {
		t.Errorf("%d failed, %d answers, %d requests at the server; want 10, 0, 10", r.Failed(), r.Answers, len(requests))
	}
}

func TestArgsAndFlagsAgree(t *testing.T) {
	want := Config{Target: "[::1]:80", Sources: []string{"::1", "::2"}, Run: "x", Conns: 7, Depth: 8, Rate: 12.5, Duration: time.Minute, Close: "server", Post: 3, Hold: true}
	var got Config
	f := pflag.NewFlagSet("load", pflag.ContinueOnError)
	got.Flags(f)
	if err := f.Parse(want.Args()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBadConfigurationsAreNamed(t *testing.T) {
	ok := Config{Target: "127.0.0.1:80", Conns: 1, Rate: 1}
	for want, change := range map[string]func(*Config){
		"target":    func(c *Config) { c.Target = "localhost" },
		"source":    func(c *Config) { c.Sources = []string{"x"} },
		"families":  func(c *Config) { c.Sources = []string{"::1"} },
		"--conns":   func(c *Config) { c.Conns = 0 },
		"--rate":    func(c *Config) { c.Rate = -1 },
		"--close":   func(c *Config) { c.Close = "both" },
		"--post an": func(c *Config) { c.Post, c.Get = 1, 1 },
	} {
		c := ok
		change(&c)
		if _, err := c.plan(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %q", err, want)
		}
	}
}

// However an answer is cut on its way, it is read the same.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), uint8(3))
	f.Add([]byte("HTTP/1.1 404 Not Found\r\n\r\n"), uint8(1))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), uint8(7))
	f.Add(bytes.Repeat([]byte("x"), 20<<10), uint8(200))
	f.Fuzz(func(t *testing.T, text []byte, cut uint8) {
		read := func(size int) (answers []string, err error) {
			var r response
			for b := range chunks(text, size) {
				if err = r.read(b, func(body []byte) error {
					answers = append(answers, string(body))
					return nil
				}); err != nil {
					break
				}
			}
			return answers, err
		}
		whole, err1 := read(len(text) + 1)
		pieces, err2 := read(int(cut) + 1)
		// A header that is too long is refused where the limit falls.
		if errors.Is(err1, errHead) || errors.Is(err2, errHead) {
			return
		}
		if !cmp.Equal(whole, pieces) || !errors.Is(err2, err1) {
			t.Errorf("whole: %q, %v; in pieces of %d: %q, %v", whole, err1, int(cut)+1, pieces, err2)
		}
	})
}

func chunks(b []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(size, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}
