package message

// WebSocket (RFC 6455) behind the upgrade of an HTTP connection. A message
// here is a frame: fragments of a message may stand between control frames.
var webSocket = rules{
	name:   "websocket",
	begins: webSocketBegins,
}

const (
	wsFIN    = 0x80
	wsMasked = 0x80
	wsClose  = 8
	wsPing   = 9
	wsPong   = 10
)

// webSocketRequest keeps the second byte of a frame, with the form of the
// length, in Framer.own.
func webSocketRequest(f *Framer, b []byte) (int, bool) {
	n, ok := f.collect(b, 2)
	if !ok {
		return n, false
	}
	if f.state == 2 {
		first, second := byte(f.acc>>8), byte(f.acc)
		if f.flags&server != 0 {
			second ^= wsMasked // a server's frames are not masked
		}
		if !webSocketHead(first, second) {
			f.lose()
			return n, false
		}
		switch first & (wsFIN | 0xf) {
		case wsFIN | wsPong, 0, 1, 2: // fragments that others follow
			f.answer(Unanswered)
		default:
			f.answer(AnswerUnknown)
		}
		f.own = second
	}
	mask := uint64(4)
	if f.flags&server != 0 {
		mask = 0
	}
	size := uint8(2)
	switch f.own &^ wsMasked {
	case 126:
		size = 4
	case 127:
		size = 10
	default:
		return n, f.body(uint64(f.own&^wsMasked)+mask, true)
	}
	k, ok := f.collect(b[n:], size)
	if n += k; !ok {
		return n, false
	}
	length := f.acc
	if size == 4 {
		length &= 0xffff
	}
	if length >= tooLarge {
		f.lose()
		return n, false
	}
	return n, f.body(length+mask, true)
}

// webSocketHead judges the first two bytes of a client's frame.
func webSocketHead(first, second byte) bool {
	const rsv2, rsv3 = 0x20, 0x10 // RSV1: compressed (RFC 7692)
	opcode := first & 0xf
	switch {
	case second&wsMasked == 0 || first&(rsv2|rsv3) != 0:
		return false
	case opcode >= wsClose:
		return opcode <= wsPong && first&wsFIN != 0 && second&^wsMasked <= 125
	}
	return opcode <= 2
}

func webSocketBegins(b []byte) Verdict {
	switch {
	case len(b) < 2:
		return Maybe
	case webSocketHead(b[0], b[1]):
		return Yes
	}
	return No
}
