package link

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

// maxPeers bounds the connections of a server.
const maxPeers = 512

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

	mu    sync.Mutex
	peers map[*peer]struct{}
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
	s := &Server{cfg: cfg, peers: make(map[*peer]struct{})}
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

// Serve takes connections from ln until ctx is done, then closes ln and every
// link and returns nil. Any other end of it is an error of ln. A server may
// serve several listeners.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.tend(ctx) })
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			cancel()
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
		wg.Go(func() { s.serve(ctx, conn) })
	}
}

// serve keeps one connection.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	log := s.cfg.Logger.With("peer", conn.RemoteAddr().String())
	p, err := newPeer(s, conn)
	if err != nil {
		log.Error("cannot serve a connection", "error", err)
		return
	}
	if !s.enter(p) {
		p.refuse("too many connections")
		return
	}
	defer s.leave(p)
	conn.SetDeadline(time.Now().Add(Silence))
	if err := p.open(); err != nil {
		s.totals.refused.Add(1)
		if ctx.Err() == nil {
			log.Warn("link refused", "name", p.hello.Name, "error", err)
		}
		return
	}
	log = log.With("name", p.hello.Name, "conn", p.hello.Index)
	conn.SetDeadline(time.Time{})
	log.Info("link up", "claims", len(p.claims))
	err = p.read()
	s.cfg.Router.Leave(p.lane)
	p.out.close()
	if ctx.Err() == nil {
		log.Warn("link down", "error", err, "dropped", p.out.dropped.Load())
	}
}

func (s *Server) enter(p *peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.peers) >= maxPeers {
		return false
	}
	s.peers[p] = struct{}{}
	return true
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
		if p.ready.Load() {
			ps = append(ps, p)
		}
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

// tend sends heartbeats and sweeps the router.
func (s *Server) tend(ctx context.Context) {
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
