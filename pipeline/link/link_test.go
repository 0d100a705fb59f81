package link

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

// journal is a log that a test can read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// eventually waits for what other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testbed.Within(t, 10*time.Second, what, ok)
}

// intercept is a server under test.
type intercept struct {
	*Server
	router *reply.Router
	log    *journal
	addr   netip.AddrPort
	stop   func() // and waits
}

// serve starts a server; a zero addr is any port.
func serve(t testing.TB, addr netip.AddrPort, change func(*ServerConfig)) *intercept {
	t.Helper()
	if !addr.IsValid() {
		addr = netip.MustParseAddrPort("127.0.0.1:0")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := Listen(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	i := &intercept{router: reply.NewRouter(time.Minute, 16), log: new(journal), addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	cfg := ServerConfig{Name: "assistant", Router: i.router, Logger: i.log.logger()}
	if change != nil {
		change(&cfg)
	}
	i.Server = NewServer(cfg)
	done := make(chan error, 1)
	go func() { done <- i.Serve(ctx, ln) }()
	i.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(i.stop)
	return i
}

// tcpcopy is a client under test.
type tcpcopy struct {
	*Client
	log  *journal
	stop func() // and waits
}

func dial(t testing.TB, addr netip.AddrPort, change func(*ClientConfig)) *tcpcopy {
	t.Helper()
	c := &tcpcopy{log: new(journal)}
	cfg := ClientConfig{
		Addr: addr, Name: "S1", Instance: [16]byte{1}, Conns: 1,
		Claims: []netip.Prefix{netip.MustParsePrefix("10.1.3.0/24")},
		OnOpen: own(func(int, []packet.Reply) {}),
		Logger: c.log.logger(),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if c.Client, err = NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	c.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(c.stop)
	return c
}

// own makes a goroutine the owner of each inlet, as a worker is.
func own(take func(conn int, batch []packet.Reply)) func(int, *Inlet) {
	return func(conn int, in *Inlet) {
		go func() {
			fds := []unix.PollFd{{Fd: int32(in.FD()), Events: unix.POLLIN}}
			for open := true; open; _, open = in.Read(func(batch []packet.Reply) { take(conn, batch) }) {
				unix.Poll(fds, 100)
			}
		}()
	}
}

func (c *tcpcopy) awaitUp(t testing.TB) {
	t.Helper()
	eventually(t, "all links up", func() bool { return c.Stats().Up == c.cfg.Conns })
}

// deliver gives the server's link index replies, as a capture does.
func (i *intercept) deliver(index int, batch []packet.Reply) bool {
	for _, p := range i.opened() {
		if int(p.hello.Index) == index {
			p.out.Deliver(batch)
			return true
		}
	}
	return false
}

func TestRepliesReachTheClientInOrder(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	const conns = 3
	var mu sync.Mutex
	var got [conns][]packet.Reply
	c := dial(t, i.addr, func(c *ClientConfig) {
		c.Conns = conns
		c.OnOpen = own(func(conn int, batch []packet.Reply) {
			mu.Lock()
			got[conn] = append(got[conn], batch...)
			mu.Unlock()
		})
	})
	c.awaitUp(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var want [conns][]packet.Reply
	sent := 0
	for range 200 {
		conn := rnd.IntN(conns)
		batch := make([]packet.Reply, 1+rnd.IntN(1000))
		for k := range batch {
			batch[k] = randomReply(rnd)
		}
		want[conn] = append(want[conn], batch...)
		sent += len(batch)
		i.deliver(conn, batch)
	}
	eventually(t, "all arrive", func() bool { return c.Stats().Records == uint64(sent) })
	mu.Lock()
	defer mu.Unlock()
	for conn := range conns {
		for k := range want[conn] {
			if got[conn][k] != want[conn][k] {
				t.Fatalf("link %d: reply %d differs", conn, k)
			}
		}
	}
	eventually(t, "the server's counts agree", func() bool {
		s := i.Stats()
		return s.Forwarded == uint64(sent) && s.Dropped == 0 && s.Queued == 0 && s.Links == conns && s.Instances == 1
	})
}

func TestTheServerKnowsWhetherRepliesAreWaitedForAlsoOnANewConnection(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	c := dial(t, i.addr, func(c *ClientConfig) { c.Conns = 2 })
	c.awaitUp(t)
	all := func(want bool) func() bool {
		return func() bool {
			opened := i.opened()
			return len(opened) == 2 && opened[0].outlet.Urgent() == want && opened[1].outlet.Urgent() == want
		}
	}
	for _, on := range []bool{true, false, true} {
		c.SetUrgent(on)
		eventually(t, "both links know", all(on))
	}
	for _, p := range i.opened() {
		p.conn.Close()
	}
	eventually(t, "a link was lost", func() bool { return c.Stats().Reconnects > 0 })
	eventually(t, "the new links know", all(true))
}

func TestAnInletGivesWhatCameBeforeTheEnd(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	opened := make(chan *Inlet, 1)
	c := dial(t, i.addr, func(c *ClientConfig) { c.OnOpen = func(_ int, in *Inlet) { opened <- in } })
	in := <-opened
	i.deliver(0, make([]packet.Reply, 700))
	i.opened()[0].conn.Close()
	fds := []unix.PollFd{{Fd: int32(in.FD()), Events: unix.POLLIN}}
	got := 0
	for open := true; open; {
		unix.Poll(fds, 100)
		var n int
		n, open = in.Read(func(batch []packet.Reply) { got += len(batch) })
		if n != 0 && got == 0 {
			t.Fatal("replies counted that were not given")
		}
	}
	if got != 700 {
		t.Errorf("%d of 700 replies before the end", got)
	}
	eventually(t, "the client dials again", func() bool { return c.Stats().Reconnects > 0 })
}

func TestReadingAnInletDoesNotAllocate(t *testing.T) {
	i := serve(t, netip.AddrPort{}, nil)
	opened := make(chan *Inlet, 1)
	c := dial(t, i.addr, func(c *ClientConfig) { c.OnOpen = func(_ int, in *Inlet) { opened <- in } })
	in := <-opened
	c.awaitUp(t)
	batch := make([]packet.Reply, 100)
	got := 0
	take := func(b []packet.Reply) { got += len(b) }
	if n := testing.AllocsPerRun(200, func() {
		i.deliver(0, batch)
		in.Read(take)
	}); n >= 3 { // deliver copies the list of links; a heartbeat may pass
		t.Errorf("%v allocations", n)
	}
	if got == 0 {
		t.Error("nothing was read")
	}
}

func TestHeartbeatsMeasureTheRoundTripAtBothEnds(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	c := dial(t, i.addr, nil)
	eventually(t, "round-trip times", func() bool {
		ls := i.Links()
		return c.Stats().RTT > 0 && len(ls) == 1 && ls[0].RTT > 0 && ls[0].Name == "S1"
	})
}

func TestSecretIsNeededAtBothEndsAndDoesNotTravel(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ server, client, refusal string }{
		"same":           {"open sesame", "open sesame", ""},
		"none":           {"", "", ""},
		"only intercept": {"open sesame", "", "intercept has a secret and tcpcopy has none: give both the same"},
		"only tcpcopy":   {"", "open sesame", "tcpcopy has a secret and intercept has none: give both the same"},
		"different":      {"open sesame", "open barley", "tcpcopy has another secret: give both ends the same"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := serve(t, netip.AddrPort{}, func(c *ServerConfig) { c.Secret = tt.server })
			wire := new(journal)
			c := dial(t, relay(t, i.addr, wire), func(c *ClientConfig) { c.Secret = tt.client })
			if tt.refusal == "" {
				c.awaitUp(t)
				if log := i.log.String(); strings.Contains(log, "refused") {
					t.Error(log)
				}
			} else {
				eventually(t, "both ends say why", func() bool {
					return strings.Contains(c.log.String(), tt.refusal) && strings.Contains(i.log.String(), tt.refusal)
				})
				if c.Up() || i.Stats().Links != 0 || i.router.Stats().Claims != 0 {
					t.Error("the link opened")
				}
			}
			if strings.Contains(wire.String(), "open") {
				t.Error("the secret was on the wire")
			}
		})
	}
}

// relay passes connections on to addr and keeps a record.
func relay(t *testing.T, addr netip.AddrPort, wire io.Writer) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", addr.String())
			if err != nil {
				a.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				io.Copy(io.MultiWriter(wire, to), from)
				to.Close()
				from.Close()
			}
			go pass(a, b)
			go pass(b, a)
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func TestForgedProofOfTheServerIsNotBelieved(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r := newFrameReader(conn)
			r.next()
			conn.Write(appendHello(nil, &hello{Secret: true, Nonce: nonce()}))
			_, p, _ := r.next()
			conn.Write(appendFrame(nil, TypeProof, p)) // the client's own, sent back
			r.next()
			conn.Close()
		}
	}()
	c := dial(t, ln.Addr().(*net.TCPAddr).AddrPort(), func(c *ClientConfig) { c.Secret = "open sesame" })
	eventually(t, "the client says so", func() bool { return strings.Contains(c.log.String(), "intercept has another secret") })
}

func TestOverlappingClaimsAreRefusedWithTheReasonUntilTheirOwnerLeaves(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	first := dial(t, i.addr, nil)
	first.awaitUp(t)
	second := dial(t, i.addr, func(c *ClientConfig) {
		c.Name, c.Instance = "S2", [16]byte{2}
		c.Claims = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	})
	const why = "10.1.0.0/16 overlaps 10.1.3.0/24, which S1 has claimed"
	eventually(t, "the refusal", func() bool { return strings.Contains(second.Stats().Refusal, why) })
	if !strings.Contains(second.log.String(), why) || second.Up() || !first.Up() {
		t.Error("the refusal is not as it should be:", second.log)
	}
	first.stop()
	second.awaitUp(t)
	if r := second.Stats().Refusal; r != "" {
		t.Errorf("an open link still says %q", r)
	}
}

func TestInstanceThatComesBackReplacesItsClaims(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	dial(t, i.addr, nil).awaitUp(t)
	again := dial(t, i.addr, func(c *ClientConfig) { c.Claims = []netip.Prefix{netip.MustParsePrefix("10.1.2.0/23")} })
	again.awaitUp(t)
	eventually(t, "the new claim only", func() bool {
		var claims []string
		for p := range i.router.Claims {
			claims = append(claims, p.String())
		}
		return slices.Equal(claims, []string{"10.1.2.0/23"})
	})
}

func TestClaimThatWouldLeakIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, func(c *ServerConfig) {
		c.Admit = func(p netip.Prefix) error {
			if p.Addr() == netip.MustParseAddr("10.1.3.0") || p.Addr() == netip.MustParseAddr("192.0.2.1") {
				return io.ErrNoProgress
			}
			return nil
		}
	})
	prefix := dial(t, i.addr, nil)
	flows := dial(t, i.addr, func(c *ClientConfig) {
		c.Claims, c.Instance = nil, [16]byte{2}
		c.LiveFlows = func(yield func(packet.Endpoint)) {
			yield(packet.EndpointFrom(netip.MustParseAddrPort("192.0.2.1:1")))
			yield(packet.EndpointFrom(netip.MustParseAddrPort("192.0.2.2:1")))
		}
	})
	eventually(t, "both are told", func() bool {
		return strings.Contains(prefix.Stats().Refusal, io.ErrNoProgress.Error()) &&
			strings.Contains(flows.Stats().Refusal, io.ErrNoProgress.Error()) && flows.Stats().Refused == 1
	})
	if prefix.Up() || !flows.Up() || i.router.Stats().Flows != 1 {
		t.Error("the wrong ones are open")
	}
}

