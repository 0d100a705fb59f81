package session

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// flow is one online connection: what its client sent, and how the capture
// saw it.
type flow struct {
	id        int
	stream    []byte // all payload of the client
	isn       uint32
	serverISN uint32
	requests  []request
	segments  []captured
	end       ending
	twins     []*flow
	follows   *flow // the connection that used the same endpoints before
	greeting  int   // what the server says first
	sure      int   // requests before an abort of the client
	skipped   int   // requests before the capture began

	damaged    int  // segments with payload that the capture lost
	disordered bool // by the network between client and production

	executed []int // what the target received, in order
}

// request is a message of the client: [start, end) of the stream. response is
// the length of production's answer.
type request struct {
	start, end, response int
	sent                 Time
	head                 int // bytes of it before its body
	sends                int // connections to the target on which it was sent
}

// captured is a packet of the client as the ring gives it.
type captured struct {
	at       Time
	seq, ack uint32
	flags    packet.Flags
	from, to int // payload, in the stream
	options  []byte
}

// ending is how an online connection ends.
type ending uint8

const (
	clientFIN ending = iota
	serverFIN
	halfClose // FIN on the last request's last segment
	clientRST
	silent
	numEndings
)

func (f *flow) String() string { return fmt.Sprintf("flow %d", f.id) }

// slot stands for the client's endpoint.
func (f *flow) slot() *flow {
	for f.follows != nil {
		f = f.follows
	}
	return f
}

// twin is the flow as its k-th further copy is seen at the target.
func (f *flow) twin(w *world, k int) *flow {
	for len(f.twins) <= k {
		t := *f
		t.executed, t.twins, t.requests = nil, nil, slices.Clone(f.requests)
		if t.follows == nil {
			t.follows = f // the same endpoint
		}
		f.twins = append(f.twins, &t)
		w.flows = append(w.flows, &t)
	}
	return f.twins[k]
}

// requestHeader: magic, flow, number, length, response length.
const requestHeader = 20

const magic = 0x52455131

// script writes an online connection's packets.
type script struct {
	w   *world
	f   *flow
	t   Time
	ack uint32
	out int // bytes of the stream that are sent
}

// newFlow makes a connection that begins at t, and returns the time of its
// last packet.
func newFlow(w *world, id int, t Time) (*flow, Time) {
	sc := w.sc
	f := &flow{id: id, isn: w.rng.Uint32(), serverISN: w.rng.Uint32(), disordered: sc.onlineLoss > 0}
	if w.chance(0.3) {
		f.isn = -uint32(w.between(1, 40000)) // wraps within the connection
	}
	if w.chance(0.3) {
		f.serverISN = -uint32(w.between(1, 40000))
	}
	f.end = sc.endings[w.rng.IntN(len(sc.endings))]
	for i := range w.between(1, sc.requests) {
		f.addRequest(w, i)
	}
	s := script{w: w, f: f, t: t, ack: f.serverISN + 1}
	s.emit(captured{seq: f.isn, flags: packet.SYN, options: sc.synOptions(w)})
	s.t += sc.onlineRTT
	s.pureACK()
	if sc.greeting > 0 {
		s.t += w.span(100, 2000)
		f.greeting = w.between(10, sc.greeting)
		s.respond(f.greeting)
		s.t += w.span(0, 1000)
	}
	s.exchange()
	s.finish()
	if sc.midstream {
		f.cutHead(w)
	}
	return f, s.t
}

func (f *flow) addRequest(w *world, i int) {
	n := w.between(requestHeader, 600)
	switch {
	case w.chance(w.sc.big):
		n = w.between(20_000, 300_000)
	case w.chance(0.2):
		n = w.between(1000, 8000)
	}
	r := request{start: len(f.stream), response: w.between(1, 3000)}
	if w.chance(0.1) {
		r.response = w.between(10_000, 150_000)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.counter + uint64(i*i>>3))
	}
	w.counter += 7
	if w.sc.http {
		b = w.httpRequest(f, i, n)
	} else {
		binary.BigEndian.PutUint32(b, magic)
		binary.BigEndian.PutUint32(b[4:], 1<<31|uint32(f.id)) // else it might be a DNS question
		binary.BigEndian.PutUint32(b[8:], uint32(i))
		binary.BigEndian.PutUint32(b[12:], uint32(n))
		binary.BigEndian.PutUint32(b[16:], uint32(r.response))
	}
	f.stream = append(f.stream, b...)
	r.end = len(f.stream)
	r.head = bytes.Index(b, []byte("\r\n\r\n")) + 4
	f.requests = append(f.requests, r)
}

// httpRequest is a request with a body of about n bytes, which is full of what
// looks like requests.
func (w *world) httpRequest(f *flow, i, n int) []byte {
	if n < 200 {
		return fmt.Appendf(nil, "GET /%d/%d HTTP/1.1\r\nHost: a\r\n\r\n", f.id, i)
	}
	b := fmt.Appendf(nil, "POST /%d/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", f.id, i, n)
	body := bytes.Repeat([]byte("GET /body HTTP/1.1\r\nHost: a\r\n\r\n"), n/31+1)
	return append(append(b, 'x'), body[:n-1]...)
}

