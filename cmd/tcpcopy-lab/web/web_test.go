package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogLinesAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := "1795352504.718 5029 8 /d/1/0/3/8 127.0.0.3:60924 81 200\n" +
		"1795352504.767 5030 9 /u/x [fd00::1]:54758 3 200 abcd\n" +
		"1795352504.767 50"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLog(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{1795352504.718, 5029, 8, "/d/1/0/3/8", "127.0.0.3:60924", 81, 200, ""},
		{1795352504.767, 5030, 9, "/u/x", "[fd00::1]:54758", 3, 200, "abcd"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBadLogLinesAreNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, line := range []string{"one two", "x 1 1 / r 1 200", "1 1 1 / r 1 200 sha more", "1 -1 1 / r 1 200"} {
		if err := os.WriteFile(path, []byte("1 1 1 / r 1 200\n"+line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLog(path, 0); err == nil || !strings.Contains(err.Error(), path+":2") {
			t.Errorf("%q: error %v does not name the line", line, err)
		}
	}
}

func TestServerAnswersAndLogsBySequence(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Serve(ctx, addr, log, NoFault) }()
	ask(t, addr, "GET", "/r/1", "", "ok")
	ask(t, addr, "GET", "/d/7/x", "", "abcdefg")
	ask(t, addr, "POST", "/u/x", "hello", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
	ask(t, addr, "GET", "/d/much", "", "bad size\n")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	entries, err := ReadLog(log, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Seq, e.URI, " ", e.Length, e.Status, e.SHA256))
	}
	want := []string{"1/r/1 0 200", "2/d/7/x 0 200", "3/u/x 5 2002cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "4/d/much 0 400"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A fault shows on the wire: what the third and the fifth request get.
func TestMannersShow(t *testing.T) {
	for _, c := range []struct {
		fault  Fault
		logged int
		want   error
	}{{AnswersLate, 6, nil}, {ReadsSlowly, 6, nil}, {NeverAnswers, 6, os.ErrDeadlineExceeded}, {ResetsFifth, 4, syscall.ECONNRESET}} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "log")
			addr := background(t, func(ctx context.Context, addr string) error { return Serve(ctx, addr, log, c.fault) })
			conn, err := net.Dial("tcp", addr)
			for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); time.Sleep(time.Millisecond) {
				conn, err = net.Dial("tcp", addr)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// One write: of two, the second could be told of the reset in the reader's place.
			io.WriteString(conn, strings.Repeat("POST /u/x HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhello", 6))
			conn.SetReadDeadline(time.Now().Add(time.Second))
			answers := bufio.NewReader(conn)
			for range 6 {
				var resp *http.Response
				if resp, err = http.ReadResponse(answers, nil); err != nil {
					break
				}
				io.Copy(io.Discard, resp.Body)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if entries, err := ReadLog(log, 0); err != nil || len(entries) != c.logged {
				t.Errorf("%d requests logged, %v; want %d", len(entries), err, c.logged)
			}
		})
	}
}

func ask(t *testing.T, addr, method, path, body, want string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var resp *http.Response
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if resp, err = http.DefaultClient.Do(r); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != want {
		t.Errorf("%s %s: %q, want %q", method, path, got, want)
	}
}

func TestNginxTakesTheConfigurations(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Fatal("no nginx: install it, as make test does")
	}
	for name, n := range map[string]Nginx{
		"origin": {Downloads: []int{3, 100_000}},
		"proxy":  {Upstream: []string{"10.1.2.21:80", "10.1.2.22:80"}},
	} {
		n.Dir = t.TempDir()
		n.Log = filepath.Join(n.Dir, "access.log")
		args, err := n.Command()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(args[0], append(args[1:], "-t")...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
