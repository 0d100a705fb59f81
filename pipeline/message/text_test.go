package message

import (
	"strings"
	"testing"
)

func TestRESPRequests(t *testing.T) {
	const set = "*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$5\r\nvalue\r\n"
	const ping = "PING\r\n"
	large := "*2\r\n$3\r\nGET\r\n$500\r\n" + strings.Repeat("\r\n*", 166) + "ab\r\n"
	run(t, []stream{
		{"arrays", New(RESP), []sent{{set, Answered}, {set, Answered}, {large, Answered}, {"*1\r\n$4\r\nping\r\n", Answered}}, set[:20], false, RESP},
		{"lines", New(RESP), []sent{{ping, Answered}, {"\r\n\r\nset a b\n", Answered}, {set, Answered}}, "get a", false, RESP},
		{"nothing asked", New(RESP), []sent{{"*0\r\n", Unanswered}, {"*-1\r\n", Unanswered}, {set, Answered}}, "", false, RESP},
		{"empty and null strings", New(RESP), []sent{{"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$-1\r\n", Answered}, {set, Answered}}, "", false, RESP},
		{"nested", New(RESP), []sent{{"*3\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n+b\r\n%1\r\n$1\r\nk\r\n#t\r\n", Answered}, {set, Answered}}, "", false, RESP},
		{"subscription", New(RESP), []sent{{set, Answered}, {"*2\r\n$9\r\nsubscribe\r\n$1\r\na\r\n", AnswerUnknown}, {ping, AnswerUnknown}}, "", false, RESP},
		{"monitor", New(RESP), []sent{{"MONITOR\r\n", AnswerUnknown}, {ping, AnswerUnknown}}, "", false, RESP},
		{"no type", New(RESP), []sent{{set, Answered}}, "*1\r\nx\r\n" + set, true, RESP},
		{"no number", New(RESP), []sent{{set, Answered}}, "*1\r\n$x\r\n" + set, true, RESP},
		{"number without digits", New(RESP), []sent{{set, Answered}}, "*\r\n" + set, true, RESP},
		{"binary", New(RESP), []sent{{set, Answered}}, "\x16\x03\x01" + set, true, RESP},
		{"too many values", New(RESP), nil, "*2147483647\r\n*2147483647\r\n" + set, true, RESP},
	})
}

func TestMemcachedRequests(t *testing.T) {
	const read = "get a b c\r\n"
	binary := func(opcode byte, key, value string) string {
		n := len(key) + len(value)
		return string([]byte{0x80, opcode, 0, byte(len(key)), 0, 0, 0, 0, 0, 0, byte(n >> 8), byte(n), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) + key + value
	}
	run(t, []stream{
		{"text", New(Memcached), []sent{
			{read, Answered},
			{"set a 0 0 5\r\nabc\r\n\r\n", Answered},
			{"add a 0 0 0\r\n\r\n", Answered},
			{"set a 0 0 3 noreply\r\nabc\r\n", Unanswered},
			{"cas a 0 0 3 12345678901234567890 noreply\r\nabc\r\n", Unanswered},
			{"prepend  a  0  0  1 \r\na\r\n", Answered},
			{"incr a 5 noreply\r\n", Unanswered},
			{"get noreply\r\n", Answered},
			{"delete noreply 0\r\n", Answered},
			{"flush_all\n", Answered},
			{"ms a 2 T0\r\nab\r\n", Answered},
			{"ms a 2 q\r\nab\r\n", AnswerUnknown},
			{"mg a v q\r\n", AnswerUnknown},
			{"mn\r\n", Answered},
			{"set a\r\n", Answered},
			{"\r\n", Answered},
			{"quit\r\n", Unanswered},
		}, "set a 0 0 5\r\nabc", false, Memcached},
		{"binary", New(Memcached), []sent{
			{binary(0, "key", ""), Answered}, {binary(9, "key", ""), AnswerUnknown}, {binary(0x11, "key", strings.Repeat("v", 400)), AnswerUnknown},
			{binary(0x17, "", ""), Unanswered}, {read, Answered},
		}, binary(1, "key", "value")[:30], false, Memcached},
		{"length that is no number", New(Memcached), []sent{{read, Answered}}, "set a 0 0 x\r\n" + read, true, Memcached},
		{"huge length", New(Memcached), []sent{{read, Answered}}, "set a 0 0 99999999999999999999999\r\n" + read, true, Memcached},
		{"other bytes", New(Memcached), []sent{{read, Answered}}, "\x81\x00" + read, true, Memcached},
	})
}
