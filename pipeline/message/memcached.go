package message

import (
	"bytes"
	"encoding/binary"
)

// memcached: lines, some of which have a block of data behind them, or the
// binary protocol, whichever a message begins with.
var memcached = rules{
	name:     "memcached",
	joinable: true,
	first:    memcachedFirst,
	begins:   memcachedBegins,
}

const memcachedMagic = 0x80 // of a binary request

// States within a line. Within a binary head the state counts bytes.
const (
	memcachedVerb = 64 + iota
	memcachedBlank
	memcachedWord
)

// Framer.own has the number of the word in its lower bits.
const (
	memcachedIndex = 7 // behind which words are not counted
	memcachedKind  = 4 // the shift of the verb's kind
)

// Kinds of verbs.
const (
	memcachedPlain     = iota // may end with noreply
	memcachedRead             // names keys
	memcachedStore            // the fourth word is the length of the data
	memcachedMeta             // has flags, of which q means quiet
	memcachedMetaStore        // the same, and the second word is the length
)

// memcachedVerbs are what lines begin with.
var memcachedVerbs = [...]struct {
	name   string
	kind   uint8
	answer Answer
}{
	{"get", memcachedRead, Answered},
	{"gets", memcachedRead, Answered},
	{"gat", memcachedRead, Answered},
	{"gats", memcachedRead, Answered},
	{"set", memcachedStore, Answered},
	{"add", memcachedStore, Answered},
	{"replace", memcachedStore, Answered},
	{"append", memcachedStore, Answered},
	{"prepend", memcachedStore, Answered},
	{"cas", memcachedStore, Answered},
	{"mg", memcachedMeta, Answered},
	{"ms", memcachedMetaStore, Answered},
	{"md", memcachedMeta, Answered},
	{"ma", memcachedMeta, Answered},
	{"me", memcachedMeta, Answered},
	{"mn", memcachedMeta, Answered},
	{"incr", memcachedPlain, Answered},
	{"decr", memcachedPlain, Answered},
	{"delete", memcachedPlain, Answered},
	{"touch", memcachedPlain, Answered},
	{"stats", memcachedPlain, Answered},
	{"version", memcachedPlain, Answered},
	{"flush_all", memcachedPlain, Answered},
	{"verbosity", memcachedPlain, Answered},
	{"quit", memcachedPlain, Unanswered},
	{"watch", memcachedPlain, AnswerUnknown},
}

// memcachedCodes are the last eight bytes of each verb, as a number.
var memcachedCodes = func() (codes [len(memcachedVerbs)]uint64) {
	for i := range memcachedVerbs {
		for _, c := range []byte(memcachedVerbs[i].name) {
			codes[i] = codes[i]<<8 | uint64(c)
		}
	}
	return codes
}()

func memcachedRequest(f *Framer, b []byte) (int, bool) {
	if f.state == 0 {
		f.own = 0
		f.answer(Answered)
		switch c := b[0]; {
		case c == memcachedMagic:
		case c >= ' ' && c < 0x7f || c == '\r' || c == '\n':
			f.state = memcachedVerb
		default:
			f.lose()
			return 0, false
		}
	}
	if f.state < memcachedVerb {
		return memcachedHead(f, b)
	}
	for i, c := range b {
		switch c {
		case ' ', '\r':
			f.memcachedWordEnds()
		case '\n':
			f.memcachedWordEnds()
			length := f.rest
			f.rest = 0
			return i + 1, !f.Lost() && f.body(length, true)
		default:
			f.memcachedByte(c)
		}
		if f.Lost() {
			return i + 1, false
		}
	}
	return len(b), false
}

// memcachedByte takes a byte of a word.
func (f *Framer) memcachedByte(c byte) {
	if f.state == memcachedBlank {
		f.state, f.acc = memcachedWord, 0
		if f.own&memcachedIndex != memcachedIndex {
			f.own++
		}
		if f.Answer() == Unanswered && f.own>>memcachedKind <= memcachedStore {
			f.answer(Answered) // noreply counts only at the end
		}
	}
	switch {
	case f.state == memcachedVerb:
		f.acc = f.acc<<8 | uint64(c)
	case f.memcachedLength():
		if c < '0' || c > '9' {
			f.lose()
			return
		}
		f.number(uint64(c-'0'), 10)
	default:
		f.acc = f.acc<<8 | uint64(c)
	}
}

// memcachedLength reports whether the word at hand is the length of the data.
func (f *Framer) memcachedLength() bool {
	switch index := f.own & memcachedIndex; f.own >> memcachedKind {
	case memcachedStore:
		return index == 4
	case memcachedMetaStore:
		return index == 2
	}
	return false
}

