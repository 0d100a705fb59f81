package session

import (
	"unsafe"

	"github.com/tcpcopy-go/tcpcopy/pipeline/message"
)

// A piece is a run of the client's payload, or its FIN or RST, in the order of
// sequence numbers. Pieces are linked by refs into the Core's memory.
type piece struct {
	next    ref
	seq     Seq    // of the first byte
	ack     Seq    // the client's acknowledgment when it sent this
	len     uint32 // payload bytes; 0 for FIN and RST
	skip    uint32 // bytes at the front of payload that do not count
	payload ref    // its first buffer
	at      Time   // when it was captured, by the clients' time, while it waits behind a hole
	kind    pieceKind
	// What it is to the turns: see mark.
	waits bool // the client had read more when it sent this than when it began the turn before
	ends  pieceEnd
	fresh bool   // it follows bytes that were lost, and takes a new connection
	turns uint16 // how many begin in it, the first with it; 0: it continues one
	// own is how much of what the client had read came behind a rest: the server
	// said it of its own accord.
	own uint16
	// Of MQTT: which of its messages has to wait longest, how many are PUBREC and
	// PUBCOMP, and how many PUBCOMP were queued up to its end, counted from any.
	reacts                    message.Reaction
	pubrecs, pubcomps, queued uint16
}

const pieceSize = int(unsafe.Sizeof(piece{}))

type pieceKind uint8

const (
	pieceData pieceKind = iota
	pieceFIN
	pieceRST
)

// pieceEnd says whether a message ends with a piece.
type pieceEnd uint8

const (
	goesOn    pieceEnd = iota
	endsQuiet          // it ends, and the server does not answer
	endsDue            // it ends, and an answer is due
	mayEnd             // the protocol is not known: what the server says may be an answer
	farewell           // it ends, and the server need not answer what is due
)

// end is the sequence number behind the piece; FIN occupies one.
func (p *piece) end() Seq {
	if p.kind == pieceFIN {
		return p.seq + 1
	}
	return p.seq.Add(p.len)
}

// A buffer is a slot with payload, which begins where the slot does, so that it
// is copied aligned. bufferTail is at the end of the slot. The payload of one
// captured segment, of which the copies of a session share one, is in several
// buffers where it is longer than a page: a packet that GRO made.
type bufferTail struct {
	refs uint32 // pieces, in the first buffer; with none left: the next in pendingFree
	next ref    // of the same payload
}

const (
	tailSize  = int(unsafe.Sizeof(bufferTail{}))
	bufferMax = pageSize - tailSize // payload bytes
)

func (ps *pieces) tail(r ref) *bufferTail { return at[bufferTail](&ps.memory, ps.lastUnit(r)) }

// pieces makes and frees them.
type pieces struct {
	memory
	pendingFree ref // buffers that the batch may refer to, linked by their tails

	captured []byte // payload of the segment that is being taken
	shared   ref    // buffer with a copy of it, once a piece needs one
}

func (ps *pieces) at(r ref) *piece { return at[piece](&ps.memory, r) }

// capture says that pieces are about to be made of b.
func (ps *pieces) capture(b []byte) { ps.captured, ps.shared = b, 0 }

// fit reports whether the limit allows a piece of the captured payload.
func (ps *pieces) fit() bool {
	need := ps.missing(pieceSize)
	if n := len(ps.captured); ps.shared == 0 {
		need += n/bufferMax + ps.missing(tailSize+n%bufferMax)
	}
	return need == 0 || need <= ps.available()
}

// alloc makes a piece of the last n bytes of the captured payload.
func (ps *pieces) alloc(seq, ack Seq, kind pieceKind, n int) ref {
	p := piece{seq: seq, ack: ack, len: uint32(n), kind: kind}
	if n > 0 {
		if ps.shared == 0 {
			ps.shared = ps.copied()
		}
		p.payload, p.skip = ps.shared, uint32(len(ps.captured)-n)
		ps.tail(p.payload).refs++
	}
	r := ps.memory.alloc(pieceSize)
	*ps.at(r) = p
	return r
}

// split cuts piece r behind its first n bytes, and returns the rest.
func (ps *pieces) split(r ref, n uint32) ref {
	p := ps.at(r)
	rest := *p
	rest.seq, rest.skip, rest.len = p.seq.Add(n), p.skip+n, p.len-n
	p.len = n
	ps.tail(p.payload).refs++
	k := ps.memory.alloc(pieceSize)
	*ps.at(k) = rest
	return k
}

// copied returns a copy of the captured payload.
func (ps *pieces) copied() (first ref) {
	last := ref(0)
	for b := ps.captured; len(b) > 0; {
		n := min(len(b), bufferMax)
		r := ps.memory.alloc(tailSize + n)
		*ps.tail(r) = bufferTail{}
		copy(ps.bytes(r, n), b)
		if last == 0 {
			first = r
		} else {
			ps.tail(last).next = r
		}
		last, b = r, b[n:]
	}
	return first
}

// bytes is the beginning of a buffer.
func (ps *pieces) bytes(r ref, n int) []byte { return unsafe.Slice(at[byte](&ps.memory, r), n) }

// run is the payload of p from its byte off on, as far as it is in one buffer.
func (ps *pieces) run(p *piece, off uint32) []byte {
	from, to := int(p.skip+off), int(p.skip+p.len)
	r := p.payload
	for from >= bufferMax {
		r = ps.tail(r).next
		from, to = from-bufferMax, to-bufferMax
	}
	return ps.bytes(r, min(to, bufferMax))[from:]
}

// freePiece frees piece r. Its payload may still be in a batch that is to be
// sent, so it waits in pendingFree.
func (ps *pieces) freePiece(r ref) {
	if b := ps.at(r).payload; b != 0 {
		t := ps.tail(b)
		if t.refs--; t.refs == 0 {
			if b == ps.shared {
				ps.shared = 0
			}
			t.refs, ps.pendingFree = uint32(ps.pendingFree), b
		}
	}
	ps.free(r)
}

// freeSent frees the buffers that wait for it. Nothing may refer to them: the
// batch has been sent.
func (ps *pieces) freeSent() {
	for ps.pendingFree != 0 {
		r := ps.pendingFree
		ps.pendingFree = ref(ps.tail(r).refs)
		for r != 0 {
			next := ps.tail(r).next
			ps.free(r)
			r = next
		}
	}
	ps.trim()
}
