package recording

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// Survey is what a recording holds for a replay. Sessions are the clients'
// connections that match, requests their turns: what a client sends between
// two answers. Rates are those of the busiest second.
type Survey struct {
	Packets    uint64    `json:"packets"`
	Fragments  uint64    `json:"fragments"` // of IP; they cannot be replayed
	Malformed  uint64    `json:"malformed"` // headers that are not whole
	Matching   uint64    `json:"matching_packets"`
	First      time.Time `json:"first"` // of all packets
	Last       time.Time `json:"last"`
	Sessions   uint64    `json:"sessions"`
	Complete   uint64    `json:"complete"`  // from SYN to FIN or RST, with every byte
	Midstream  uint64    `json:"midstream"` // began before the recording
	Open       uint64    `json:"open"`      // did not end in it
	Holed      uint64    `json:"with_holes"`
	Truncated  uint64    `json:"truncated"` // with packets that the recording cut
	TLS        uint64    `json:"tls"`
	SSH        uint64    `json:"ssh"`
	Requests   uint64    `json:"requests"`
	Bytes      uint64    `json:"payload_bytes"` // without what was sent again
	Missing    uint64    `json:"missing_bytes"`
	Largest    int       `json:"largest_segment_bytes"`
	Concurrent int       `json:"most_concurrent_sessions"`

	PeakSessions uint64 `json:"peak_sessions_per_second"`
	PeakRequests uint64 `json:"peak_requests_per_second"`
	PeakBytes    uint64 `json:"peak_payload_bytes_per_second"`

	second  int64 // capture time, s
	recent  [3]uint64
	flows   map[flowKey]*flow
	open    int
	closing []ended // flows that are over and wait for late packets
}

type flowKey struct{ client, online packet.Endpoint }

// flow is a connection as far as it was seen.
type flow struct {
	syn, over, cut bool
	data           bool
	isn            uint32
	next           uint32 // behind the highest byte
	ack            uint32 // of the last payload
	gaps           []gap
	encrypted      session.Reason // TLS or SSH; 0: neither
	counted        bool           // end has counted it
}

// gap is a run of bytes that were not seen, or not yet.
type gap struct{ from, to uint32 }

type ended struct {
	key  flowKey
	flow *flow
	at   int64
}

const (
	// lateFor is how long after the end of a connection packets of it still count, ns.
	lateFor = int64(30 * time.Second)
	// maxGaps bounds the gaps that are kept of a connection; beyond it the first one
	// counts as missing for good.
	maxGaps = 64
)

// Note takes any packet of the recording, captured at t.
func (s *Survey) Note(t int64) {
	s.Packets++
	at := time.Unix(0, t).UTC()
	if s.First.IsZero() || at.Before(s.First) {
		s.First = at
	}
	if at.After(s.Last) {
		s.Last = at
	}
}

// Match takes a client's segment.
func (s *Survey) Match(g *packet.Segment) {
	s.Matching++
	s.Largest = max(s.Largest, g.Len)
	if second := g.Time / 1e9; second > s.second {
		s.peak()
		s.second = second
	}
	s.forget(g.Time)
	key := flowKey{g.Src, g.Dst}
	f := s.flows[key]
	begins := g.Flags&(packet.SYN|packet.ACK) == packet.SYN
	if f != nil && begins && !(f.syn && f.isn == g.Seq) {
		s.end(f)
		f = nil
	}
	if f == nil {
		if !begins && g.Flags&(packet.RST|packet.FIN) != 0 && g.Len == 0 {
			return // the end of a connection from before the recording
		}
		f = s.begin(key, g, begins)
	}
	if g.Len > 0 && g.Flags&packet.SYN == 0 {
		s.payload(f, g)
	}
	if g.Flags&(packet.FIN|packet.RST) != 0 && !f.over {
		f.over = true
		s.open--
		s.closing = append(s.closing, ended{key, f, g.Time})
	}
}

func (s *Survey) begin(key flowKey, g *packet.Segment, syn bool) *flow {
	f := &flow{syn: syn, isn: g.Seq, next: g.Seq, ack: g.Ack}
	if syn {
		f.next++
	}
	if s.flows == nil {
		s.flows = map[flowKey]*flow{}
	}
	s.flows[key] = f
	s.Sessions++
	s.recent[0]++
	s.open++
	s.Concurrent = max(s.Concurrent, s.open)
	return f
}