func (f *Framer) memcachedWordEnds() {
	const noreply = 'n'<<48 | 'o'<<40 | 'r'<<32 | 'e'<<24 | 'p'<<16 | 'l'<<8 | 'y'
	kind := f.own >> memcachedKind
	switch {
	case f.state == memcachedBlank:
		return
	case f.state == memcachedVerb:
		for i, code := range memcachedCodes {
			if code == f.acc {
				f.own = memcachedVerbs[i].kind << memcachedKind
				f.answer(memcachedVerbs[i].answer)
				break
			}
		}
	case f.memcachedLength():
		const end = 2 // of the line behind the data
		f.rest = f.acc&^digits + end
	case kind == memcachedPlain || kind == memcachedStore:
		if f.acc == noreply {
			f.answer(Unanswered)
		}
	case kind == memcachedMeta || kind == memcachedMetaStore:
		if f.acc == 'q' && f.own&memcachedIndex > 1 {
			f.answer(AnswerUnknown) // only what is unusual is answered
		}
	}
	f.state = memcachedBlank
}

// memcachedHead takes the head of a binary message, of 24 bytes.
func memcachedHead(f *Framer, b []byte) (int, bool) {
	const size = 24
	n, ok := f.collect(b, 2)
	if ok && f.state == 2 {
		f.answer(memcachedAnswer(byte(f.acc)))
	}
	if !ok {
		return n, false
	}
	k, ok := f.collect(b[n:], 12)
	if n += k; !ok {
		return n, false
	}
	return n, f.body(f.acc&0xffffffff+size-12, true)
}

// memcachedAnswer judges an opcode.
func memcachedAnswer(opcode byte) Answer {
	const getQ, getKQ, setQ, quitQ, prependQ, gatQ, gatKQ = 0x09, 0x0d, 0x11, 0x17, 0x1a, 0x1e, 0x24
	switch {
	case opcode == quitQ:
		return Unanswered
	case opcode == getQ, opcode == getKQ, opcode >= setQ && opcode <= prependQ, opcode == gatQ, opcode == gatKQ:
		return AnswerUnknown // only what is unusual is answered
	}
	return Answered
}

// memcachedFirst leaves commands that Redis has, too, to the port.
func memcachedFirst(b []byte, port uint16) Verdict {
	const redis = 6379
	if port == redis {
		return No
	}
	return memcachedBegins(b)
}

func memcachedBegins(b []byte) Verdict {
	switch {
	case len(b) == 0:
		return Maybe
	case b[0] != memcachedMagic:
		return memcachedText(b)
	case len(b) < 24:
		return memcachedPart(b)
	}
	key, extras, body := binary.BigEndian.Uint16(b[2:]), b[4], binary.BigEndian.Uint32(b[8:])
	if key > 250 || extras > 32 || uint32(key)+uint32(extras) > body {
		return No
	}
	return memcachedPart(b)
}

// memcachedPart judges the opcode and the data type, which is always 0.
func memcachedPart(b []byte) Verdict {
	const lastOpcode = 0x48
	switch {
	case len(b) > 1 && b[1] > lastOpcode, len(b) > 5 && b[5] != 0:
		return No
	case len(b) < 24:
		return Maybe
	}
	return Yes
}

// memcachedText expects a line with a verb and, where data follow, numbers.
func memcachedText(b []byte) Verdict {
	verb := b
	if i := bytes.IndexAny(b, " \r\n"); i >= 0 {
		verb = b[:i]
	}
	v := No
	for i := range memcachedVerbs {
		name := memcachedVerbs[i].name
		switch {
		case name == string(verb) && len(verb) < len(b):
			v = textLine(b)
		case len(verb) == len(b) && len(b) <= len(name) && name[:len(b)] == string(b):
			v = Maybe
		}
		if v == Yes {
			f := Framer{protocol: Memcached}
			line := b[:bytes.IndexByte(b, '\n')+1]
			memcachedRequest(&f, line)
			kind := memcachedVerbs[i].kind
			stores := kind == memcachedStore || kind == memcachedMetaStore
			if f.Lost() || stores && f.Body() == 0 || kind == memcachedStore && !memcachedNumbers(line) {
				return No
			}
			return Yes
		}
	}
	return v
}

// memcachedNumbers expects the flags and the time behind a key to be numbers.
func memcachedNumbers(line []byte) bool {
	index := 0
	for i := 1; i < len(line); i++ {
		if line[i-1] == ' ' && line[i] != ' ' {
			index++
			if c := line[i]; index >= 2 && index <= 3 && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