func TestSingleServesOneTcpcopy(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, func(c *ServerConfig) { c.Single = true })
	dial(t, i.addr, func(c *ClientConfig) { c.Conns = 2 }).awaitUp(t)
	second := dial(t, i.addr, func(c *ClientConfig) {
		c.Instance = [16]byte{2}
		c.Claims = []netip.Prefix{netip.MustParsePrefix("10.1.4.0/24")}
	})
	eventually(t, "the refusal", func() bool { return strings.Contains(second.Stats().Refusal, "--single") })
}

func TestStrangersAreToldAndDoNoHarm(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	c := dial(t, i.addr, nil)
	c.awaitUp(t)
	later := appendHello(nil, &hello{Count: 1})
	later[headerLen+5]++
	flood := appendHello(nil, &hello{Count: 1, Instance: [16]byte{3}})
	for range 2 * MaxClaims / claimsPerFrame {
		flood = append(flood, claimsMany()...)
	}
	for name, b := range map[string][]byte{
		"unexpected frame type": []byte("GET / HTTP/1.1\r\n\r\n"),
		"another version":       later,
		"field out of range":    flood,
	} {
		conn, err := net.Dial("tcp", i.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(b)
		conn.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(conn); !strings.Contains(string(got), name) {
			t.Errorf("the answer to %q is %q", name, got)
		}
		conn.Close()
	}
	if !c.Up() || i.Stats().Links != 1 {
		t.Error("a stranger ended a link")
	}
}

// claimsMany is a full frame of claims that announces another.
func claimsMany() []byte {
	ps := make([]netip.Prefix, claimsPerFrame+1)
	for i := range ps {
		ps[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 32)
	}
	return appendClaims(nil, ps)[:headerLen+1+claimsPerFrame*claimLen]
}

func TestSilentServerIsLeftAndDialedAgain(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			defer conn.Close()
			r := newFrameReader(conn)
			r.next()
			conn.Write(appendFrame(appendHello(nil, &hello{}), TypeReady, nil))
		}
	}()
	c := dial(t, ln.Addr().(*net.TCPAddr).AddrPort(), nil)
	c.awaitUp(t)
	eventually(t, "a second connection", func() bool { return accepted.Load() > 1 })
	if !strings.Contains(c.log.String(), "silent for 3s") {
		t.Error(c.log)
	}
}

