package e2e

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// A recordingListener remembers what each of its connections received. The
// protocols of these tests run in the test's own process, in the hosts'
// namespaces.
type recordingListener struct {
	net.Listener
	mu    sync.Mutex
	conns []*recordedConn
}

// A recordedConn is a connection with a digest of what it received.
type recordedConn struct {
	net.Conn
	listener *recordingListener
	sum      hash.Hash
	bytes    int64
}

func (e *recordingListener) Accept() (net.Conn, error) {
	c, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	h := &recordedConn{Conn: c, listener: e, sum: sha256.New()}
	e.mu.Lock()
	e.conns = append(e.conns, h)
	e.mu.Unlock()
	return h, nil
}

func (h *recordedConn) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.listener.mu.Lock()
	h.sum.Write(b[:n])
	h.bytes += int64(n)
	h.listener.mu.Unlock()
	return n, err
}

// all is what was said so far, a line for each connection, in an order of its
// own. Connections that said nothing are left out.
func (e *recordingListener) all() (lines []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.conns {
		if h.bytes > 0 {
			lines = append(lines, fmt.Sprintf("%d bytes, SHA-256 %x", h.bytes, h.sum.Sum(nil)))
		}
	}
	slices.Sort(lines)
	return lines
}

// bytes is how many they said together.
func (e *recordingListener) bytes() (n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.conns {
		n += h.bytes
	}
	return n
}

// A protocol is both sides of a conversation.
type protocol struct {
	name   string
	serve  func(net.Listener) error // until the listener closes
	conns  int
	client func(i int, dial func() (net.Conn, error)) error // the i-th of conns
}

const conversationPort = 7000

// listen serves p on h.
func (p *scenario) listen(h *lab.Host, serve func(net.Listener) error) *recordingListener {
	p.Helper()
	e := &recordingListener{}
	p.must(h.Do(func() (err error) {
		e.Listener, err = net.Listen("tcp", fmt.Sprintf(":%d", conversationPort))
		return err
	}))
	p.Cleanup(func() { e.Close() })
	go serve(e)
	return e
}

// eachConn serves every connection with f.
func eachConn(f func(net.Conn)) func(net.Listener) error {
	return func(ln net.Listener) error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}
}

// copyConversation plays a protocol in production while it is copied: the target must
// hear of each connection what production heard.
func copyConversation(t *testing.T, c protocol) {
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Port: conversationPort})
	online, target := p.listen(p.Online[0].Host, c.serve), p.listen(p.Target[0].Host, c.serve)
	p.copy()
	var g errgroup.Group
	for i := range c.conns {
		g.Go(func() error { return c.client(i, p.dial) })
	}
	p.must(g.Wait())
	p.wantSame(online.all, target.all)
	p.end()
}

// dial connects production's client with production.
func (p *scenario) dial() (conn net.Conn, err error) {
	err = p.Client.Do(func() error {
		conn, err = net.DialTimeout("tcp", p.Front, 5*time.Second)
		return err
	})
	return conn, err
}

// wantSame waits until target tells what online does, line by line, and fails with
// the difference where it does not come to that.
func (p *scenario) wantSame(online, target func() []string) {
	p.Helper()
	var want, got []string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if want, got = online(), target(); len(want) > 0 && slices.Equal(want, got) {
			time.Sleep(300 * time.Millisecond) // for what is too much
			want, got = online(), target()
			break
		}
	}
	if len(want) == 0 {
		p.Fatal("production heard nothing")
	}
	lacks, extra := difference(want, got), difference(got, want)
	if len(lacks)+len(extra) > 0 {
		show := func(lines []string) string { return strings.Join(lines[:min(5, len(lines))], "\n  ") }
		p.Errorf("production heard %d, the target %d; %d are missing:\n  %s\n%d are foreign:\n  %s",
			len(want), len(got), len(lacks), show(lacks), len(extra), show(extra))
		p.counters()
		return
	}
	p.Logf("the target heard %d as production did", len(got))
}

// requests is what each connection to a web server asked for, a line for each,
// in an order of its own. Where streams are concurrent, so are the requests of
// a connection.
func (p *scenario) requests(s *testbed.Server, concurrent bool) (conns []string) {
	p.Helper()
	log, err := web.ReadLog(s.Log, 0)
	p.must(err)
	by := map[uint64][]string{}
	for _, e := range log {
		by[e.Conn] = append(by[e.Conn], e.URI)
	}
	for _, uris := range by {
		if concurrent {
			slices.Sort(uris)
		}
		conns = append(conns, strings.Join(uris, " "))
	}
	slices.Sort(conns)
	return conns
}

// difference is a without b, both sorted; equal lines count one by one.
func difference(a, b []string) (rest []string) {
	for _, line := range a {
		for len(b) > 0 && b[0] < line {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == line {
			b = b[1:]
			continue
		}
		rest = append(rest, line)
	}
	return rest
}
