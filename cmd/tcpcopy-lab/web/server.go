package web

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// MaxDownload bounds what one request may ask for, in bytes.
const MaxDownload = 1 << 30

// Server is the lab's own HTTP/1.1 server. It answers
//
//	/d/<bytes>/...  with so many bytes,
//	/u/...          with the SHA-256 of the request's body,
//	anything else   with "ok",
//
// and logs each request as an Entry, with its body's SHA-256 where it has one.
// With an upstream it is a proxy to those servers and does the same for them.
// With a Fault it treats its clients as that says.
type Server struct {
	proxy http.Handler // nil: it answers itself
	fault Fault
	mu    sync.Mutex
	log   *bufio.Writer
}

type connKey struct{}

// conn counts the requests of a connection. One goroutine serves it.
type conn struct {
	id  uint64
	seq int
}

// Serve serves on addr until ctx ends, appending to the log at path.
func Serve(ctx context.Context, addr, path string, fault Fault, upstream ...string) error {
	if !slices.Contains(faults, fault) {
		return fmt.Errorf("web: no fault %q", fault)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	defer f.Close()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	if fault == AcceptsSlowly {
		ln = slowListener{ln}
	}
	s := &Server{log: bufio.NewWriter(f), fault: fault}
	if len(upstream) > 0 {
		s.proxy = proxyTo(upstream)
	}
	var conns atomic.Uint64
	hs := &http.Server{
		Handler: s,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, &conn{id: conns.Add(1)})
		},
	}
	stop := context.AfterFunc(ctx, func() { hs.Close() })
	defer stop()
	if err := hs.Serve(ln); err != http.ErrServerClosed {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	c.seq++
	sum := sha256.New()
	if s.fault != NoFault {
		s.serveWithFault(w, r, c)
		return
	}
	if s.proxy != nil {
		s.proxy.ServeHTTP(w, r)
		s.record(r, c, 0, http.StatusOK, sum)
		return
	}
	length, err := io.Copy(sum, r.Body)
	status := http.StatusOK
	switch {
	case err != nil:
		status = http.StatusBadRequest
		http.Error(w, err.Error(), status)
	case strings.HasPrefix(r.URL.Path, "/d/"):
		status = download(w, r.URL.Path[len("/d/"):])
	case strings.HasPrefix(r.URL.Path, "/u/"):
		io.WriteString(w, hex.EncodeToString(sum.Sum(nil)))
	default:
		io.WriteString(w, "ok")
	}
	s.record(r, c, length, status, sum)
}

func (s *Server) record(r *http.Request, c *conn, length int64, status int, sum hash.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.log, "%.3f %d %d %s %s %d %d", float64(time.Now().UnixMilli())/1000, c.id, c.seq, r.URL.RequestURI(), r.RemoteAddr, length, status)
	if length > 0 {
		fmt.Fprintf(s.log, " %x", sum.Sum(nil))
	}
	s.log.WriteByte('\n')
	s.log.Flush()
}

// block is what downloads are made of: not zeros, so that a hole in them shows.
var block = func() []byte {
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}()

// download writes as many bytes as the first element of path says.
func download(w http.ResponseWriter, path string) (status int) {
	size, _, _ := strings.Cut(path, "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || n > MaxDownload {
		http.Error(w, "bad size", http.StatusBadRequest)
		return http.StatusBadRequest
	}
	w.Header().Set("Content-Length", size)
	for n > 0 {
		k, err := w.Write(block[:min(n, int64(len(block)))])
		if err != nil {
			break // the client is gone; what it asked for is still logged
		}
		n -= int64(k)
	}
	return http.StatusOK
}
