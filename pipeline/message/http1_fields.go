package message

import "bytes"

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
				i += f.fieldName(b[i:]) - 1
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
				if f.flags&server == 0 {
					f.own |= httpUpgraded // a response says so by its status
				}
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

// fieldName takes the beginning of a header line: the whole name, if it is
// there and matters, or else one byte.
func (f *Framer) fieldName(b []byte) (n int) {
	f.state = httpIgnored
	if f.own&httpTrailer != 0 {
		return 1
	}
	for k := range httpFields {
		field := &httpFields[k]
		if b[0]|0x20 != field.name[0] {
			continue
		}
		size := len(field.name)
		if len(b) <= size {
			f.state, f.acc = httpName, uint64(k)<<8|1
			return 1
		}
		if !endsName(b[size]) {
			return 1
		}
		for i := 1; i < size; i++ {
			if lower(b[i]) != field.name[i] {
				return 1
			}
		}
		if b[size] != ':' {
			f.lose()
			return 1
		}
		f.state, f.acc = field.state, 0
		return size + 1
	}
	return 1
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
	length := f.rest
	f.rest = 0
	switch {
	case f.own&httpTrailer != 0:
		return true
	case f.flags&server != 0:
		if end, decided := f.endResponseHead(); decided {
			return end
		}
	case f.own&httpConnect != 0:
		f.own |= httpUpgraded
		return true
	}
	if f.own&httpCoded != 0 {
		if f.own&httpChunked == 0 || f.own&httpOld != 0 {
			f.lose()
			return false
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
