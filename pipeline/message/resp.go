package message

import "bytes"

// RESP 2 and 3 (Redis): a request is an array of bulk strings, or a line of
// words. Both sides' values have the same form.
var resp = rules{
	name:     "resp",
	joinable: true,
	first:    respFirst,
	begins:   respBegins,
}

// States within a message.
const (
	respStart  = iota // empty lines
	respInline        // a line of words
	respType
	respNumber // the number behind a type
	respLine   // a value that ends with its line
	respName   // the name of the command
)

// What is known (Framer.own).
const (
	respDuplex  = 1 << iota // the client has subscribed
	respNamed               // the name of the command was seen, or there is none
	respString              // the number is the length of a string, not of an aggregate
	respPairs               // of an aggregate of pairs
	respAnother             // which another value follows
	respDigits
	respNull // the number is negative
)

// While a message is read, the lower half of Framer.acc is how many values are
// due, the upper half a hash of the command's name, and Framer.rest the number
// that is read.
const respDue = 1<<32 - 1

// respMost bounds the values of a message and the bytes of a string.
const respMost = 1 << 31

func respHash(h uint32, c byte) uint32 { return h*31 + uint32(lower(c)) }

// respPushing are the hashes of the commands behind which the server speaks
// when it wants.
var respPushing = func() (hashes [6]uint32) {
	for i, name := range [...]string{"subscribe", "psubscribe", "ssubscribe", "monitor", "sync", "psync"} {
		for _, c := range []byte(name) {
			hashes[i] = respHash(hashes[i], c)
		}
	}
	return hashes
}()

func respRequest(f *Framer, b []byte) (int, bool) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch f.state {
		case respStart:
			f.own &= respDuplex
			f.answer(Unanswered)
			switch {
			case c == '\r' || c == '\n':
			case c == '*':
				f.acc = 1
				f.respType(c)
			case c >= ' ' && c < 0x7f:
				f.state = respInline
				f.respNameByte(c)
			default:
				f.lose()
				return i, false
			}
		case respInline:
			if f.own&respNamed == 0 {
				if c > ' ' {
					f.respNameByte(c)
					continue
				}
				f.respNameEnds()
			}
			n := bytes.IndexByte(b[i:], '\n')
			if n < 0 {
				return len(b), false
			}
			return i + n + 1, true
		default:
			n, end := f.respValue(b[i:])
			i += n - 1
			if end || f.flags&(inBody|lost) != 0 {
				return i + 1, end
			}
		}
	}
	return len(b), false
}

// respResponse takes bytes of a server's value. Pushes are no answers.
func respResponse(f *Framer, b []byte) (n int, end bool) {
	if f.state == respStart {
		f.answer(Answered)
		if b[0] == '>' {
			f.answer(AnswerUnknown)
		}
		f.own, f.acc = respNamed, 1
		f.respType(b[0])
		if n = 1; f.Lost() {
			return 0, false
		}
	}
	k, end := f.respValue(b[n:])
	return n + k, end
}

// respValue takes bytes of a value.
func (f *Framer) respValue(b []byte) (n int, end bool) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch f.state {
		case respType:
			f.respType(c)
		case respNumber:
			switch {
			case c >= '0' && c <= '9' && f.rest < respMost/10:
				f.rest = f.rest*10 + uint64(c-'0')
				f.own |= respDigits
			case c == '-':
				f.own |= respNull
			case c == '\n':
				if end := f.respNumberEnds(); end || f.flags&inBody != 0 {
					return i + 1, end
				}
			case c != '\r':
				f.lose()
			}
		case respLine:
			n := bytes.IndexByte(b[i:], '\n')
			if n < 0 {
				return len(b), false
			}
			i += n
			f.acc--
			if f.state = respType; f.acc&respDue == 0 {
				return i + 1, true
			}
		case respName:
			f.respNameByte(c)
			if f.rest--; f.rest == 0 {
				f.respNameEnds()
				f.state = respType
				f.body(2, f.acc&respDue == 0)
			}
		}
		if f.flags&(inBody|lost) != 0 {
			return i + 1, false
		}
	}
	return len(b), false
}

// respType takes the first byte of a value.
func (f *Framer) respType(c byte) {
	f.state, f.rest = respNumber, 0
	f.own &^= respString | respPairs | respAnother | respDigits | respNull
	switch c {
	case '$', '=', '!':
		f.own |= respString
	case '*', '~', '>':
	case '%':
		f.own |= respPairs
	case '|':
		f.own |= respPairs | respAnother
	case '+', '-', ':', ',', '#', '(', '_':
		f.state = respLine
	default:
		f.lose()
	}
}

