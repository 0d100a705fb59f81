package message

import (
	"strings"
	"testing"
)

// h2 is a frame of HTTP/2.
func h2(kind, flag byte, streamID byte, payload string) string {
	return string([]byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flag, 0, 0, 0, streamID}) + payload
}

var h2Request = h2(1, 5, 1, "\x82\x84\x86\x41\x8a\xa0\xe4\x1d\x13\x9d\x09\xb8\xf0\x1e\x07")

func TestHTTP2Frames(t *testing.T) {
	begin := []sent{{http2Preface, Unanswered}, {h2(4, 0, 0, "\x00\x03\x00\x00\x00\x64"), AnswerUnknown}}
	run(t, []stream{
		{"requests", New(HTTP2), append(begin,
			sent{h2(8, 0, 0, "\x00\x00\x7f\xff"), Unanswered},
			sent{h2Request, AnswerUnknown},
			sent{h2(4, 1, 0, ""), Unanswered},
			sent{h2(1, 4, 3, "\x83\x84"), Unanswered},
			sent{h2(0, 1, 3, strings.Repeat("b", 700)), AnswerUnknown},
			sent{h2(6, 1, 0, "12345678"), Unanswered},
			sent{h2(0x42, 0, 0, "extension"), Unanswered},
			sent{h2(7, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"), Farewell},
		), h2Request[:12], false, HTTP2},
		{"no preface", New(HTTP2), nil, h2Request, true, HTTP2},
		{"ping of a wrong length", New(HTTP2), begin[:1], h2(6, 0, 0, "1234567"), true, HTTP2},
		{"after an upgrade", New(HTTP1), []sent{
			{"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", Answered},
			{http2Preface, Unanswered}, {h2Request, AnswerUnknown},
		}, "", false, HTTP2},
	})
}

func TestWebSocketFrames(t *testing.T) {
	const upgrade = "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	const hello = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58" // RFC 6455, 5.7
	const ping = "\x89\x80\x01\x02\x03\x04"
	const pong = "\x8a\x80\x01\x02\x03\x04"
	medium := "\x82\xfe\x01\x00mask" + strings.Repeat("m", 256)
	large := "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00mask" + strings.Repeat("l", 65536)[:600]
	behind := func(m ...sent) []sent { return append([]sent{{upgrade, Answered}}, m...) }
	run(t, []stream{
		{"frames", New(HTTP1), behind(sent{hello, AnswerUnknown}, sent{ping, AnswerUnknown}, sent{pong, Unanswered}, sent{medium, AnswerUnknown}), large, false, WebSocket},
		{"fragments", New(HTTP1), behind(sent{"\x01\x83maskHel", Unanswered}, sent{pong, Unanswered}, sent{"\x80\x82masklo", AnswerUnknown}), "\x81", false, WebSocket},
		{"a first frame that begins like a method", New(HTTP1), behind(sent{"\x41\x83mask123", Unanswered}, sent{hello, AnswerUnknown}), "", false, WebSocket},
		{"refused", New(HTTP1), behind(sent{"ACL / HTTP/1.1\r\n\r\n", Answered}, sent{get, Answered}), "", false, HTTP1},
		{"not masked", New(HTTP1), behind(), "\x81\x05Hello", true, WebSocket},
		{"not asked for", New(HTTP1), nil, hello, true, HTTP1},
	})
}

func TestMQTTPackets(t *testing.T) {
	const connect = "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test"
	const old = "\x10\x12\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x04test"
	const five = "\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04test"
	begin := []sent{{connect, Answered}}
	run(t, []stream{
		{"3.1.1", New(MQTT), append(begin,
			sent{"\x30\x06\x00\x01thi!", Unanswered},
			sent{"\x32\x07\x00\x01t\x00\x01hi", Answered},
			sent{"\x34\x07\x00\x01t\x00\x02hi", Answered},
			sent{"\x62\x02\x00\x02", Answered},
			sent{"\x82\x06\x00\x03\x00\x01t\x02", Answered},
			sent{"\x40\x02\x00\x01", Unanswered},
			sent{"\x50\x02\x00\x01", Answered},
			sent{"\x70\x02\x00\x01", Unanswered},
			sent{"\xa2\x05\x00\x03\x00\x01t", Answered},
			sent{"\xc0\x00", Answered},
			sent{"\x30\xac\x02\x00\x01t" + strings.Repeat("p", 297), Unanswered},
			sent{"\xe0\x00", Unanswered},
		), "\x30\xac", false, MQTT},
		{"3.1", New(MQTT), []sent{{old, Answered}, {"\xc0\x00", Answered}}, "", false, MQTT},
		{"5", New(MQTT), []sent{{five, Answered}, {"\xf0\x02\x18\x00", Answered}, {"\xe0\x01\x04", Unanswered}}, "", false, MQTT},
		{"no CONNECT", New(MQTT), nil, "\xc0\x00", true, MQTT},
		{"two of them", New(MQTT), begin, connect, true, MQTT},
		{"a server's packet", New(MQTT), begin, "\x20\x02\x00\x00", true, MQTT},
		{"length of five bytes", New(MQTT), begin, "\x30\xff\xff\xff\xff\x01", true, MQTT},
		{"QoS 3", New(MQTT), begin, "\x36\x02\x00\x00", true, MQTT},
	})
}

func TestMQTTReactions(t *testing.T) {
	f := Resume(MQTT)
	for _, m := range []struct {
		text string
		want Reaction
	}{
		{"\x40\x02\x00\x01", Puback},
		{"\x50\x02\x00\x01", Pubrec},
		{"\x70\x02\x00\x01", Pubcomp},
		{"\x62\x02\x00\x01", NoReaction}, // PUBREL: to the client's own message
		{"\x32\x07\x00\x01t\x00\x01hi", NoReaction},
		{"\xc0\x00", NoReaction},
	} {
		for i := range len(m.text) {
			_, end := f.Next([]byte(m.text[i : i+1]))
			if got := f.Reaction(); got != m.want || end != (i == len(m.text)-1) {
				t.Errorf("%q, byte %d: %d, want %d; it ends: %v", m.text, i, got, m.want, end)
			}
		}
	}
	if f = Resume(HTTP1); f.Reaction() != NoReaction {
		t.Error("HTTP reacts")
	}
}

// pg is a typed message of PostgreSQL.
func pg(kind byte, body string) string {
	n := len(body) + 4
	return string([]byte{kind, 0, 0, byte(n >> 8), byte(n)}) + body
}

const pgStartup = "\x00\x00\x00\x1d\x00\x03\x00\x00user\x00joe\x00database\x00d\x00\x00"

func TestPostgreSQLMessages(t *testing.T) {
	const ssl = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	const gss = "\x00\x00\x00\x08\x04\xd2\x16\x30"
	const cancel = "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02"
	bind := pg('B', "\x00s\x00\x00\x00\x00\x00\x00\x00\x00") + pg('D', "P\x00") + pg('E', "\x00\x00\x00\x00\x00")
	query := sent{pg('Q', "select 1\x00"), Answered}
	run(t, []stream{
		{"simple queries", New(PostgreSQL), []sent{
			{gss, Answered}, {ssl, Answered}, {pgStartup, Answered}, {pg('p', "md5x\x00"), Answered}, query, query, {pg('X', ""), Unanswered},
		}, "", false, PostgreSQL},
		{"extended queries", New(PostgreSQL), []sent{
			{pgStartup, Answered},
			{pg('P', "s\x00select $1\x00\x00\x00") + bind + pg('S', ""), Answered},
			{bind + bind + pg('H', ""), Answered},
			{pg('C', "Ss\x00") + pg('S', ""), Answered}, query,
		}, bind, false, PostgreSQL},
		{"copy", New(PostgreSQL), []sent{
			{pgStartup, Answered}, {pg('Q', "copy t from stdin\x00"), Answered},
			{pg('d', "1\t2\n"), Unanswered}, {pg('d', strings.Repeat("r", 300)), Unanswered}, {pg('c', ""), Answered}, query,
			{pg('f', "no\x00"), Answered},
		}, pg('d', "x")[:5], false, PostgreSQL},
		{"cancel", New(PostgreSQL), []sent{{cancel, Unanswered}}, "", false, PostgreSQL},
		{"TLS", New(PostgreSQL), []sent{{ssl, Answered}}, "\x16\x03\x01\x02\x00\x01", false, Unknown},
		{"GSSAPI", New(PostgreSQL), []sent{{gss, Answered}}, "\x00\x00\x02\x00\x60\x82\x01\x02\x03", false, Unknown},
		{"TLS that was not asked for", New(PostgreSQL), nil, "\x16\x03\x01\x02\x00\x01\x00\x01\x02", true, PostgreSQL},
		{"protocol 2", New(PostgreSQL), nil, "\x00\x00\x00\x10\x00\x02\x00\x00", true, PostgreSQL},
		{"no type", New(PostgreSQL), []sent{{pgStartup, Answered}}, pg('Z', "I"), true, PostgreSQL},
	})
}

// my is a packet of MySQL.
func my(seq byte, body string) string {
	return string([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), seq}) + body
}

// myLogin is a HandshakeResponse41 with the given capabilities.
func myLogin(capabilities string) string {
	return my(1, capabilities+"\x00\x00\x00\x01\xff"+strings.Repeat("\x00", 23)+"root\x00\x14"+strings.Repeat("p", 20))
}

func TestMySQLPackets(t *testing.T) {
	const plain, compressed = "\x05\xa6\xbf\x01", "\x25\xa6\xbf\x01"
	query := sent{my(0, "\x03select 1"), Answered}
	login := sent{myLogin(plain), Answered}
	run(t, []stream{
		{"commands", New(MySQL), []sent{
			login, {my(3, "password"), Answered}, query,
			{my(0, "\x16select ?"), Answered}, {my(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00"), Answered},
			{my(0, "\x18\x01\x00\x00\x00\x00\x00data"), Unanswered}, {my(0, "\x19\x01\x00\x00\x00"), Unanswered},
			{my(0, "\x0e"), Answered}, {my(0, "\x01"), Unanswered},
		}, my(0, "\x03select")[:7], false, MySQL},
		{"local file", New(MySQL), []sent{
			login, {my(0, "\x03load data local infile"), Answered}, {my(2, "1,2\n"), Unanswered}, {my(3, "3,4\n"), Unanswered}, {my(4, ""), Answered}, query,
		}, "", false, MySQL},
		{"change of user", New(MySQL), []sent{login, query, {my(0, "\x11joe\x00"), Answered}, {my(2, "password"), Answered}, query}, "", false, MySQL},
		{"TLS", New(MySQL), []sent{{my(1, "\x05\xae\xbf\x01\x00\x00\x00\x01\xff"+strings.Repeat("\x00", 23)), Unanswered}}, "\x16\x03\x01\x02\x00\x01", false, Unknown},
		{"compressed", New(MySQL), []sent{{myLogin(compressed), Answered}, {my(3, "password"), Answered}}, "\x0d\x00\x00\x00\x00\x00\x00" + query.bytes, false, Unknown},
		{"no login", New(MySQL), nil, query.bytes + query.bytes, true, MySQL},
		{"empty command", New(MySQL), []sent{login}, my(0, "") + query.bytes, true, MySQL},
	})
}

func TestMySQLCommandInSeveralPackets(t *testing.T) {
	f := Resume(MySQL)
	f.Next([]byte("\xff\xff\xff\x00\x03"))
	for _, next := range []string{"\xff\xff\xff\x01", "\x00\x00\x00\x02"} {
		if !f.Skip(uint32(f.Body())) || f.Boundary() {
			t.Fatal("the command ends with its first packets")
		}
		n, end := f.Next([]byte(next))
		if n != 4 || end != (next[0] == 0) {
			t.Fatalf("%q: %d bytes, end %v", next, n, end)
		}
	}
	if !f.Boundary() || f.Answer() != Answered {
		t.Error("no boundary behind the last packet")
	}
}

// dnsQuery asks for example.org.
const dnsQuery = "\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"

func TestDNSMessages(t *testing.T) {
	run(t, []stream{
		{"queries", New(DNS), []sent{{dnsQuery, Answered}, {dnsQuery, Answered}}, dnsQuery[:9], false, DNS},
		{"too short", New(DNS), []sent{{dnsQuery, Answered}}, "\x00\x0b" + dnsQuery, true, DNS},
	})
}
