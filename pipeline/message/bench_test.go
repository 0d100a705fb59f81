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