// respNumberEnds goes on behind the line with a number.
func (f *Framer) respNumberEnds() (end bool) {
	const longest = 16 // command
	n := f.rest
	f.state, f.rest = respType, 0
	if f.own&respDigits == 0 {
		f.lose()
		return false
	}
	if f.own&respNull != 0 {
		n = 0
	}
	if f.own&respAnother == 0 {
		f.acc--
	}
	last := f.acc&respDue == 0
	switch {
	case f.own&(respString|respNull) == respString:
		if f.own&respNamed == 0 && n > 0 && n <= longest {
			f.state, f.rest = respName, n
			return false
		}
		f.respNameEnds()
		return f.body(n+2, last)
	case f.own&respString == 0:
		if f.own&respPairs != 0 {
			n *= 2
		}
		if n += f.acc & respDue; n > respMost {
			f.lose()
			return false
		}
		f.acc = f.acc&^respDue | n
	}
	return f.acc&respDue == 0
}

func (f *Framer) respNameByte(c byte) {
	f.acc = uint64(respHash(uint32(f.acc>>32), c))<<32 | f.acc&respDue
}

// respNameEnds decides whether the command is answered.
func (f *Framer) respNameEnds() {
	if f.own&respNamed != 0 {
		return
	}
	f.own |= respNamed
	f.answer(Answered)
	for _, h := range respPushing {
		if h == uint32(f.acc>>32) {
			f.own |= respDuplex
		}
	}
	if f.own&respDuplex != 0 {
		f.answer(AnswerUnknown)
	}
}

// respInlined are the commands that are sent as a line of words, by people and
// by checks of health. With a blank at the end they have arguments.
var respInlined = [...]string{
	"ping", "info", "info ", "quit", "monitor", "auth ", "select ", "echo ", "get ", "set ", "incr ", "exists ",
}

// respFirst leaves commands that memcached has, too, to the port.
func respFirst(b []byte, port uint16) Verdict {
	const redis = 6379
	v := respBegins(b)
	if v == No || len(b) > 0 && b[0] == '*' || port == redis {
		return v
	}
	if memcachedText(b) != No {
		return No
	}
	return v
}

// respBegins expects an array that begins with the name of a command.
func respBegins(b []byte) Verdict {
	if len(b) == 0 {
		return Maybe
	}
	if b[0] != '*' {
		return respInlineBegins(b)
	}
	values, b, v := respHead(b[1:], 1<<20)
	if v != Yes {
		return v
	}
	switch {
	case values == 0:
		return No
	case len(b) == 0:
		return Maybe
	case b[0] != '$':
		return No
	}
	length, b, v := respHead(b[1:], 32)
	if v != Yes {
		return v
	}
	for i := range min(length, len(b)) {
		if c := lower(b[i]); (c < 'a' || c > 'z') && (i == 0 || c != '.' && c != '-' && c != '_' && (c < '0' || c > '9')) {
			return No
		}
	}
	switch {
	case length == 0, len(b) > length && b[length] != '\r', len(b) > length+1 && b[length+1] != '\n':
		return No
	case len(b) < length+2:
		return Maybe
	}
	return Yes
}

// respHead reads a number and the end of its line, and returns what follows.
func respHead(b []byte, most int) (n int, rest []byte, v Verdict) {
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9' && i < 8:
			n = n*10 + int(c-'0')
		case c != '\r' || i == 0 || n > most:
			return 0, nil, No
		case i+1 == len(b):
			return 0, nil, Maybe
		case b[i+1] != '\n':
			return 0, nil, No
		default:
			return n, b[i+2:], Yes
		}
	}
	return 0, nil, Maybe
}

func respInlineBegins(b []byte) Verdict {
	maybe := false
	for _, name := range respInlined {
		k := 0
		for k < len(b) && k < len(name) && lower(b[k]) == name[k] {
			k++
		}
		switch {
		case k == len(b):
			maybe = true
		case k == len(name) && (name[k-1] == ' ' || b[k] == '\r' || b[k] == '\n'):
			return textLine(b)
		}
	}
	if maybe {
		return Maybe
	}
	return No
}

// textLine expects printable characters up to the end of a line.
func textLine(b []byte) Verdict {
	for i, c := range b {
		switch {
		case c == '\n':
			return Yes
		case i == maxLine, c < ' ' && c != '\r', c == 0x7f, c != '\r' && i > 0 && b[i-1] == '\r':
			return No
		}
	}
	return Maybe
}
