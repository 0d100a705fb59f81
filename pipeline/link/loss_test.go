package link

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

// sessions are the live flows of a tcpcopy.
type sessions struct {
	mu   sync.Mutex
	live map[packet.Endpoint]struct{}
}

func (s *sessions) each(yield func(packet.Endpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.live {
		yield(e)
	}
}

// churn begins and ends sessions as a worker does, in batches.
func (s *sessions) churn(c *Client, rnd *rand.Rand) {
	var add, del []packet.Endpoint
	s.mu.Lock()
	for range rnd.IntN(50) {
		e := randomEndpoint(rnd, rnd.IntN(4) == 0)
		s.live[e] = struct{}{}
		add = append(add, e)
	}
	n := rnd.IntN(50)
	for e := range s.live {
		if n--; n < 0 {
			break
		}
		delete(s.live, e)
		del = append(del, e)
	}
	s.mu.Unlock()
	c.AddFlows(add)
	c.DelFlows(del)
}

// await waits until the server's flows are the live ones.
func (s *sessions) await(t *testing.T, i *intercept) {
	t.Helper()
	var live []packet.Endpoint
	s.each(func(e packet.Endpoint) { live = append(live, e) })
	eventually(t, "as many flows at both ends", func() bool { return i.router.Stats().Flows == len(live) })
	// Another tcpcopy gets none of them, so they are the same.
	other, err := i.router.Join(reply.Member{ID: [16]byte{99}, Count: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := i.router.AddFlows(other, live); n != len(live) {
		t.Errorf("%d of %d flows are those that live", n, len(live))
	}
}

// churnSlowly changes flows n times, with pauses in which links write some of it.
func (s *sessions) churnSlowly(c *Client, rnd *rand.Rand, n int) {
	for range n {
		s.churn(c, rnd)
		time.Sleep(time.Millisecond)
	}
}

func TestNoFlowIsLostOverRestartsOfTheServerAtAnyMoment(t *testing.T) {
	t.Parallel()
	s := &sessions{live: make(map[packet.Endpoint]struct{})}
	i := serve(t, netip.AddrPort{}, nil)
	c := dial(t, i.addr, func(c *ClientConfig) { c.Claims, c.LiveFlows, c.Conns = nil, s.each, 3 })
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		s.churnSlowly(c.Client, rnd, rnd.IntN(60))
		i.stop()
		for range rnd.IntN(20) {
			s.churn(c.Client, rnd)
		}
		// A new server and a new router: it knows nothing.
		i = serve(t, i.addr, nil)
	}
	c.awaitUp(t)
	for range 50 {
		s.churn(c.Client, rnd)
	}
	s.await(t, i)
}

func TestNoFlowIsLostOrKeptOverLostConnections(t *testing.T) {
	t.Parallel()
	s := &sessions{live: make(map[packet.Endpoint]struct{})}
	i := serve(t, netip.AddrPort{}, nil)
	c := dial(t, i.addr, func(c *ClientConfig) { c.Claims, c.LiveFlows, c.Conns = nil, s.each, 2 })
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		s.churnSlowly(c.Client, rnd, rnd.IntN(40))
		for _, p := range i.opened() {
			p.conn.Close()
		}
	}
	for range 50 {
		s.churn(c.Client, rnd)
	}
	c.awaitUp(t)
	s.await(t, i)
}

func TestOverflowOfTheClaimsIsCountedAndRepaired(t *testing.T) {
	t.Parallel()
	s := &sessions{live: make(map[packet.Endpoint]struct{})}
	i := serve(t, netip.AddrPort{}, nil)
	entered, block := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := dial(t, i.addr, func(c *ClientConfig) {
		c.Claims = nil
		c.LiveFlows = func(yield func(packet.Endpoint)) {
			once.Do(func() { close(entered); <-block }) // the writer is busy, as on a slow network
			s.each(yield)
		}
	})
	<-entered
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 3 {
		batch := make([]packet.Endpoint, maxOps/2)
		s.mu.Lock()
		for k := range batch {
			batch[k] = randomEndpoint(rnd, false)
			s.live[batch[k]] = struct{}{}
		}
		s.mu.Unlock()
		c.AddFlows(batch)
	}
	if n := c.Stats().Overflows; n == 0 {
		t.Error("no overflow was counted")
	}
	close(block)
	s.await(t, i)
}

func TestSlowPeerLosesTheOldestRecordsAndAllAreCounted(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	conn := handshake(t, i.addr)
	defer conn.Close()
	conn.SetReadBuffer(64 << 10)
	eventually(t, "the link", func() bool { return i.Stats().Links == 1 })
	go func() { // alive, but reads nothing
		for {
			if _, err := conn.Write(appendPing(nil, ping{})); err != nil {
				return
			}
			time.Sleep(Heartbeat / 4)
		}
	}()
	r := typicalReply()
	batch := make([]packet.Reply, 200)
	var sent uint32
	for i.Stats().Dropped < 50000 {
		for k := range batch {
			sent++
			r.Seq = sent
			batch[k] = r
		}
		i.deliver(0, batch)
		if st := i.Stats(); st.Forwarded+uint64(st.Queued)+st.Dropped > uint64(sent) {
			t.Fatalf("of %d records %+v", sent, st)
		}
	}
	for _, p := range i.opened() {
		p.out.mu.Lock()
		if p.out.bytes > MaxBacklog {
			t.Errorf("%d bytes wait", p.out.bytes)
		}
		p.out.mu.Unlock()
	}
	// Now it reads: what it gets is in order and ends with the newest.
	in := newFrameReader(conn)
	var last, received uint32
	for last != sent {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		typ, p, err := in.next()
		if err != nil {
			t.Fatalf("after %d records of %d: %v", received, sent, err)
		}
		if typ != TypeReplies {
			continue
		}
		rs, err := decodeRecords(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k := range rs {
			if rs[k].Seq <= last {
				t.Fatalf("record %d after %d", rs[k].Seq, last)
			}
			last = rs[k].Seq
			received++
		}
	}
	eventually(t, "the sums agree", func() bool {
		st := i.Stats()
		return st.Queued == 0 && st.Forwarded == uint64(received) && st.Forwarded+st.Dropped == uint64(sent) && st.Stalls > 0
	})
}

func TestBrokenLinkCountsWhatItLoses(t *testing.T) {
	t.Parallel()
	i := serve(t, netip.AddrPort{}, nil)
	conn := handshake(t, i.addr)
	eventually(t, "the link", func() bool { return i.Stats().Links == 1 })
	out := i.opened()[0].out
	r := typicalReply()
	batch := make([]packet.Reply, 200)
	for k := range batch {
		batch[k] = r
	}
	sent := uint64(0)
	for i.Stats().Queued == 0 {
		out.Deliver(batch)
		sent += uint64(len(batch))
	}
	conn.Close()
	eventually(t, "the end of the link", func() bool { return i.Stats().Links == 0 })
	out.Deliver(batch)
	sent += uint64(len(batch))
	eventually(t, "the sums agree", func() bool {
		st := i.Stats()
		return st.Queued == 0 && st.Dropped > 0 && st.Forwarded+st.Dropped == sent
	})
}

func TestDeliveryToAReadingPeerDoesNotAllocate(t *testing.T) {
	i := serve(t, netip.AddrPort{}, nil)
	c := dial(t, i.addr, nil)
	c.awaitUp(t)
	out := i.opened()[0].out
	r := typicalReply()
	batch := []packet.Reply{r, r, r, r}
	var sent uint64
	if n := testing.AllocsPerRun(200, func() {
		out.Deliver(batch)
		sent += uint64(len(batch))
		for c.Stats().Records < sent { // Stats allocates nothing
			time.Sleep(10 * time.Microsecond)
		}
	}); n >= 1 { // heartbeats of other goroutines count too
		t.Errorf("%v allocations", n)
	}
}

// A batch as a ring hands it over, to a client that reads it: encoding, one
// write, and the client's share.
func BenchmarkDeliver(b *testing.B) {
	i := serve(b, netip.AddrPort{}, nil)
	c := dial(b, i.addr, nil)
	c.awaitUp(b)
	out := i.opened()[0].out
	batch := make([]packet.Reply, 64)
	for k := range batch {
		batch[k] = typicalReply()
	}
	b.ReportAllocs()
	for b.Loop() {
		out.Deliver(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch)), "ns/record")
	st := i.Stats()
	b.ReportMetric(float64(st.Dropped)/float64(st.Forwarded+st.Dropped)*100, "%dropped")
}
