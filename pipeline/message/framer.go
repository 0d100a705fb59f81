package message

// maxHead bounds the bytes of a message outside of bodies of known length.
const maxHead = 256 << 10

// Framer follows one direction of a connection from a boundary on. It is a
// value: a copy of it follows the stream on its own.
type Framer struct {
	rest     uint64 // bytes left of the body, or its length while the head is read
	acc      uint64 // of the field that is being read
	head     uint32 // bytes since the beginning of the message or the last body
	protocol Protocol
	state    uint8 // of the protocol, within a message; 0 at a boundary
	own      uint8 // of the protocol, from one message to the next
	flags    flags
}

type flags uint8

const (
	answerMask flags = 3      // an Answer
	inBody     flags = 1 << 2 // rest bytes of known length follow
	lastBody   flags = 1 << 3 // the message ends with them
	lost       flags = 1 << 4
	server     flags = 1 << 5
	open       flags = 1 << 6 // between parts of a message: no boundary
	noBody     flags = 1 << 7 // the answer has none, whatever it says
)

// New returns the Framer of a client's stream, from the beginning of a
// connection on.
func New(p Protocol) Framer { return Framer{protocol: p} }

// Resume returns the Framer of a client's stream in the middle of a
// connection, from a boundary on that Begins has found.
func Resume(p Protocol) Framer { return Framer{protocol: p, own: protocols[p].midway} }

// NewServer returns the Framer of a server's stream, from the beginning of a
// connection or, where that is Joinable, of an answer on. Of protocols whose
// answers are not followed it knows nothing: its Protocol is Unknown.
func NewServer(p Protocol) Framer {
	switch p {
	case HTTP1, RESP, DNS:
		return Framer{protocol: p, flags: server}
	}
	return Framer{flags: server}
}

// Asked is what of a request tells how its answer ends.
type Asked uint8

const (
	AskedOther   Asked = iota
	AskedHead          // HEAD: the answer has no body
	AskedConnect       // CONNECT: a tunnel begins behind the answer
)

// Asked is that of the client's message that has just ended.
func (f *Framer) Asked() Asked {
	switch {
	case f.protocol != HTTP1:
		return AskedOther
	case f.flags&noBody != 0:
		return AskedHead
	case f.own&httpConnect != 0:
		return AskedConnect
	}
	return AskedOther
}

// Expect tells the Framer of a server's stream, at a boundary, what the next
// answer is to. Interim responses before it do not count.
func (f *Framer) Expect(a Asked) {
	if f.protocol != HTTP1 {
		return
	}
	f.flags &^= noBody
	f.own &^= httpConnect
	switch a {
	case AskedHead:
		f.flags |= noBody
	case AskedConnect:
		f.own |= httpConnect
	}
}

// Protocol is what the stream carries at present. It changes when the client
// upgrades the connection, and is Unknown in a tunnel or behind an upgrade to
// a protocol that is not known here.
func (f *Framer) Protocol() Protocol { return f.protocol }

// Lost reports whether the stream was malformed, or bytes were missed that
// were needed: where its messages end is not known any more.
func (f *Framer) Lost() bool { return f.flags&lost != 0 }

// Boundary reports whether a message begins with the next byte.
func (f *Framer) Boundary() bool {
	return f.state == 0 && f.flags&(inBody|lost|open) == 0 && f.protocol != Unknown
}

// Body is how many bytes of known length follow: nobody needs to look at them.
func (f *Framer) Body() uint64 {
	if f.flags&inBody == 0 {
		return 0
	}
	return f.rest
}

// Answer says whether the client's message that Next or Skip has just ended is
// answered. Of a server's message it says whether it is an answer: Answered, or
// AnswerUnknown of interim responses and of what was not asked for. Before the
// end of a message it says nothing.
func (f *Framer) Answer() Answer { return Answer(f.flags & answerMask) }

// Reaction is what the client's message at hand, or the one that has just
// ended, is to what its server sent unasked.
func (f *Framer) Reaction() Reaction {
	if f.protocol != MQTT {
		return NoReaction
	}
	return mqttReaction(f.own >> mqttKind)
}

// Next takes the bytes of b that belong to the message at hand, and reports
// whether it ends behind them. Where it does not, n is len(b).
func (f *Framer) Next(b []byte) (n int, end bool) {
	for n < len(b) {
		if f.flags&inBody != 0 {
			if k := uint64(len(b) - n); k < f.rest {
				f.rest -= k
				return len(b), false
			}
			n += int(f.rest)
			if f.endBody() {
				return n, true
			}
			continue
		}
		if f.flags&lost != 0 {
			return len(b), false
		}
		k, end := f.follow(b[n:])
		n += k
		if end {
			f.end()
			return n, true
		}
		if f.flags&inBody != 0 {
			f.head = 0
		} else if f.head += uint32(k); f.head > maxHead && f.protocol != Unknown {
			f.lose()
		}
	}
	return n, false
}

// Skip passes over n bytes that nobody saw, and reports whether the framing
// holds: they lay within a body of known length. Boundary tells whether the
// message has ended with them. Where the framing does not hold it is lost.
func (f *Framer) Skip(n uint32) bool {
	switch {
	case n == 0:
		return f.flags&lost == 0
	case f.flags&inBody == 0 || uint64(n) > f.rest:
		f.lose()
		return false
	case uint64(n) == f.rest:
		f.endBody()
	default:
		f.rest -= uint64(n)
	}
	return true
}

// collect takes the bytes of a head of fixed size up to the size-th, and
// reports whether they are all there. Framer.state counts them, Framer.acc is
// the last eight of them as a number.
func (f *Framer) collect(b []byte, size uint8) (n int, ok bool) {
	for n < len(b) && f.state < size {
		f.acc = f.acc<<8 | uint64(b[n])
		f.state++
		n++
	}
	return n, f.state >= size
}

// body says that n bytes follow that need not be looked at. Behind them the
// message ends if they are its last, or goes on in the state that is set. It
// reports whether the message has ended already.
func (f *Framer) body(n uint64, last bool) (end bool) {
	if n == 0 {
		return last
	}
	f.rest = n
	f.flags |= inBody
	if last {
		f.flags |= lastBody
	}
	return false
}

func (f *Framer) endBody() (end bool) {
	end = f.flags&lastBody != 0
	f.rest = 0
	f.flags &^= inBody | lastBody
	if end {
		f.end()
	}
	return end
}

func (f *Framer) end() {
	f.state, f.head, f.acc = 0, 0, 0
	f.flags &^= open
}

// answer sets whether the message at hand is answered.
func (f *Framer) answer(a Answer) { f.flags = f.flags&^answerMask | flags(a) }

// lose gives up: the rest of the stream is not understood.
func (f *Framer) lose() { f.flags = f.flags&^(inBody|lastBody|open) | lost }

// become goes on with another protocol, at the beginning of a message.
func (f *Framer) become(p Protocol, own uint8) {
	f.protocol, f.own, f.rest = p, own, 0
	f.end()
}
