package message

import (
	"strings"
	"testing"
)

func TestRecognize(t *testing.T) {
	for _, c := range []struct {
		name string
		b    string
		port uint16
		want Protocol
	}{
		{"http1", get, 8080, HTTP1},
		{"http2", http2Preface, 80, HTTP2},
		{"redis", "*1\r\n$4\r\nPING\r\n", 7000, RESP},
		{"redis, a line", "PING\r\n", 7000, RESP},
		{"redis, a line that memcached has, too", "get a\r\n", 6379, RESP},
		{"memcached", "get a\r\n", 7000, Memcached},
		{"memcached, storing", "set a 0 0 1\r\na\r\n", 11211, Memcached},
		{"memcached, binary", "\x80\x0b" + string(make([]byte, 22)), 11211, Memcached},
		{"mqtt", "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test", 1883, MQTT},
		{"mqtt 3.1", "\x10\x12\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x04test", 1883, MQTT},
		{"postgresql", pgStartup, 5432, PostgreSQL},
		{"postgresql, asking for TLS", "\x00\x00\x00\x08\x04\xd2\x16\x2f", 5432, PostgreSQL},
		{"mysql", myLogin("\x05\xa6\xbf\x01"), 3306, MySQL},
		{"dns", dnsQuery, 53, DNS},
		{"tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 443, Unknown},
		{"ssh", "SSH-2.0-OpenSSH_10.0\r\n", 22, Unknown},
		{"smtp", "EHLO example.org\r\n", 25, Unknown},
		{"zeros", string(make([]byte, 100)), 9000, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range len(c.b) + 1 {
				p, v := Recognize([]byte(c.b[:i]), c.port)
				if v == Yes && p != c.want {
					t.Fatalf("%v after %d bytes", p, i)
				}
				if v == No && c.want != Unknown {
					t.Fatalf("given up after %d bytes", i)
				}
				if i == len(c.b) && (p != c.want || v == Maybe) {
					t.Fatalf("%v, verdict %d", p, v)
				}
			}
		})
	}
}

func TestRecognizeMidway(t *testing.T) {
	for _, c := range []struct {
		name string
		b    string
		want Protocol
	}{
		{"http1", get, HTTP1},
		{"redis", "*1\r\n$4\r\nPING\r\n", RESP},
		{"memcached", "get a\r\n", Memcached},
		{"dns", dnsQuery, DNS},
		{"http2", h2Request + h2(8, 0, 0, "\x00\x00\x7f\xff"), HTTP2},
		{"http2, cut", h2Request[:20], Unknown},
		{"websocket", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", WebSocket},
		{"websocket, cut", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51", Unknown},
		{"mqtt, published", "\x30\x06\x00\x01thi!", MQTT},
		{"mqtt, acknowledged", "\x40\x02\x00\x01\x40\x02\x00\x02", MQTT},
		{"mqtt, ping", "\xc0\x00", MQTT},
		{"mqtt, topic with a wildcard", "\x30\x06\x00\x01#hi!", Unknown},
		{"postgresql", pg('Q', "select 1\x00"), PostgreSQL},
		{"postgresql, extended", pg('B', "\x00s\x00\x00\x00\x00\x00\x00\x00\x00") + pg('E', "\x00\x00\x00\x00\x00") + pg('S', ""), PostgreSQL},
		{"mysql", my(0, "\x03select 1"), MySQL},
		{"text", "the quick brown fox jumps over the lazy dog\r\n", Unknown},
		{"body of a form", "a=b&c=d&e=f", Unknown},
		{"image", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x02\x80", Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, v := RecognizeMidway([]byte(c.b), 80)
			if v == Yes && p != c.want || v != Yes && c.want != Unknown {
				t.Errorf("%v, verdict %d", p, v)
			}
		})
	}
}

func TestBeginsRefusesTheMiddleOfMessages(t *testing.T) {
	for _, b := range []string{get, post, "*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$5\r\nvalue\r\n", "set a 0 0 9\r\nabcdefghi\r\n", dnsQuery} {
		p, _ := Recognize([]byte(b), 0)
		word := max(0, strings.IndexAny(b, " \n"))
		for i := word + 1; i < len(b); i++ { // the end of a method looks like one
			if v := Begins(p, []byte(b[i:])); v == Yes {
				t.Errorf("%v begins with %q", p, b[i:])
			}
		}
	}
}

func TestOnlyWhatNeedsNoBeginningIsJoinable(t *testing.T) {
	for p := range numProtocols {
		want := p == HTTP1 || p == RESP || p == DNS || p == Memcached
		if p.Joinable() != want {
			t.Errorf("%v: joinable %v", p, p.Joinable())
		}
	}
}

func TestRESPBegins(t *testing.T) {
	for _, c := range []struct {
		b    string
		want Verdict
	}{
		{"*2\r\n$3\r\nGET\r\n", Yes},
		{"*2\r\n$10\r\nJSON.ARRAP\r\n", Yes},
		{"*2\r\n$3\r\nGET", Maybe},
		{"*2\r\n$3\r\nGE", Maybe},
		{"*2\r", Maybe},
		{"PING", Maybe},
		{"ping\r\n", Yes},
		{"set a b\r\n", Yes},
		{"*0\r\n", No},
		{"*-1\r\n", No},
		{"*2\r\n:3\r\n", No},
		{"*2\r\n$0\r\n\r\n", No},
		{"*2\r\n$3\r\n\x00", No},
		{"*2\r\n$3\r\nGETS\r\n", No},
		{"*999999999\r\n", No},
		{"$3\r\nabc\r\n", No},
		{"value\r\n", No},
		{"ping\x00", No},
	} {
		judge(t, "begins", c.b, c.want, func(b []byte) Verdict { return Begins(RESP, b) })
	}
}

func TestMemcachedBegins(t *testing.T) {
	for _, c := range []struct {
		b    string
		want Verdict
	}{
		{"get a\r\n", Yes},
		{"gets a b\r\n", Yes},
		{"version\r\n", Yes},
		{"set a 0 0 5 noreply\r\nabc", Yes},
		{"flush_al", Maybe},
		{"set a 0 0 5", Maybe},
		{"set the table for 2\r\n", No},
		{"set a 0 0 x\r\n", No},
		{"set\r\n", No},
		{"getting on\r\n", No},
		{"GET a\r\n", No},
		{"get \x00\r\n", No},
		{"\x80\x00\x00\x03\x00\x01", No},
		{"\x81\x00", No},
	} {
		judge(t, "begins", c.b, c.want, func(b []byte) Verdict { return Begins(Memcached, b) })
	}
}