func TestSilentClientIsLeft(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	conn := handshake(t, i.addr)
	defer conn.Close()
	eventually(t, "the link", func() bool { return i.Stats().Links == 1 })
	eventually(t, "its end", func() bool { return i.Stats().Links == 0 })
	if !strings.Contains(i.log.String(), "silent for 3s") {
		t.Error(i.log)
	}
	if i.router.Stats().Claims != 1 {
		t.Error("the claims went before the grace was over")
	}
}

// handshake opens a link by hand, for a client that misbehaves afterwards.
func handshake(t *testing.T, addr netip.AddrPort) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	b := appendHello(nil, &hello{Name: "slow", Count: 1})
	conn.Write(appendClaims(b, []netip.Prefix{netip.MustParsePrefix("10.1.3.0/24")}))
	return conn.(*net.TCPConn)
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	c := dial(t, i.addr, func(c *ClientConfig) { c.Conns = 4 })
	c.awaitUp(t)
	c.stop()
	if c.Up() {
		t.Error("up after the end")
	}
	nobody := dial(t, netip.MustParseAddrPort("127.0.0.1:1"), nil)
	eventually(t, "attempts", func() bool { return nobody.Stats().Reconnects > 1 })
	nobody.stop()
}

func TestImpossibleConfigurationsAreNamed(t *testing.T) {
	good := ClientConfig{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Conns: 1, Claims: make([]netip.Prefix, 0, 1), LiveFlows: func(func(packet.Endpoint)) {}}
	for want, change := range map[string]func(*ClientConfig){
		"is not IP:PORT":        func(c *ClientConfig) { c.Addr = netip.AddrPort{} },
		"0 connections":         func(c *ClientConfig) { c.Conns = 0 },
		"17 connections":        func(c *ClientConfig) { c.Conns = 17 },
		"4097 claimed prefixes": func(c *ClientConfig) { c.Claims = make([]netip.Prefix, MaxClaims+1) },
		"nothing to claim":      func(c *ClientConfig) { c.LiveFlows = nil },
		"is not ADDRESS/LENGTH": func(c *ClientConfig) { c.Claims = make([]netip.Prefix, 1) },
	} {
		c := good
		change(&c)
		if _, err := NewClient(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := NewClient(good); err != nil {
		t.Error(err)
	}
}
