package link

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

// maxConns bounds the connections of a server.
const maxConns = 512

// ServerConfig describes a server.
type ServerConfig struct {
	Name   string // for the tcpcopys' logs
	Secret string // shared with the tcpcopys; empty: none
	Router *reply.Router
	Single bool // refuse a second tcpcopy while the first is there

	// Admit tells whether replies to p may be claimed; its error is for the
	// peer. Flows are asked for as prefixes of one address. nil: all may.
	Admit func(p netip.Prefix) error

	Logger *slog.Logger
}

// Server hands out replies to the tcpcopys that claim them. It is made by
// NewServer.
type Server struct {
	cfg      ServerConfig
	instance [16]byte
	totals   totals

	conns atomic.Int32

	joining sync.Mutex // so that a single tcpcopy is the only one that joins

	mu       sync.Mutex
	peers    map[*peer]struct{} // that have an outlet
	refusals map[refusalKey]time.Time
}

// totals are counts of all links, of those that are gone too. What Deliver was
// given = forwarded + queued + dropped.
type totals struct {
	forwarded atomic.Uint64
	queued    atomic.Int64
	dropped   atomic.Uint64
	stalls    atomic.Uint64
	refused   atomic.Uint64 // links
	batches   [len(batchBounds) + 1]atomic.Uint64
	batched   atomic.Uint64 // records in all batches
}

// Batches is the histogram of records per batch.
type Batches struct {
	Count, Sum uint64
	Buckets    map[float64]uint64 // cumulative, by upper bound, as Prometheus has them
}

// batchBounds are the upper bounds of the histogram of records per batch.
var batchBounds = [...]int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}

func (t *totals) batch(records int) {
	i := 0
	for i < len(batchBounds) && records > batchBounds[i] {
		i++
	}
	t.batches[i].Add(1)
	t.batched.Add(uint64(records))
}

func (t *totals) histogram() Batches {
	b := Batches{Sum: t.batched.Load(), Buckets: make(map[float64]uint64)}
	for i := range t.batches {
		b.Count += t.batches[i].Load()
		if i < len(batchBounds) {
			b.Buckets[float64(batchBounds[i])] = b.Count
		}
	}
	return b
}

// NewServer makes a server that serves nobody yet.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{cfg: cfg, peers: make(map[*peer]struct{}), refusals: make(map[refusalKey]time.Time)}
	rand.Read(s.instance[:])
	return s
}

// Listen opens the socket for Serve.
func Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{
		Control:         setUserTimeout, // accepted connections inherit it
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	return lc.Listen(ctx, "tcp", addr.String())
}

