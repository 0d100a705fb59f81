package message

import "bytes"

// HTTP/1.0 and 1.1 (RFC 9112), read as the usual servers do: a line ends with
// CRLF or LF alone, and empty lines before a message are ignored.
var http1 = rules{
	name:     "http1",
	joinable: true,
	first:    func(b []byte, _ uint16) Verdict { return http1Begins(b) },
	begins:   http1Begins,
}

// States within a message.
const (
	httpStart  = iota // empty lines
	httpMethod        // up to the first space
	httpTarget        // up to the version, which ends the line
	httpLine          // the first byte of a header line
	httpAfter         // the same behind a field that matters
	httpBlank         // LF of the empty line
	httpName
	httpLength // the value of Content-Length
	httpEncoding
	httpUpgrade
	httpIgnored // the rest of a header line
	httpChunk   // the size of a chunk
	httpExtension
	httpChunkEnd
	httpChunkLF
	httpStatus // the first line of a response, up to the status
)

// What is known of a message (Framer.own).
const (
	httpConnect   = 1 << iota
	httpOld       // HTTP/1.0
	httpHasLength // Framer.rest is the value of Content-Length
	httpCoded     // there is a Transfer-Encoding
	httpChunked   // which ends with chunked
	httpTrailer
	httpUpgraded  // the message before asked for another protocol
	httpWebSocket // namely WebSocket
)

func http1Request(f *Framer, b []byte) (int, bool) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch f.state {
		case httpStart:
			switch {
			case c == '\r' || c == '\n':
			case isToken[c]:
				f.state, f.acc = httpMethod, uint64(c)
			default:
				return i, f.notHTTP()
			}
		case httpMethod:
			switch {
			case c == ' ':
				f.method()
				f.state, f.acc = httpTarget, 0
			case isToken[c]:
				f.acc = f.acc<<8 | uint64(c)
			default:
				return i, f.notHTTP()
			}
		case httpTarget:
			n, ended := f.lastBytes(b[i:])
			i += n - 1
			if ended && !f.version() {
				return i + 1, false
			}
		default:
			n, end := f.header(b[i:])
			i += n - 1
			if end || f.flags&(inBody|lost) != 0 {
				return i + 1, end
			}
		}
	}
	return len(b), false
}

// method takes note of methods that change how the answer ends.
func (f *Framer) method() {
	const (
		head    = 'H'<<24 | 'E'<<16 | 'A'<<8 | 'D'
		connect = 'C'<<48 | 'O'<<40 | 'N'<<32 | 'N'<<24 | 'E'<<16 | 'C'<<8 | 'T'
	)
	f.own &^= httpConnect
	f.flags &^= noBody
	switch f.acc {
	case head:
		f.flags |= noBody
	case connect:
		f.own |= httpConnect
	}
}

// lastBytes keeps the last eight bytes of a line, without its end.
func (f *Framer) lastBytes(b []byte) (n int, ended bool) {
	n = bytes.IndexByte(b, '\n')
	line := b
	if ended = n >= 0; ended {
		line = b[:n]
		n++
	} else {
		n = len(b)
	}
	v, bits := uint64(0), 0
	for i := len(line) - 1; i >= 0 && bits < 64; i-- {
		if line[i] != '\r' {
			v |= uint64(line[i]) << bits
			bits += 8
		}
	}
	f.acc = f.acc<<bits | v
	return n, ended
}

// version takes the version at the end of a request line.
func (f *Framer) version() (ok bool) {
	const (
		http10 = 'H'<<56 | 'T'<<48 | 'T'<<40 | 'P'<<32 | '/'<<24 | '1'<<16 | '.'<<8 | '0'
		http20 = http10 + 1<<16
	)
	minor := f.acc - http10
	switch {
	case f.acc == http20 && f.own&httpUpgraded != 0:
		f.become(HTTP2, http2Frames)
		f.answer(Unanswered)
		return f.body(uint64(len(http2Preface)-http2Upgraded), true)
	case minor > 9:
		return f.notHTTP()
	}
	f.own &= httpConnect
	f.answer(Answered)
	if minor == 0 {
		f.own |= httpOld
	}
	f.state = httpLine
	return true
}

// notHTTP takes note of bytes that are no HTTP: behind an upgrade they are of
// another protocol. The first byte of a frame of WebSocket may be a letter,
// which was taken for a method's.
func (f *Framer) notHTTP() (ok bool) {
	first, state := f.acc, f.state
	switch {
	case f.own&httpUpgraded == 0:
		f.lose()
	case f.own&httpWebSocket != 0 && (state == httpStart || state == httpMethod && first <= 0xff):
		f.become(WebSocket, 0)
		f.acc, f.state = first, state
	default:
		f.become(Unknown, 0)
	}
	return false
}

// isToken are the characters of a token (RFC 9110, 5.6.2).
var isToken = func() (t [256]bool) {
	for c := '0'; c <= 'z'; c++ {
		t[c] = c <= '9' || c >= 'a' || c >= 'A' && c <= 'Z'
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// maxLine bounds what is looked at to find out whether a message begins.
const maxLine = 8 << 10

// http1Begins expects a whole request line. Methods are taken to be of capital
// letters, as all registered ones are.
func http1Begins(b []byte) Verdict {
	i := 0
	for ; i < len(b) && i < 32 && (b[i] >= 'A' && b[i] <= 'Z' || i > 0 && (b[i] == '-' || b[i] == '_')); i++ {
	}
	switch {
	case i == 32:
		return No
	case i == len(b):
		return Maybe
	case i == 0 || b[i] != ' ':
		return No
	}
	target := b[i+1:]
	n := 0
	for ; n < len(target) && target[n] > ' ' && target[n] != 0x7f; n++ {
	}
	if n > maxLine {
		return No
	}
	if n == len(target) {
		return Maybe
	}
	if n == 0 || target[n] != ' ' {
		return No
	}
	const version = "HTTP/1."
	rest := target[n+1:]
	for k := range min(len(rest), len(version)) {
		if rest[k] != version[k] {
			return No
		}
	}
	k := len(version)
	switch {
	case len(rest) > k && (rest[k] < '0' || rest[k] > '9'),
		len(rest) > k+1 && rest[k+1] != '\r' && rest[k+1] != '\n',
		len(rest) > k+2 && rest[k+1] == '\r' && rest[k+2] != '\n':
		return No
	case len(rest) > k+1 && rest[k+1] == '\n', len(rest) > k+2:
		return Yes
	}
	return Maybe
}
