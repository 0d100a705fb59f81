package message

import (
	"strings"
	"testing"
)

func TestHTTP1Responses(t *testing.T) {
	lines := func(head string) string { return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n" }
	ok := sent{lines("HTTP/1.1 200 OK\nContent-Length: 2\n") + "ok", Answered}
	head := NewServer(HTTP1)
	head.Expect(AskedHead)
	connect := NewServer(HTTP1)
	connect.Expect(AskedConnect)
	from := NewServer(HTTP1)
	run(t, []stream{
		{"length", from, []sent{ok, {lines("HTTP/1.0 404\nContent-Length: 0\n"), Answered}, ok}, "", false, HTTP1},
		{"chunks", from, []sent{{lines("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n") + "2\r\nok\r\n0\r\nA: b\r\n\r\n", Answered}, ok}, "", false, HTTP1},
		{"interim responses", from, []sent{{lines("HTTP/1.1 100 Continue\n"), AnswerUnknown}, {lines("HTTP/1.1 103 Early Hints\nLink: x\n"), AnswerUnknown}, ok}, "", false, HTTP1},
		{"no body", from, []sent{{lines("HTTP/1.1 204 No Content\n"), Answered}, {lines("HTTP/1.1 304 Not Modified\nContent-Length: 9\n"), Answered}, ok}, "", false, HTTP1},
		{"until the connection ends", from, nil, lines("HTTP/1.1 200 OK\nServer: x\n") + ok.bytes + ok.bytes, false, HTTP1},
		{"answer to HEAD", head, []sent{{lines("HTTP/1.1 103 Early Hints\n"), AnswerUnknown}, {lines("HTTP/1.1 200 OK\nContent-Length: 9\n"), Answered}, ok}, "", false, HTTP1},
		{"tunnel", connect, []sent{{lines("HTTP/1.1 200 OK\nContent-Length: 2\n"), Answered}}, "\x16\x03", false, Unknown},
		{"tunnel refused", connect, []sent{{lines("HTTP/1.1 407 No\nContent-Length: 2\n") + "no", Answered}, ok}, "", false, HTTP1},
		{"websocket", from, []sent{{lines("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n"), Answered}, {"\x81\x05Hello", AnswerUnknown}}, "\x89", false, WebSocket},
		{"another protocol", from, []sent{{lines("HTTP/1.1 101 Switching Protocols\nUpgrade: tcp\n"), Answered}}, "abc", false, Unknown},
		{"upgrade offered", from, []sent{{lines("HTTP/1.1 200 OK\nUpgrade: h2c, websocket\nContent-Length: 0\n"), Answered}, ok}, "", false, HTTP1},
		{"no response", from, []sent{ok}, "HTTQ/1.1 200 OK\r\n", true, HTTP1},
		{"no status", from, []sent{ok}, "HTTP/1.1 2x0 OK\r\n", true, HTTP1},
	})
}

func TestRequestTellsHowItsAnswerEnds(t *testing.T) {
	for request, want := range map[string]Asked{
		get:                                  AskedOther,
		"HEAD / HTTP/1.1\r\n\r\n":            AskedHead,
		"CONNECT a:1 HTTP/1.1\r\n\r\n":       AskedConnect,
		"HEAD / HTTP/1.1\r\n\r\n" + get:      AskedOther,
		"CONNECT a:1 HTTP/1.1\r\n\r\n" + get: AskedOther,
	} {
		f := New(HTTP1)
		follow(t, &f, []byte(request))
		if f.Asked() != want {
			t.Errorf("%q: %d", request, f.Asked())
		}
	}
}

func TestRESPResponses(t *testing.T) {
	run(t, []stream{{"values", NewServer(RESP), []sent{
		{"+OK\r\n", Answered}, {"-ERR x\r\n", Answered}, {":-1\r\n", Answered}, {"$-1\r\n", Answered}, {"$0\r\n\r\n", Answered},
		{"$3\r\na\r\n\r\n", Answered}, {"*0\r\n", Answered}, {"*-1\r\n", Answered}, {"*2\r\n$1\r\na\r\n*1\r\n_\r\n", Answered},
		{"%1\r\n+a\r\n,1.5\r\n", Answered}, {">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", AnswerUnknown},
		{"|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n", Answered}, {"=7\r\ntxt:abc\r\n", Answered},
	}, "$5\r\nab", false, RESP}, {"no value", NewServer(RESP), nil, "hello\r\n", true, RESP}})
}