// exchange sends the requests, as many ahead of the responses as the scenario
// pipelines, and reads the responses.
func (s *script) exchange() {
	w, reqs := s.w, s.f.requests
	depth := 1
	if w.sc.pipeline > 1 {
		depth = w.between(1, w.sc.pipeline)
	}
	next := 0
	for i, r := range reqs {
		if depth == 1 && r.start+r.head < r.end && w.chance(w.sc.early) {
			reqs[i].sent = s.t
			s.data(r.start+r.head, false)
			s.t += w.sc.onlineRTT
			s.respond(r.response)
			s.data(r.end, i == len(reqs)-1)
			next, s.f.sure = i+1, i+1
			s.t += w.span(s.w.sc.onlineRTT, w.sc.think)
			continue
		}
		for next < len(reqs) && next < i+depth {
			reqs[next].sent = s.t
			s.data(reqs[next].end, next == len(reqs)-1)
			next++
		}
		if i == len(reqs)-1 && s.f.end == clientRST && w.chance(0.5) {
			return // does not wait for the last response
		}
		s.f.sure = i + 1
		s.t += w.span(100, w.sc.serviceTime)
		s.respond(r.response)
		s.t += w.span(0, w.sc.think)
	}
}

// data sends the stream up to end. What the network loses on the way to
// production is seen later, and production waits for it.
func (s *script) data(end int, last bool) {
	w := s.w
	size := 1448
	if w.chance(w.sc.gro) {
		size = w.between(2, 45) * 1448
	}
	latest := s.t
	for s.out < end {
		n := min(size, end-s.out)
		if w.chance(0.05) {
			n = w.between(1, n)
		}
		g := captured{from: s.out, to: s.out + n, flags: packet.ACK}
		if s.out+n == end {
			g.flags |= packet.PSH
			if last && s.f.end == halfClose {
				g.flags |= packet.FIN
			}
		}
		s.out += n
		at := s.t + w.span(0, w.sc.onlineJitter)
		if w.chance(w.sc.onlineLoss) {
			at += 200 * Millisecond
			if w.chance(0.5) { // sent again in another cut
				g.from = max(0, g.from-w.between(0, 1448))
				if g.flags&packet.FIN == 0 {
					g.to = min(end, g.to+w.between(0, 1448))
					if g.to == end && last && s.f.end == halfClose {
						g.flags |= packet.FIN
					}
				}
			}
		}
		s.emitAt(at, g)
		latest = max(latest, at)
		s.t += w.span(1, 30)
	}
	s.t = max(s.t, latest)
}

// respond lets production send n bytes, which the client acknowledges in
// steps.
func (s *script) respond(n int) {
	w := s.w
	step := max(2896, n/5)
	for n > 0 {
		k := min(step, n)
		s.ack += uint32(k)
		n -= k
		if n > 0 || w.chance(0.5) {
			s.pureACK()
		}
		s.t += w.span(1, 60)
	}
}

func (s *script) pureACK() { s.emit(captured{from: s.out, to: s.out, flags: packet.ACK}) }

func (s *script) finish() {
	w := s.w
	switch s.f.end {
	case clientFIN:
		s.emit(captured{from: s.out, to: s.out, flags: packet.FIN | packet.ACK})
		s.t += w.sc.onlineRTT
		s.ack++
		s.afterFIN()
	case serverFIN:
		s.ack++
		if w.chance(0.5) {
			s.pureACK()
			s.t += w.span(0, 1000)
		}
		s.emit(captured{from: s.out, to: s.out, flags: packet.FIN | packet.ACK})
	case halfClose:
		s.ack++
		s.afterFIN()
	case clientRST:
		g := captured{from: s.out, to: s.out, flags: packet.RST}
		if w.chance(0.7) {
			g.flags |= packet.ACK
		}
		if g.flags&packet.ACK == 0 {
			s.pureACK() // else nobody could know what the client had read
		}
		s.t += w.sc.onlineJitter
		s.emit(g)
	}
}

func (s *script) afterFIN() {
	s.emit(captured{seq: s.f.isn + 2 + uint32(s.out), flags: packet.ACK})
}

func (s *script) emit(g captured) { s.emitAt(s.t, g) }

// emitAt writes a packet to the capture, which may lose it or see it twice.
func (s *script) emitAt(at Time, g captured) {
	w := s.w
	if g.seq == 0 {
		g.seq = s.f.isn + 1 + uint32(g.from)
	}
	g.at = at
	if g.flags&packet.ACK != 0 {
		g.ack = s.ack
	}
	if w.chance(w.sc.captureLoss) {
		if g.from < g.to {
			s.f.damaged++
		}
		return
	}
	s.f.segments = append(s.f.segments, g)
	if w.chance(w.sc.captureDup) {
		g.at += w.span(0, w.sc.onlineRTT)
		s.f.segments = append(s.f.segments, g)
	}
}

// cutHead removes what was sent before the capture began.
func (f *flow) cutHead(w *world) {
	f.sort()
	f.segments = f.segments[w.rng.IntN(len(f.segments)/2+1):]
	for f.skipped < len(f.requests) && f.requests[f.skipped].sent < f.segments[0].at {
		f.skipped++
	}
}

func (f *flow) sort() {
	slices.SortStableFunc(f.segments, func(a, b captured) int { return int(a.at - b.at) })
}

// play schedules the flow's packets.
func (w *world) play(f *flow) {
	f.sort()
	client := packet.Endpoint{Addr: packet.Addr4([]byte{192, 168, byte(f.slot().id >> 8), byte(f.slot().id)}), Port: 40000}
	for _, g := range f.segments {
		w.at(g.at, func() {
			w.capture(f, &packet.Segment{
				Src: client, Dst: onlineEnd, Seq: g.seq, Ack: g.ack, Flags: g.flags, Window: 65535,
				Options: g.options, Payload: f.stream[g.from:g.to], Len: g.to - g.from, Time: int64(g.at) * 1000,
			})
		})
	}
}
