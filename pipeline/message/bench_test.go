package message

import (
	"strings"
	"testing"
	"unsafe"
)

// browserGet is what Chromium sends for a page.
const browserGet = "GET /articles/2026/11/index.html?ref=front HTTP/1.1\r\n" +
	"Host: www.example.org\r\n" +
	"Connection: keep-alive\r\n" +
	"Upgrade-Insecure-Requests: 1\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Encoding: gzip, deflate\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef\r\n\r\n"

func bench(b *testing.B, f Framer, request string) {
	in := []byte(request)
	g := f
	if n, end := g.Next(in); n != len(in) || !end {
		b.Fatalf("%d of %d bytes, end %v", n, len(in), end)
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Next(in)
	}
}

func BenchmarkHTTP1GET(b *testing.B) { bench(b, New(HTTP1), browserGet) }

func BenchmarkHTTP1POST(b *testing.B) {
	body := strings.Repeat("x", 10000)
	bench(b, New(HTTP1), "POST /upload HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n"+
		"Content-Length: 10000\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"+body)
}

func BenchmarkHTTP1Chunked(b *testing.B) {
	chunk := "1000\r\n" + strings.Repeat("x", 4096) + "\r\n"
	bench(b, New(HTTP1), "PUT /upload HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk+chunk+"0\r\n\r\n")
}

func BenchmarkHTTP1Response(b *testing.B) {
	bench(b, NewServer(HTTP1), "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 07:00:00 GMT\r\nContent-Type: text/html\r\n"+
		"Content-Length: 612\r\nLast-Modified: Fri, 27 Nov 2026 07:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6747-264\"\r\n"+
		"Accept-Ranges: bytes\r\n\r\n"+strings.Repeat("x", 612))
}

func BenchmarkHTTP2Request(b *testing.B) { bench(b, Resume(HTTP2), h2Request) }

func BenchmarkWebSocketFrame(b *testing.B) {
	bench(b, Resume(WebSocket), "\x82\xfe\x01\x00mask"+strings.Repeat("m", 256))
}

func BenchmarkRESPSET(b *testing.B) {
	bench(b, New(RESP), "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$100\r\n"+strings.Repeat("v", 100)+"\r\n")
}

func BenchmarkMQTTPublish(b *testing.B) {
	bench(b, Resume(MQTT), "\x32\x6c\x00\x07sensors\x00\x01"+strings.Repeat("p", 97))
}

func BenchmarkPostgreSQLExtendedQuery(b *testing.B) {
	bench(b, Resume(PostgreSQL), pg('P', "s\x00select $1\x00\x00\x00")+pg('B', "\x00s\x00\x00\x00\x00\x00\x00\x00\x00")+
		pg('D', "P\x00")+pg('E', "\x00\x00\x00\x00\x00")+pg('S', ""))
}

func BenchmarkMySQLQuery(b *testing.B) { bench(b, Resume(MySQL), my(0, "\x03select 1")) }

func BenchmarkDNSQuery(b *testing.B) { bench(b, New(DNS), dnsQuery) }

func BenchmarkMemcachedGet(b *testing.B) { bench(b, New(Memcached), "get key:000000000001\r\n") }

func BenchmarkMemcachedSet(b *testing.B) {
	bench(b, New(Memcached), "set key:000000000001 0 0 100\r\n"+strings.Repeat("v", 100)+"\r\n")
}

func BenchmarkBegins(b *testing.B) {
	in := []byte(browserGet)
	b.ReportAllocs()
	for b.Loop() {
		Begins(HTTP1, in)
	}
}

func TestFramerIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Framer{}); n > 24 {
		t.Errorf("%d bytes", n)
	}
}