// payload takes a segment's place in the stream.
func (s *Survey) payload(f *flow, g *packet.Segment) {
	f.cut = f.cut || g.Len > len(g.Payload)
	end := g.Seq + uint32(g.Len)
	switch {
	case !f.syn && !f.data:
		f.next = g.Seq
	case int32(g.Seq-f.next) > 0:
		f.gaps = append(f.gaps, gap{f.next, g.Seq})
		if len(f.gaps) > maxGaps {
			s.Missing += uint64(f.gaps[0].to - f.gaps[0].from)
			f.cut = true
			f.gaps = slices.Delete(f.gaps, 0, 1)
		}
		f.next = g.Seq
	}
	fresh := f.fill(g.Seq, end)
	if int32(end-f.next) > 0 {
		fresh += uint64(end - later(g.Seq, f.next))
		if !f.data || int32(g.Ack-f.ack) > 0 {
			s.Requests++
			s.recent[1]++
			if why, ok := session.Encrypted(g.Payload, !f.syn && !f.data); ok && f.encrypted == 0 {
				f.encrypted = why
			}
		}
		f.next, f.ack, f.data = end, g.Ack, true
	}
	s.Bytes += fresh
	s.recent[2] += fresh
}

// later is the later of two sequence numbers.
func later(a, b uint32) uint32 {
	if int32(a-b) > 0 {
		return a
	}
	return b
}

// fill closes what [from, to) covers of the gaps, and returns how much that is.
func (f *flow) fill(from, to uint32) (n uint64) {
	if len(f.gaps) == 0 {
		return 0
	}
	var left []gap
	for _, g := range f.gaps {
		a := later(g.from, from)
		b := to
		if int32(b-g.to) > 0 {
			b = g.to
		}
		if int32(b-a) <= 0 {
			left = append(left, g)
			continue
		}
		n += uint64(b - a)
		if a != g.from {
			left = append(left, gap{g.from, a})
		}
		if b != g.to {
			left = append(left, gap{b, g.to})
		}
	}
	f.gaps = left
	return n
}

// forget counts the connections that ended long before t.
func (s *Survey) forget(t int64) {
	n := 0
	for ; n < len(s.closing) && t-s.closing[n].at > lateFor; n++ {
		e := &s.closing[n]
		s.end(e.flow)
		if s.flows[e.key] == e.flow {
			delete(s.flows, e.key)
		}
	}
	s.closing = slices.Delete(s.closing, 0, n)
}

// end counts what became of a connection.
func (s *Survey) end(f *flow) {
	if f.counted {
		return
	}
	f.counted = true
	if !f.over {
		s.open--
		s.Open++
	}
	if !f.syn {
		s.Midstream++
	}
	for _, g := range f.gaps {
		s.Missing += uint64(g.to - g.from)
	}
	switch f.encrypted {
	case session.TLS:
		s.TLS++
	case session.SSH:
		s.SSH++
	}
	if len(f.gaps) > 0 {
		s.Holed++
	}
	if f.cut {
		s.Truncated++
	}
	if f.syn && f.over && len(f.gaps) == 0 && !f.cut {
		s.Complete++
	}
}

func (s *Survey) peak() {
	s.PeakSessions = max(s.PeakSessions, s.recent[0])
	s.PeakRequests = max(s.PeakRequests, s.recent[1])
	s.PeakBytes = max(s.PeakBytes, s.recent[2])
	s.recent = [3]uint64{}
}

// Finish ends the survey at the end of the recording.
func (s *Survey) Finish() {
	s.peak()
	for _, f := range s.flows {
		s.end(f)
	}
	for _, e := range s.closing {
		s.end(e.flow)
	}
	s.flows, s.closing = nil, nil
}

// Duration is from the first packet to the last.
func (s *Survey) Duration() time.Duration { return s.Last.Sub(s.First) }

// Print writes s for people.
func (s *Survey) Print(w io.Writer) error {
	of := func(n uint64) string {
		return fmt.Sprintf("%d (%.1f %%)", n, 100*float64(n)/math.Max(float64(s.Sessions), 1))
	}
	rows := [][2]string{
		{"packets", fmt.Sprintf("%d, of which %d match", s.Packets, s.Matching)},
		{"duration", fmt.Sprintf("%v from %s to %s", s.Duration().Round(time.Millisecond), s.First.Format(time.RFC3339Nano), s.Last.Format(time.RFC3339Nano))},
		{"sessions", fmt.Sprint(s.Sessions)},
		{"  complete", of(s.Complete)},
		{"  began before", of(s.Midstream)},
		{"  not ended", of(s.Open)},
		{"  with holes", of(s.Holed)},
		{"  truncated", of(s.Truncated)},
		{"  TLS, SSH", of(s.TLS + s.SSH)},
		{"requests", fmt.Sprint(s.Requests)},
		{"payload", fmt.Sprintf("%d bytes, %d missing", s.Bytes, s.Missing)},
		{"peak", fmt.Sprintf("%d sessions/s, %d requests/s, %d bytes/s, %d sessions at a time", s.PeakSessions, s.PeakRequests, s.PeakBytes, s.Concurrent)},
		{"largest segment", fmt.Sprintf("%d bytes", s.Largest)},
	}
	if s.Fragments+s.Malformed > 0 {
		rows = append(rows, [2]string{"not readable", fmt.Sprintf("%d fragments, %d packets with broken headers", s.Fragments, s.Malformed)})
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "%-16s %s\n", r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}