// Serve takes connections from the listeners until ctx is done, then closes
// them and every link and returns nil. It may be called once. A listener that
// ends before is an error, and the others go on.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.keepAlive(ctx) })
	errs := make([]error, len(listeners))
	for i, ln := range listeners {
		wg.Go(func() {
			if errs[i] = s.accept(ctx, &wg, ln); errs[i] != nil {
				s.cfg.Logger.Error("no longer listening for tcpcopys", "address", ln.Addr().String(), "error", errs[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// accept serves one listener.
func (s *Server) accept(ctx context.Context, wg *sync.WaitGroup, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Out of file descriptors or memory: it may pass.
			s.cfg.Logger.Error("cannot accept a connection", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if s.conns.Add(1) > maxConns {
			s.conns.Add(-1)
			conn.Close()
			s.logRefusal(conn, "", errors.New("too many connections"))
			continue
		}
		wg.Go(func() {
			defer s.conns.Add(-1)
			s.serve(ctx, conn)
		})
	}
}

// serve keeps one connection.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	p, err := newPeer(s, conn)
	if err != nil {
		s.logRefusal(conn, "", err)
		return
	}
	conn.SetDeadline(time.Now().Add(Silence))
	if err := p.open(); err != nil {
		if p.r.bytes == 0 && errors.Is(err, io.EOF) {
			return // somebody looked whether the port is open
		}
		s.totals.refused.Add(1)
		if ctx.Err() == nil {
			s.logRefusal(conn, p.hello.Name, err)
		}
		return
	}
	defer s.leave(p)
	conn.SetDeadline(time.Time{})
	log := s.cfg.Logger.With("tcpcopy", p.hello.Name, "conn", p.hello.Index, "peer", conn.RemoteAddr().String())
	log.Info("link up", "claims", len(p.claims))
	err = p.read()
	s.cfg.Router.Leave(p.outlet)
	p.out.close()
	if ctx.Err() == nil {
		log.Warn("link down", "error", withoutAddresses(err, "tcpcopy"), "dropped", p.out.dropped.Load())
	}
}

// logRefusal logs why a connection was not taken, once in refusalLogInterval for each
// host and reason: tcpcopys try again for ever.
func (s *Server) logRefusal(conn net.Conn, name string, err error) {
	err = withoutAddresses(err, "tcpcopy")
	c := refusalKey{reason: err.Error()}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.host = a.AddrPort().Addr()
	}
	s.mu.Lock()
	now := time.Now()
	said, known := s.refusals[c]
	if known && now.Sub(said) < refusalLogInterval {
		s.mu.Unlock()
		return
	}
	if len(s.refusals) >= maxRefusals {
		clear(s.refusals)
	}
	s.refusals[c] = now
	s.mu.Unlock()
	s.cfg.Logger.Warn("link refused", "tcpcopy", name, "peer", conn.RemoteAddr().String(), "error", err)
}

// refusalKey is what was said of whom.
type refusalKey struct {
	host   netip.Addr
	reason string
}

const (
	refusalLogInterval = time.Minute
	maxRefusals        = 1024
)

// withoutAddresses takes the addresses, of which one has another port each time, from an
// error of the network, so that the same trouble reads the same.
func withoutAddresses(err error, peer string) error {
	var op *net.OpError
	switch {
	case err == io.EOF:
		return fmt.Errorf("%s closed the connection", peer)
	case errors.As(err, &op):
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

func (s *Server) enter(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[p] = struct{}{}
}

func (s *Server) leave(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.peers, p)
}

// opened returns the links that carry replies.
func (s *Server) opened() []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ps []*peer
	for p := range s.peers {
		ps = append(ps, p)
	}
	return ps
}

// only reports whether no other tcpcopy than instance has a link.
func (s *Server) only(instance [16]byte) bool {
	for _, p := range s.opened() {
		if p.hello.Instance != instance {
			return false
		}
	}
	return true
}

// keepAlive sends heartbeats and sweeps the router.
func (s *Server) keepAlive(ctx context.Context) {
	sweep := time.NewTicker(reply.HoldFor / 4)
	defer sweep.Stop()
	beat := time.NewTicker(Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-sweep.C:
			s.cfg.Router.Sweep(now)
		case <-beat.C:
			for _, p := range s.opened() {
				p.ping()
			}
		}
	}
}

// ServerStats are a server's totals since it was made.
type ServerStats struct {
	Links     int    // open now
	Instances int    // tcpcopys that they belong to
	Forwarded uint64 // reply records given to the kernel
	Queued    int64  // that wait for a peer that fell behind
	Dropped   uint64 // that a backlog or a broken link lost
	Stalls    uint64 // writes that a socket did not take whole
	Refused   uint64 // links
	Batches   Batches
}

// Stats may be called from any goroutine.
func (s *Server) Stats() ServerStats {
	st := ServerStats{
		Forwarded: s.totals.forwarded.Load(),
		Queued:    s.totals.queued.Load(),
		Dropped:   s.totals.dropped.Load(),
		Stalls:    s.totals.stalls.Load(),
		Refused:   s.totals.refused.Load(),
		Batches:   s.totals.histogram(),
	}
	seen := make(map[[16]byte]bool)
	for _, p := range s.opened() {
		st.Links++
		seen[p.hello.Instance] = true
	}
	st.Instances = len(seen)
	return st
}

// LinkInfo describes an open link.
type LinkInfo struct {
	Name string // of the tcpcopy
	Peer net.Addr
	RTT  time.Duration // 0 before the first heartbeat
}

// Links lists the open links.
func (s *Server) Links() []LinkInfo {
	var ls []LinkInfo
	for _, p := range s.opened() {
		ls = append(ls, LinkInfo{p.hello.Name, p.conn.RemoteAddr(), time.Duration(p.rtt.Load())})
	}
	return ls
}
