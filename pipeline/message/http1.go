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

// httpFields are the fields that tell where a message ends. Their first
// letters differ.
var httpFields = [...]struct {
	name  string
	state uint8
}{
	{"content-length", httpLength},
	{"transfer-encoding", httpEncoding},
	{"upgrade", httpUpgrade},
}

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
				const connect = 'C'<<48 | 'O'<<40 | 'N'<<32 | 'N'<<24 | 'E'<<16 | 'C'<<8 | 'T'
				f.own &^= httpConnect
				if f.acc == connect {
					f.own |= httpConnect
				}
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

// header takes bytes of header lines and of what is between chunks.
func (f *Framer) header(b []byte) (n int, end bool) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch f.state {
		case httpLine, httpAfter:
			switch c {
			case '\r':
				f.state = httpBlank
			case '\n':
				return i + 1, f.endHead()
			case ' ', '\t':
				if f.state == httpAfter {
					f.lose() // a folded value: servers differ in how they read it
					return i, false
				}
				f.state = httpIgnored
			default:
				f.fieldName(b[i:])
			}
		case httpBlank:
			if c != '\n' {
				f.lose()
				return i, false
			}
			return i + 1, f.endHead()
		case httpName:
			f.nextOfName(c)
		case httpLength:
			f.length(c)
		case httpEncoding:
			if ended, same := f.element(c, "chunked"); ended {
				f.own |= httpCoded | httpChunked
				if !same {
					f.own &^= httpChunked
				}
			}
		case httpUpgrade:
			if ended, same := f.element(c, "websocket"); ended {
				f.own |= httpUpgraded
				if same {
					f.own |= httpWebSocket
				}
			}
		case httpIgnored:
			k := bytes.IndexByte(b[i:], '\n')
			if k < 0 {
				return len(b), false
			}
			i += k
			f.state = httpLine
		case httpChunk, httpExtension:
			f.chunkSize(c)
		case httpChunkEnd, httpChunkLF:
			switch {
			case c == '\n':
				f.state, f.acc = httpChunk, 0
			case c == '\r' && f.state == httpChunkEnd:
				f.state = httpChunkLF
			default:
				f.lose()
			}
		}
		if f.flags&(inBody|lost) != 0 {
			return i + 1, false
		}
	}
	return len(b), false
}

// fieldName takes the first byte of a header line.
func (f *Framer) fieldName(b []byte) {
	f.state = httpIgnored
	if f.own&httpTrailer != 0 {
		return
	}
	for k := range httpFields {
		name := httpFields[k].name
		if b[0]|0x20 == name[0] && (len(b) <= len(name) || endsName(b[len(name)])) {
			f.state, f.acc = httpName, uint64(k)<<8|1
			return
		}
	}
}

func endsName(c byte) bool { return c == ':' || c == ' ' || c == '\t' }

// nextOfName takes another byte of a name that has begun like one that
// matters. Framer.acc is the field's index and how many bytes are the same.
func (f *Framer) nextOfName(c byte) {
	field := &httpFields[f.acc>>8]
	at := int(f.acc & 0xff)
	switch {
	case at < len(field.name) && lower(c) == field.name[at]:
		f.acc++
	case at == len(field.name) && c == ':':
		f.state, f.acc = field.state, 0
	case at == len(field.name) && endsName(c):
		f.lose() // RFC 9112, 5.1: a server must refuse it
	case c == '\n':
		f.state = httpLine
	default:
		f.state = httpIgnored
	}
}

// A number that is being read.
const (
	digits   = 1 << 62 // there are some
	complete = 1 << 63 // none may follow
	tooLarge = 1 << 56
)

func (f *Framer) number(digit, base uint64) {
	v := f.acc&^digits*base + digit
	if f.acc&complete != 0 || v >= tooLarge {
		f.lose()
		return
	}
	f.acc = v | digits
}

// length takes a byte of Content-Length's value. RFC 9112, 6.3: the same
// number may be repeated.
func (f *Framer) length(c byte) {
	switch {
	case c >= '0' && c <= '9':
		f.number(uint64(c-'0'), 10)
	case c == ' ' || c == '\t' || c == '\r':
		if f.acc != 0 {
			f.acc |= complete
		}
	case c == ',' || c == '\n':
		v := f.acc &^ (digits | complete)
		if f.acc&digits == 0 || f.own&httpHasLength != 0 && v != f.rest {
			f.lose()
			return
		}
		f.rest, f.acc = v, 0
		f.own |= httpHasLength
		if c == '\n' {
			f.state = httpAfter
		}
	default:
		f.lose()
	}
}

// element takes a byte of a list and compares its elements with word. At the
// end of an element it reports whether it was the same.
func (f *Framer) element(c byte, word string) (ended, same bool) {
	const different = 0xff
	n := uint64(len(word))
	switch {
	case c == ',' || c == '\n':
		ended, same = f.acc != 0, f.acc == n || f.acc == n+1
		f.acc = 0
		if c == '\n' {
			f.state = httpAfter
		}
	case c == ' ' || c == '\t' || c == '\r':
		if f.acc == n {
			f.acc++ // nothing but blanks may follow
		} else if f.acc != 0 && f.acc != n+1 {
			f.acc = different
		}
	case f.acc < n && lower(c) == word[f.acc]:
		f.acc++
	default:
		f.acc = different
	}
	return ended, same
}

// endHead decides what follows the empty line.
func (f *Framer) endHead() (end bool) {
	f.answer(Answered)
	length := f.rest
	f.rest = 0
	switch {
	case f.own&httpTrailer != 0:
		return true
	case f.own&httpConnect != 0:
		f.own |= httpUpgraded
		return true
	case f.own&httpCoded != 0:
		if f.own&httpChunked == 0 || f.own&httpOld != 0 {
			f.lose()
		}
		f.state, f.acc = httpChunk, 0
		return false
	}
	return f.body(length, true)
}

// chunkSize takes a byte of the line before a chunk.
func (f *Framer) chunkSize(c byte) {
	switch {
	case c == '\n':
		size := f.acc &^ (digits | complete)
		switch {
		case f.acc&digits == 0:
			f.lose()
		case size == 0:
			f.own |= httpTrailer
			f.state = httpLine
		default:
			f.body(size, false)
			f.state = httpChunkEnd
		}
	case f.state == httpExtension:
	case c == ';':
		f.state = httpExtension
	case c == ' ' || c == '\t' || c == '\r':
		f.acc |= complete
	default:
		if v, ok := hexDigit(c); ok {
			f.number(v, 16)
		} else {
			f.lose()
		}
	}
}

func hexDigit(c byte) (uint64, bool) {
	switch c = lower(c); {
	case c >= '0' && c <= '9':
		return uint64(c - '0'), true
	case c >= 'a' && c <= 'f':
		return uint64(c-'a') + 10, true
	}
	return 0, false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
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
