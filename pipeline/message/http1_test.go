package message

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	get  = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
	post = "POST /u HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
)

func TestHTTP1Requests(t *testing.T) {
	lines := func(head string) string { return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n" }
	from := New(HTTP1)
	one := func(name, request string) stream {
		return stream{name, from, []sent{{request, Answered}, {get, Answered}}, "", false, HTTP1}
	}
	malformed := func(name, request string) stream {
		return stream{name, from, []sent{{get, Answered}}, request + get, true, HTTP1}
	}
	open := func(name, request string) stream {
		return stream{name, from, []sent{{get, Answered}}, request, false, HTTP1}
	}
	run(t, []stream{
		one("GET", get),
		one("POST with a length", post),
		one("length of zero", lines("POST / HTTP/1.1\nContent-Length: 0\n")),
		one("no length means no body", lines("POST / HTTP/1.1\nHost: x\n")),
		one("no header", "GET / HTTP/1.0\r\n\r\n"),
		one("lines without CR", "POST / HTTP/1.1\ncontent-LENGTH:3\n\nabc"),
		one("empty lines before", "\r\n\n\r\n"+get),
		one("any method", lines("version-control /a HTTP/1.1\nHost: x\n")),
		one("blanks in the target", "GET /a b c HTTP/1.1\r\n\r\n"),
		one("repeated length", lines("PUT / HTTP/1.1\nContent-Length: 2\nA: b\nContent-Length: 2 , 2\t\n")+"ab"),
		one("chunks", lines("PUT / HTTP/1.1\nTransfer-Encoding: chunked\n")+"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n"),
		one("chunks with LF", "PUT / HTTP/1.1\ntransfer-encoding:CHUNKED\n\n3 \nabc\n0\n\n"),
		one("chunks with a trailer", lines("PUT / HTTP/1.1\nTransfer-Encoding: gzip, chunked\n")+"1\r\na\r\n00;e\r\nContent-Length: 7\r\n f\r\n\r\n"),
		one("chunks win over a length", lines("PUT / HTTP/1.1\nContent-Length: 99\nTransfer-Encoding: gzip\nTransfer-Encoding: chunked\n")+"1\r\na\r\n0\r\n\r\n"),
		one("expecting 100 Continue", lines("PUT / HTTP/1.1\nExpect: 100-continue\nContent-Length: 2\n")+"ab"),
		one("folded line", lines("GET / HTTP/1.1\nA: b\n Content-Length: 7\n\tx\n")),
		one("names that begin alike", lines("GET / HTTP/1.1\nContent-Length2: 1\nContent: 2\nC\nTransfer-Encodin: chunked\nUpgrade-Insecure-Requests: 1\n: 4\n")),
		one("upgrade refused", lines("GET / HTTP/1.1\nConnection: Upgrade\nUpgrade: h2c\n")),
		one("tunnel refused", lines("CONNECT x:443 HTTP/1.1\nHost: x:443\n")),
		one("body that looks like a request", lines("PUT / HTTP/1.1\nContent-Length: 32\n")+get),
		one("large head", "GET / HTTP/1.1\r\nCookie: "+strings.Repeat("c", 4000)+"\r\n\r\n"),

		open("within the method", "GE"),
		open("within the head", "GET / HTTP/1.1\r\nHos"),
		open("within the body", post[:len(post)-1]),
		open("before the chunk's end", lines("PUT / HTTP/1.1\nTransfer-Encoding: chunked\n")+"3\r\nabc"),
		open("before the last chunk", lines("PUT / HTTP/1.1\nTransfer-Encoding: chunked\n")+"3\r\nabc\r\n"),

		malformed("no request", "\x16\x03\x01"),
		malformed("HTTP/0.9", "GET /\r\n"),
		malformed("HTTP/2", "GET / HTTP/2.0\r\n\r\n"),
		malformed("different lengths", lines("PUT / HTTP/1.1\nContent-Length: 2\nContent-Length: 3\n")),
		malformed("length that is no number", lines("PUT / HTTP/1.1\nContent-Length: +2\n")),
		malformed("two numbers", lines("PUT / HTTP/1.1\nContent-Length: 2 2\n")),
		malformed("no length", lines("PUT / HTTP/1.1\nContent-Length:\n")),
		malformed("huge length", lines("PUT / HTTP/1.1\nContent-Length: 99999999999999999999999999\n")),
		malformed("folded length", lines("PUT / HTTP/1.1\nContent-Length: 1\n 1\n")),
		malformed("blank before the colon", lines("PUT / HTTP/1.1\nContent-Length : 1\n")),
		malformed("coding that is not chunked", lines("PUT / HTTP/1.1\nTransfer-Encoding: chunked, gzip\n")),
		malformed("chunked in HTTP/1.0", lines("PUT / HTTP/1.0\nTransfer-Encoding: chunked\n")),
		malformed("chunk size that is no number", lines("PUT / HTTP/1.1\nTransfer-Encoding: chunked\n")+"x\r\n"),
		malformed("no chunk size", lines("PUT / HTTP/1.1\nTransfer-Encoding: chunked\n")+"\r\n"),
		malformed("chunk longer than said", lines("PUT / HTTP/1.1\nTransfer-Encoding: chunked\n")+"1\r\nab\r\n"),
		malformed("CR alone", "GET / HTTP/1.1\r\n\rA"),

		{"tunnel", from, []sent{{lines("CONNECT x:443 HTTP/1.1\nHost: x\n"), Answered}}, "\x16\x03\x01" + get, false, Unknown},
		{"tunnel with text", from, []sent{{lines("CONNECT x:22 HTTP/1.1\nHost: x\n"), Answered}}, "SSH-2.0-x\r\n" + get, false, Unknown},
		{"upgrade to something else", from, []sent{{lines("GET / HTTP/1.1\nUpgrade: tcp\n"), Answered}}, "\x00\x01" + get, false, Unknown},
	})
}

func TestHTTP1HeadIsBounded(t *testing.T) {
	f := New(HTTP1)
	line := []byte("A: " + strings.Repeat("a", 1000) + "\r\n")
	f.Next([]byte("GET / HTTP/1.1\r\n"))
	for range 2 * maxHead / len(line) {
		f.Next(line)
	}
	if !f.Lost() {
		t.Error("a head without an end is followed")
	}
}

func TestHTTP1BodyThatNobodySaw(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nContent-Length: 10000000000\r\n\r\n"
	f := New(HTTP1)
	if f.Next([]byte(head)); f.Body() != 10000000000 {
		t.Fatalf("%d bytes of body", f.Body())
	}
	for _, n := range []uint32{1, 4000000000, 4000000000, 1999999998} {
		if !f.Skip(n) || f.Boundary() {
			t.Fatal("bytes within the body lose the framing")
		}
	}
	if f.Next([]byte("x")); f.Body() != 0 || !f.Boundary() || f.Answer() != Answered {
		t.Fatal("the body does not end")
	}
	for _, c := range []struct {
		before       string
		skip         uint32
		ok, boundary bool
	}{
		{"", 1, false, false},
		{get, 1, false, false},
		{get[:9], 1, false, false},
		{post[:len(post)-5], 5, true, true},
		{post[:len(post)-5], 4, true, false},
		{post[:len(post)-5], 6, false, false},
		{post[:len(post)-5], 0, true, false},
		{"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n", 9, true, false},
		{"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n", 10, false, false},
	} {
		f := New(HTTP1)
		f.Next([]byte(c.before))
		if ok := f.Skip(c.skip); ok != c.ok || f.Boundary() != c.boundary || f.Lost() == c.ok {
			t.Errorf("%q and %d bytes that nobody saw: %v, boundary %v", c.before, c.skip, ok, f.Boundary())
		}
	}
}

func TestHTTP1Begins(t *testing.T) {
	for _, c := range []struct {
		b    string
		want Verdict
	}{
		{get, Yes},
		{"GET / HTTP/1.0\n", Yes},
		{"M-SEARCH * HTTP/1.1\r\n", Yes},
		{"CONNECT example.org:443 HTTP/1.1\r\n", Yes},
		{"GET /" + strings.Repeat("a", 4000) + " HTTP/1.1\r\n", Yes},
		{"GET / HTTP/1.1\r", Maybe},
		{"GET /abc", Maybe},
		{"", Maybe},
		{"get / HTTP/1.1\r\n", No},
		{"GET / HTTP/2.0\r\n", No},
		{"GET / HTTP/1.1 \r\n", No},
		{"GET / HTTP/1.1\rx", No},
		{"GET  HTTP/1.1\r\n", No},
		{" GET / HTTP/1.1\r\n", No},
		{"GET /a b HTTP/1.1\r\n", No},
		{"GET /" + strings.Repeat("a", 10000) + " HTTP/1.1\r\n", No},
		{"Host: x\r\n", No},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n", No},
	} {
		judge(t, "begins", c.b, c.want, func(b []byte) Verdict { return Begins(HTTP1, b) })
	}
}

func TestHTTP1RequestsOfNetHTTP(t *testing.T) {
	for _, body := range []io.Reader{nil, strings.NewReader("hello"), io.MultiReader(strings.NewReader("of no "), strings.NewReader("known length"))} {
		q, err := http.NewRequest("PUT", "http://example.org/a", body)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := q.Write(&b); err != nil {
			t.Fatal(err)
		}
		f := New(HTTP1)
		if n, end := f.Next(append(b.Bytes(), get...)); !end || n != b.Len() {
			t.Errorf("%d of %d bytes of %q", n, b.Len(), &b)
		}
	}
}
