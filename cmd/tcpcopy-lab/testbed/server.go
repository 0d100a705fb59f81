package testbed

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// Origin says what kind of server the testbed's servers are.
type Origin struct {
	Embedded  bool      // the lab's own, which tells the SHA-256 of bodies; so too where nginx is absent
	Downloads []int     // sizes that nginx must have
	Fault     web.Fault // of the lab's own server
	Requests  int       // nginx closes a connection after so many; 0: never
	Padding   int       // bytes that nginx's answers are longer
	Backlog   int       // of nginx's listening socket; 0: plenty
	HTTP2     bool      // of nginx, in cleartext
}

// A Server is a web server of a testbed and its access log.
type Server struct {
	Host    *lab.Host
	Process *lab.Process
	Log     string // empty where the test has a server of its own
	args    []string
	from    int64 // where the log begins to count
	read    int64 // how far Count went
	lines   int   // counted so far
}

// serve starts a server on port 80 of h: a proxy where there is an upstream.
func (s *Testbed) serve(ctx context.Context, h *lab.Host, o Origin, upstream ...string) (*Server, error) {
	dir := filepath.Join(s.Lab.Dir, h.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("testbed: %w", err)
	}
	server := &Server{Host: h, Log: filepath.Join(dir, "access.log")}
	if err := os.WriteFile(server.Log, nil, 0o644); err != nil {
		return nil, fmt.Errorf("testbed: %w", err)
	}
	args := []string{s.Programs.Lab, "web", "--listen", ":80", "--log", server.Log, "--manner", string(o.Fault), "--upstream", strings.Join(upstream, ",")}
	if !o.Embedded && o.Fault == web.NoFault && has("nginx") {
		var err error
		args, err = web.Nginx{
			Dir: dir, Log: server.Log, Downloads: o.Downloads, Upstream: upstream,
			Requests: o.Requests, Padding: o.Padding, Backlog: o.Backlog, HTTP2: o.HTTP2,
		}.Command()
		if err != nil {
			return nil, err
		}
	}
	server.args = args
	return server, server.Start(ctx)
}

// Start runs the server's server, again where it was killed.
func (s *Server) Start(ctx context.Context) (err error) {
	s.Process, err = s.Host.Serve(ctx, lab.Command{Name: "web", Args: s.args}, 80)
	return err
}

// balance starts production's balancer on port 80 of h.
func (s *Testbed) balance(ctx context.Context, h *lab.Host, servers []string) error {
	args := []string{s.Programs.Lab, "balance", "--listen", ":80", "--server", strings.Join(servers, ",")}
	if has("haproxy") {
		var err error
		if args, err = web.HAProxy(s.Lab.Dir, servers); err != nil {
			return err
		}
	}
	_, err := h.Serve(ctx, lab.Command{Name: "balancer", Args: args}, 80)
	return err
}

func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Count is how many requests the server has logged. It reads only what is new.
func (s *Server) Count() int {
	f, err := os.Open(s.Log)
	if err != nil {
		return s.lines
	}
	defer f.Close()
	var b [64 << 10]byte
	for {
		n, err := f.ReadAt(b[:], s.read)
		s.read += int64(n)
		s.lines += bytes.Count(b[:n], []byte{'\n'})
		if err != nil {
			return s.lines
		}
	}
}

// forget leaves what is logged so far out of Count and of the verdict.
func (s *Server) forget() {
	s.Count()
	s.from, s.lines = s.read, 0
}

// server returns the server's log for the verdict.
func (s *Server) accessLog() (verdict.Server, error) {
	log, err := web.ReadLog(s.Log, s.from)
	return verdict.Server{Name: s.Host.Name, Log: log}, err
}

func count(sites []*Server) (n int) {
	for _, s := range sites {
		n += s.Count()
	}
	return n
}

func servers(sites []*Server) (all []verdict.Server, err error) {
	for _, s := range sites {
		v, err := s.accessLog()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
