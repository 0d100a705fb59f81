package message

// HTTP/2 (RFC 9113). A message here is a frame, the client's preface being the
// first: requests are interleaved, and answers come in any order.
var http2 = rules{
	name:   "http2",
	first:  func(b []byte, _ uint16) Verdict { return http2First(b) },
	begins: http2Begins,
	midway: http2Frames,
}

const (
	http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// http2Upgraded is how much of the preface HTTP/1 takes for a request line.
	http2Upgraded = len("PRI * HTTP/2.0\r\n")
	http2Frames   = 1 // Framer.own: the preface is over
)

// Frame types and flags (RFC 9113, 6).
const (
	http2Data = iota
	http2Headers
	http2Priority
	http2RST
	http2Settings
	http2Push
	http2Ping
	http2GoAway
	http2Window
	http2Continuation

	http2ACK       = 1
	http2EndStream = 1
)

func http2Request(f *Framer, b []byte) (int, bool) {
	if f.own&http2Frames == 0 {
		for i, c := range b {
			if c != http2Preface[f.state] {
				f.lose()
				return i, false
			}
			if f.state++; int(f.state) == len(http2Preface) {
				f.own = http2Frames
				f.answer(Unanswered)
				return i + 1, true
			}
		}
		return len(b), false
	}
	n, ok := f.collect(b, 5)
	if !ok {
		return n, false
	}
	length, kind, flag := f.acc>>16, byte(f.acc>>8), byte(f.acc)
	if !http2Length(length, kind, flag) {
		f.lose()
		return n, false
	}
	f.answer(Unanswered)
	switch kind {
	case http2Data, http2Headers:
		if flag&http2EndStream != 0 {
			f.answer(AnswerUnknown)
		}
	case http2Settings, http2Ping:
		if flag&http2ACK == 0 {
			f.answer(AnswerUnknown)
		}
	case http2GoAway:
		f.answer(Farewell)
	}
	const stream = 4 // bytes of the stream's identifier
	return n, f.body(stream+length, true)
}

// http2Length judges the length of a frame.
func http2Length(length uint64, kind, flag byte) bool {
	switch kind {
	case http2Priority:
		return length == 5
	case http2RST, http2Window:
		return length == 4
	case http2Settings:
		return length%6 == 0 && (flag&http2ACK == 0 || length == 0)
	case http2Ping:
		return length == 8
	case http2GoAway:
		return length >= 8
	}
	return true
}

func http2First(b []byte) Verdict {
	n := min(len(b), len(http2Preface))
	switch {
	case string(b[:n]) != http2Preface[:n]:
		return No
	case n < len(http2Preface):
		return Maybe
	}
	return Yes
}

// http2Begins expects a frame with the flags and on the streams that a client
// uses.
func http2Begins(b []byte) Verdict {
	if len(b) < 9 {
		return Maybe
	}
	allowed := [...]byte{
		http2Data: 0x09, http2Headers: 0x2d, http2Settings: 0x01, http2Ping: 0x01, http2Continuation: 0x04,
	}
	length, kind, flag := uint64(b[0])<<16|uint64(b[1])<<8|uint64(b[2]), b[3], b[4]
	stream := uint32(b[5])<<24 | uint32(b[6])<<16 | uint32(b[7])<<8 | uint32(b[8])
	if kind > http2Continuation || kind == http2Push || flag&^allowed[kind] != 0 || !http2Length(length, kind, flag) {
		return No
	}
	var ok bool
	switch kind {
	case http2Settings, http2Ping, http2GoAway:
		ok = stream == 0
	case http2Window:
		ok = stream == 0 || stream&1 == 1
	default:
		ok = stream&1 == 1
	}
	if !ok || stream >= 1<<31 {
		return No
	}
	return Yes
}
