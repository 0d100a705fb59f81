package testbed

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// MetricsAddr is where each tool of a testbed serves its metrics, on its host.
const MetricsAddr = "127.0.0.1:9100"

// A Tool is a tcpcopy or an intercept of a testbed. It can be started again
// after it has ended.
type Tool struct {
	Host    *lab.Host
	Args    []string
	Process *lab.Process // nil before its first start
	client  http.Client
}

func newTool(h *lab.Host, args ...string) *Tool {
	t := &Tool{Host: h, Args: append(args, "--web.listen-address", MetricsAddr)}
	t.client = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = h.Do(func() error {
				c, err = new(net.Dialer).DialContext(ctx, network, addr)
				return err
			})
			return c, err
		},
	}}
	return t
}

// String is the command as one would type it.
func (t *Tool) String() string {
	words := []string{filepath.Base(t.Args[0])}
	for _, a := range t.Args[1:] {
		if strings.Contains(a, " ") {
			a = strconv.Quote(a)
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// Start runs the tool and waits until it says that it is ready.
func (t *Tool) Start(ctx context.Context, name string) (err error) {
	if t.Process, err = t.Host.Start(lab.Command{Name: name, Args: t.Args}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		if _, err = t.get(ctx, "/-/ready"); err == nil {
			return nil
		}
		select {
		case <-t.Process.Done:
			return fmt.Errorf("testbed: %s on %s ended:\n%s", name, t.Host.Name, t.Process.Tail(20))
		case <-ctx.Done():
			return fmt.Errorf("testbed: %s on %s is not ready (%w):\n%s", name, t.Host.Name, err, t.Process.Tail(20))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (t *Tool) get(ctx context.Context, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+MetricsAddr+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := t.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return string(text), err
}

// Web leads to the tool's listener, from outside of the lab.
func (t *Tool) Web() http.Handler {
	return &httputil.ReverseProxy{Transport: t.client.Transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: MetricsAddr})
	}}
}

// Metrics reads the tool's counters.
func (t *Tool) Metrics() (verdict.Metrics, error) {
	text, err := t.get(context.Background(), "/metrics")
	if err != nil {
		return nil, fmt.Errorf("testbed: metrics of %s: %w", t.Host.Name, err)
	}
	return verdict.ParseMetrics(text)
}

// Alive reports whether the tool runs.
func (t *Tool) Alive() bool {
	if t.Process == nil {
		return false
	}
	select {
	case <-t.Process.Done:
		return false
	default:
		return true
	}
}

// StartCopy starts the intercepts and the tcpcopys, and waits until each
// tcpcopy has its links.
func (s *Testbed) StartCopy(ctx context.Context) error {
	for _, t := range s.Intercepts {
		if err := t.Start(ctx, "intercept"); err != nil {
			return err
		}
	}
	for _, t := range s.Copiers {
		if err := t.Start(ctx, "tcpcopy"); err != nil {
			return err
		}
	}
	for _, t := range s.Copiers {
		if err := s.linked(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (s *Testbed) linked(ctx context.Context, t *Tool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		m, err := t.Metrics()
		if err == nil && m.Linked() >= len(s.Intercepts) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("testbed: tcpcopy on %s has no link to its intercepts (%v):\n%s", t.Host.Name, err, t.Process.Tail(20))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Logs is the end of each tool's log, for a failure's report.
func (s *Testbed) Logs(lines int) (text string) {
	for _, t := range append(append([]*Tool(nil), s.Copiers...), s.Intercepts...) {
		if t.Process != nil {
			text += fmt.Sprintf("--- %s on %s\n%s\n", t.Process.Name, t.Host.Name, t.Process.Tail(lines))
		}
	}
	return text
}
