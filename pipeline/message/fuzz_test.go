package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// seeds are streams of each protocol.
var seeds = [NumProtocols][]string{
	HTTP1: {get + post, browserGet, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n" + get,
		"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "CONNECT a:1 HTTP/1.1\r\n\r\nabc"},
	HTTP2:      {http2Preface + h2(4, 0, 0, "") + h2Request},
	WebSocket:  {"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x8a\x80\x01\x02\x03\x04\x82\xfe\x00\x7e"},
	RESP:       {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\nPING\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"},
	MQTT:       {"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test\xc0\x00\x30\x06\x00\x01thi!"},
	PostgreSQL: {pgStartup + pg('P', "\x00select\x00\x00\x00") + pg('S', "") + pg('Q', "select\x00")},
	MySQL:      {myLogin("\x05\xa6\xbf\x01") + my(3, "p") + my(0, "\x03select 1")},
	DNS:        {dnsQuery + dnsQuery},
	Memcached:  {"get a\r\nset a 0 0 1 noreply\r\na\r\n\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01aaaaaaaaaaaaz"},
}

// FuzzFramer cuts a stream in two ways, which must make no difference, and
// does not show the bytes of bodies the second time.
func FuzzFramer(f *testing.F) {
	for p, streams := range seeds {
		for _, s := range streams {
			f.Add(uint8(p), []byte(s), uint16(7))
		}
	}
	f.Add(uint8(HTTP1), []byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\x81\x05Hello"), uint16(7))
	f.Add(uint8(RESP), []byte("*2\r\n$1\r\na\r\n*1\r\n_\r\n|1\r\n+a\r\n:3\r\n>1\r\n+a\r\n"), uint16(7))
	f.Fuzz(func(t *testing.T, p uint8, b []byte, cut uint16) {
		for _, from := range []Framer{New(Protocol(p) % numProtocols), Resume(Protocol(p) % numProtocols), NewServer(Protocol(p) % numProtocols)} {
			g := from
			want := follow(t, &g, b)
			k := min(int(cut), len(b))
			g = from
			if got := follow(t, &g, b[:k], b[k:]); got != want {
				t.Fatalf("cut at %d:\n got %s\nwant %s", k, got, want)
			}
			g = from
			if got := follow(t, &g, bytes.SplitAfter(b, nil)...); got != want {
				t.Fatalf("byte by byte:\n got %s\nwant %s", got, want)
			}
			skipping, seeing := from, from
			for at := 0; at < len(b); {
				if n := min(int(skipping.Body()), len(b)-at); n > 0 {
					if !skipping.Skip(uint32(n)) {
						t.Fatal("bytes of a body lose the framing")
					}
					seeing.Next(b[at : at+n])
					at += n
				} else {
					skipping.Next(b[at : at+1])
					seeing.Next(b[at : at+1])
					at++
				}
				if skipping != seeing {
					t.Fatalf("at %d: %+v, where all was seen %+v", at, skipping, seeing)
				}
			}
		}
	})
}

// FuzzVerdicts looks for a verdict that more bytes change.
func FuzzVerdicts(f *testing.F) {
	for _, streams := range seeds {
		for _, s := range streams {
			f.Add([]byte(s), uint16(80), uint16(9))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, port, cut uint16) {
		RecognizeMidway(b, 80)
		part := b[:min(int(cut), len(b))]
		for p := range numProtocols {
			if v := Begins(p, part); v != Maybe && v != Begins(p, b) {
				t.Fatalf("%v: %d after %d bytes, then %d", p, v, len(part), Begins(p, b))
			}
			if Begins(p, b) == Yes {
				g := Resume(p)
				if n, _ := g.Next(b); n == 0 || g.Lost() && n == 1 {
					t.Fatalf("%v begins, but is lost at once", p)
				}
			}
		}
		if p, v := Recognize(b, port); v == Yes {
			g := New(p)
			g.Next(b[:1])
			if g.Lost() {
				t.Fatalf("%v is recognised, but lost at once", p)
			}
		}
	})
}

// FuzzHTTP1Requests has net/http for a referee: where it finds requests, the
// Framer finds the same ends, or gives up where servers differ.
func FuzzHTTP1Requests(f *testing.F) {
	for _, s := range seeds[HTTP1] {
		f.Add([]byte(s))
	}
	f.Add([]byte("GET / HTTP/1.1\nHost:x\ncontent-length:\t2 \ncontent-Length: 2\n\nab" + get))
	f.Add([]byte("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: Chunked \r\n\r\n0a;x=y\n0123456789\r\n0\r\nA: b\r\n\r\n" + get))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &counter{r: bytes.NewReader(b)}
		br := bufio.NewReader(r)
		g := New(HTTP1)
		for at := 0; ; {
			for at < len(b) && (b[at] == '\r' || b[at] == '\n') {
				at++ // net/http does not allow for empty lines
				br.ReadByte()
			}
			q, err := http.ReadRequest(br)
			if err != nil || q.Method == "CONNECT" || q.Header.Get("Upgrade") != "" || q.ProtoMajor != 1 {
				return
			}
			if !q.ProtoAtLeast(1, 1) && bytes.Contains(bytes.ToLower(b[at:]), []byte("transfer-encoding")) {
				return // ignored by net/http
			}
			if _, err := io.Copy(io.Discard, q.Body); err != nil {
				if errors.Is(err, io.ErrUnexpectedEOF) && g.Answer() != Answered {
					if _, end := g.Next(b[at:]); end {
						t.Fatalf("an unfinished request has ended: %q", b[at:])
					}
				}
				return
			}
			end := r.n - br.Buffered()
			n, ended := g.Next(b[at:])
			if g.Lost() {
				return
			}
			if !ended || at+n != end {
				t.Fatalf("request of %q: %d bytes, ended %v, where net/http takes %d", b[at:], n, ended, end-at)
			}
			at = end
		}
	})
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestFramersAllocateNothing(t *testing.T) {
	for p, streams := range seeds {
		for _, s := range streams {
			b := []byte(strings.Repeat(s, 2))
			f := New(Protocol(p))
			if n := testing.AllocsPerRun(10, func() {
				g := f
				for in := b; len(in) > 0; {
					n, _ := g.Next(in)
					in = in[n:]
				}
				Recognize(b, 80)
				RecognizeMidway(b, 80)
			}); n > 0 {
				t.Errorf("%v: %v allocations", Protocol(p), n)
			}
		}
	}
}
