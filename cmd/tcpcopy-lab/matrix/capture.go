package matrix

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// recordings are what passed while tcpcopy's capture was incomplete: what
// production got, what tcpcopy could see of it, what it sent to the target.
type recordings struct {
	sent, seen, copied *testbed.Recording
}

// headBytes is how much of each packet is recorded where only headers and the
// beginning of a connection matter.
const headBytes = 256

// record starts tcpdump at the three places.
func (c *cell) record(ctx context.Context) (r *recordings, err error) {
	r = &recordings{}
	online, target := c.Online[0].Host, c.Target[0].Host
	at := func(h *lab.Host, iface string, snaplen int, filter string) (p *testbed.Recording) {
		if err == nil {
			p, err = testbed.Record(ctx, h, iface, snaplen, filter, filepath.Join(c.Lab.Dir, h.Name+"-"+iface+".pcap"))
		}
		return p
	}
	toProduction := fmt.Sprintf("tcp dst port %d and dst host %s", c.row.port, lab.OnlineAddr4)
	r.sent = at(online, "eth0", 0, toProduction)
	r.seen = at(online, lab.MirrorInterface, headBytes, toProduction)
	r.copied = at(target, "eth0", headBytes, fmt.Sprintf("tcp dst port %d and net %s", c.row.port, lab.PoolNet4))
	return r, err
}

// whole ends the recordings at production and selects of its requests those
// whose packets were all seen.
func (r *recordings) whole() (func(uri string) bool, error) {
	sent, err := streams(r.sent)
	if err != nil {
		return nil, err
	}
	seen, err := streams(r.seen)
	if err != nil {
		return nil, err
	}
	whole, err := wholeRequests(sent, seen)
	return func(uri string) bool { return whole[uri] }, err
}

// wholeRequests says of each request that was sent whether all of it was seen.
func wholeRequests(sent, seen []*stream) (map[string]bool, error) {
	by := map[string]*stream{}
	for _, s := range seen {
		by[s.client] = s
	}
	whole := map[string]bool{}
	for _, s := range sent {
		requests, err := s.requests()
		if err != nil {
			return nil, err
		}
		for _, q := range requests {
			whole[q.uri] = by[s.client] != nil && by[s.client].covers(q)
		}
	}
	return whole, nil
}

// misbegun ends the recording at the target and counts the connections whose
// first byte is not a request's.
func (r *recordings) misbegun() (int, error) {
	copied, err := streams(r.copied)
	return countMisbegun(copied), err
}

func countMisbegun(all []*stream) (n int) {
	for _, s := range all {
		if len(s.segments) > 0 && !s.begunByRequest {
			n++
		}
	}
	return n
}

// A stream is what a client sent over one connection, by sequence numbers.
type stream struct {
	client         string // address and port
	segments       []segment
	begunByRequest bool // the first byte is a request's
}

// A segment is from its first byte to behind its last; text is its beginning,
// or all of it.
type segment struct {
	from, to uint32
	text     []byte
}

// A request is from its first byte to behind its last.
type request struct {
	uri      string
	from, to uint32
}

func (s *stream) sort() {
	slices.SortStableFunc(s.segments, func(a, b segment) int { return int(int32(a.from - b.from)) })
}

// covers reports whether segments have every byte of q.
func (s *stream) covers(q request) bool {
	s.sort()
	at := q.from
	for _, g := range s.segments {
		if int32(g.from-at) <= 0 && int32(g.to-at) > 0 {
			at = g.to
		}
	}
	return int32(at-q.to) >= 0
}

// requests are those of a stream that was recorded without a gap, in full. A
// request may begin anywhere in a segment.
func (s *stream) requests() (all []request, err error) {
	if len(s.segments) == 0 {
		return nil, nil
	}
	s.sort()
	var text []byte
	at := s.segments[0].from
	for _, g := range s.segments {
		if int32(g.to-at) <= 0 { // sent again
			continue
		}
		if int32(g.from-at) > 0 || int(g.to-g.from) != len(g.text) {
			return nil, fmt.Errorf("matrix: the recording of %s has a gap", s.client)
		}
		text = append(text, g.text[at-g.from:]...)
		at = g.to
	}
	from := s.segments[0].from
	for len(text) > 0 {
		in := bytes.NewReader(text)
		buffered := bufio.NewReader(in)
		r, err := http.ReadRequest(buffered)
		if err != nil {
			return nil, fmt.Errorf("matrix: a request of %s: %w", s.client, err)
		}
		head := len(text) - in.Len() - buffered.Buffered()
		length := uint32(head) + uint32(max(0, r.ContentLength))
		all = append(all, request{r.RequestURI, from, from + length})
		from += length
		text = text[min(int(length), len(text)):]
	}
	return all, nil
}

// streams ends a recording and reads it.
func streams(r *testbed.Recording) ([]*stream, error) {
	if err := r.End(); err != nil {
		return nil, err
	}
	return readStreams(r.File)
}

// readStreams are the connections in a recording of the packets to a server.
func readStreams(file string) (all []*stream, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := pcapgo.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	by := map[string]*stream{}
	for {
		data, _, err := in.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var ip layers.IPv4
		var tcp layers.TCP
		if err := ip.DecodeFromBytes(data[14:], gopacket.NilDecodeFeedback); err != nil {
			return nil, err
		}
		if err := tcp.DecodeFromBytes(ip.Payload, gopacket.NilDecodeFeedback); err != nil {
			return nil, err
		}
		client := fmt.Sprintf("%s:%d", ip.SrcIP, tcp.SrcPort)
		s := by[client]
		if s == nil || tcp.SYN && len(s.segments) > 0 {
			s = &stream{client: client}
			by[client] = s
			all = append(all, s)
		}
		s.add(tcp.Seq, uint32(ip.Length)-uint32(ip.IHL)*4-uint32(tcp.DataOffset)*4, tcp.Payload)
	}
	return all, nil
}

// add adds a segment of which text is the beginning.
func (s *stream) add(seq, length uint32, text []byte) {
	if length == 0 {
		return
	}
	if len(s.segments) == 0 {
		s.begunByRequest = beginsRequest(text)
	}
	s.segments = append(s.segments, segment{from: seq, to: seq + length, text: text})
}

// beginsRequest reports whether text begins with the first line of a request.
func beginsRequest(text []byte) bool {
	line, _, ok := bytes.Cut(text, []byte("\r\n"))
	words := bytes.Split(line, []byte(" "))
	return ok && len(words) == 3 && bytes.HasPrefix(words[2], []byte("HTTP/1."))
}
