package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// proxyTo returns a handler that sends requests on to the servers in turn,
// over connections that it keeps.
func proxyTo(upstream []string) http.Handler {
	var turn atomic.Uint64
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: upstream[turn.Add(1)%uint64(len(upstream))]})
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	}
}

// Balance accepts connections on addr and joins each with one to the servers,
// in turn, until ctx ends: production's balancer where haproxy is absent.
func Balance(ctx context.Context, addr string, servers []string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for turn := 0; ; turn++ {
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("web: %w", err)
		}
		go join(c.(*net.TCPConn), servers[turn%len(servers)])
	}
}

// join carries both directions; an end of stream is passed on as such.
func join(c *net.TCPConn, server string) {
	defer c.Close()
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer s.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(c, s)
		c.CloseWrite()
	}()
	io.Copy(s, c)
	s.(*net.TCPConn).CloseWrite()
	<-back
}

const haproxyConf = `global
	maxconn 8000
defaults
	mode tcp
	timeout connect 5s
	timeout client 600s
	timeout server 600s
listen f5
	bind :80 backlog 8192
	balance roundrobin
	server s%s
`

// HAProxy writes a configuration to dir that shares the connections to port 80
// among the servers, and returns the command that serves it.
func HAProxy(dir string, servers []string) ([]string, error) {
	lines := make([]string, len(servers))
	for i, s := range servers {
		lines[i] = fmt.Sprintf("%d %s", i+1, s)
	}
	conf := filepath.Join(dir, "haproxy.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, haproxyConf, strings.Join(lines, "\n\tserver s")), 0o644); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return []string{"haproxy", "-db", "-f", conf}, nil
}
