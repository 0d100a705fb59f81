package stage

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

// Origin says what kind of server the sites are.
type Origin struct {
	Embedded  bool       // the lab's own, which tells the SHA-256 of bodies; so too where nginx is absent
	Downloads []int      // sizes that nginx must have
	Manner    web.Manner // of the lab's own server
	Requests  int        // nginx closes a connection after so many; 0: never
	Padding   int        // bytes that nginx's answers are longer
	Backlog   int        // of nginx's listening socket; 0: plenty
	HTTP2     bool       // of nginx, in cleartext
}

// A Site is a web server of a stage and its access log.
type Site struct {
	Host    *lab.Host
	Process *lab.Process
	Log     string // empty where the test has a server of its own
	args    []string
	from    int64 // where the log begins to count
	read    int64 // how far Count went
	lines   int   // counted so far
}

// serve starts a site on port 80 of h: a proxy where there is an upstream.
func (s *Stage) serve(ctx context.Context, h *lab.Host, o Origin, upstream ...string) (*Site, error) {
	dir := filepath.Join(s.Lab.Dir, h.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	site := &Site{Host: h, Log: filepath.Join(dir, "access.log")}
	if err := os.WriteFile(site.Log, nil, 0o644); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	args := []string{s.Programs.Lab, "web", "--listen", ":80", "--log", site.Log, "--manner", string(o.Manner), "--upstream", strings.Join(upstream, ",")}
	if !o.Embedded && o.Manner == web.Good && has("nginx") {
		var err error
		args, err = web.Nginx{
			Dir: dir, Log: site.Log, Downloads: o.Downloads, Upstream: upstream,
			Requests: o.Requests, Padding: o.Padding, Backlog: o.Backlog, HTTP2: o.HTTP2,
		}.Command()
		if err != nil {
			return nil, err
		}
	}
	site.args = args
	return site, site.Start(ctx)
}

// Start runs the site's server, again where it was killed.
func (s *Site) Start(ctx context.Context) (err error) {
	s.Process, err = s.Host.Serve(ctx, lab.Command{Name: "web", Args: s.args}, 80)
	return err
}

// balance starts production's balancer on port 80 of h.
func (s *Stage) balance(ctx context.Context, h *lab.Host, servers []string) error {
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

// Count is how many requests the site has logged. It reads only what is new.
func (s *Site) Count() int {
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
func (s *Site) forget() {
	s.Count()
	s.from, s.lines = s.read, 0
}

// server returns the site's log for the verdict.
func (s *Site) server() (verdict.Server, error) {
	log, err := web.ReadLog(s.Log, s.from)
	return verdict.Server{Name: s.Host.Name, Log: log}, err
}

func count(sites []*Site) (n int) {
	for _, s := range sites {
		n += s.Count()
	}
	return n
}

func servers(sites []*Site) (all []verdict.Server, err error) {
	for _, s := range sites {
		v, err := s.server()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
