package message

// untilClose is the length of a body that ends with the connection.
const untilClose = 1 << 62

func http1Response(f *Framer, b []byte) (int, bool) {
	n := 0
	for f.state == httpStart || f.state == httpStatus {
		if n == len(b) {
			return n, false
		}
		f.statusByte(b[n])
		if f.Lost() {
			return n, false
		}
		n++
	}
	k, end := f.header(b[n:])
	return n + k, end
}

// statusByte takes a byte of the status line. Framer.rest counts them.
func (f *Framer) statusByte(c byte) {
	if f.state == httpStart {
		if c == '\r' || c == '\n' {
			return
		}
		f.own &= httpConnect
		f.state, f.acc = httpStatus, 0
	}
	const name, size = len("HTTP"), uint64(len("HTTP/1.1 200"))
	f.acc = f.acc<<8 | uint64(c)
	f.rest++
	if f.rest == uint64(name) && f.acc != 'H'<<24|'T'<<16|'T'<<8|'P' {
		f.lose()
	}
	if f.rest < size {
		return
	}
	f.rest = 0
	const http10 = '/'<<56 | '1'<<48 | '.'<<40 | '0'<<32 | ' '<<24
	minor := (f.acc - http10) >> 32
	status := uint16(0)
	for shift := 16; shift >= 0; shift -= 8 {
		digit := byte(f.acc>>shift) - '0'
		if digit > 9 {
			f.lose()
			return
		}
		status = status*10 + uint16(digit)
	}
	if minor > 9 || f.acc>>24&0xff != ' ' || status < 100 {
		f.lose()
		return
	}
	if minor == 0 {
		f.own |= httpOld
	}
	f.status(status)
	f.state = httpIgnored
}

// status takes note of what follows a response of this status (RFC 9112, 6.3).
func (f *Framer) status(status uint16) {
	f.answer(Answered)
	switch {
	case status == 101, f.own&httpConnect != 0 && status/100 == 2:
		f.own |= httpUpgraded
		return
	case status < 200:
		f.answer(AnswerUnknown)
		return
	case status == 204 || status == 304:
		f.flags |= noBody
	}
	f.own &^= httpConnect
}

// endResponseHead decides what follows the head of a response, where its
// fields do not.
func (f *Framer) endResponseHead() (end, decided bool) {
	switch {
	case f.own&httpUpgraded != 0 && f.own&(httpWebSocket|httpConnect) == httpWebSocket:
		f.become(WebSocket, 0)
	case f.own&httpUpgraded != 0:
		f.become(Unknown, 0)
	case f.Answer() != Answered: // another response follows
	case f.flags&noBody != 0:
		f.flags &^= noBody
	case f.own&httpCoded != 0 && f.own&httpChunked == 0, f.own&(httpCoded|httpHasLength) == 0:
		return f.body(untilClose, true), true
	default:
		return false, false
	}
	return true, true
}
