package session

import (
	"github.com/valyala/bytebufferpool"
)

// A piece is a run of the client's payload, or its FIN or RST, in the order of
// sequence numbers. Pieces live in one slab for each Core and are linked by
// index; index 0 is none.
type piece struct {
	next uint32
	seq  Seq    // of the first byte
	ack  Seq    // the client's acknowledgment when it sent this
	len  uint32 // payload bytes; 0 for FIN and RST
	skip uint32 // bytes at the front of buf that do not count
	kind pieceKind
	// What it is to the turns: see mark.
	turn  bool // begins one: a new connection to the target may begin with it
	waits bool // the client had read more when it sent this than when it began the turn before
	ends  bool // a message ends with it
	due   bool // which the server answers
	// fresh pieces follow bytes that were lost, and take a new connection.
	fresh bool
	// own is how much of what the client had read came behind a rest: the server
	// said it of its own accord.
	own uint16
	at  Time // when it was captured, by the clients' time, while it waits behind a hole
	buf *payload
}

type pieceKind uint8

const (
	pieceData pieceKind = iota
	pieceFIN
	pieceRST
)

// end is the sequence number behind the piece; FIN occupies one.
func (p *piece) end() Seq {
	if p.kind == pieceFIN {
		return p.seq + 1
	}
	return p.seq.Add(p.len)
}

// payload is that of one captured segment. The copies of a session share it.
type payload struct {
	*bytebufferpool.ByteBuffer
	refs int
}

// pieces is the slab. Buffers come from pools by size class, because
// bytebufferpool sizes each pool's buffers by what is usual in it, and one
// GRO packet is as large as forty others.
type pieces struct {
	slab        []piece
	free        uint32
	held        int64 // bytes of memory in buffers
	pendingFree []*payload
	pools       [3]bytebufferpool.Pool
	spare       []*payload

	captured []byte   // payload of the segment that is being taken
	shared   *payload // a copy of it, once a piece needs one
}

func (ps *pieces) init() { ps.slab = make([]piece, 1, 1024) }

func (ps *pieces) at(i uint32) *piece { return &ps.slab[i] }

func class(n int) int {
	switch {
	case n <= 2<<10:
		return 0
	case n <= 16<<10:
		return 1
	}
	return 2
}

// capture says that pieces are about to be made of b.
func (ps *pieces) capture(b []byte) { ps.captured, ps.shared = b, nil }

// take returns a place in the slab.
func (ps *pieces) take() uint32 {
	i := ps.free
	if i == 0 {
		ps.slab = append(ps.slab, piece{})
		return uint32(len(ps.slab) - 1)
	}
	ps.free = ps.slab[i].next
	return i
}

// alloc makes a piece of the last n bytes of the captured payload.
func (ps *pieces) alloc(seq, ack Seq, kind pieceKind, n int) uint32 {
	i := ps.take()
	p := piece{seq: seq, ack: ack, len: uint32(n), kind: kind}
	if n > 0 {
		if ps.shared == nil {
			ps.shared = ps.copied()
		}
		p.buf, p.skip = ps.shared, uint32(len(ps.captured)-n)
		p.buf.refs++
	}
	ps.slab[i] = p
	return i
}

// run is the payload of p from its byte off on, as far as it is in one buffer.
func (ps *pieces) run(p *piece, off uint32) []byte { return p.buf.B[p.skip+off : p.skip+p.len] }

// split cuts piece i behind its first n bytes, and returns the rest.
func (ps *pieces) split(i, n uint32) uint32 {
	p := ps.at(i)
	rest := *p
	rest.seq, rest.skip, rest.len = p.seq.Add(n), p.skip+n, p.len-n
	p.len = n
	p.buf.refs++
	k := ps.take()
	*ps.at(k) = rest
	return k
}

// copied returns a copy of the captured payload.
func (ps *pieces) copied() *payload {
	var p *payload
	if n := len(ps.spare); n > 0 {
		p, ps.spare = ps.spare[n-1], ps.spare[:n-1]
	} else {
		p = new(payload)
	}
	p.ByteBuffer = ps.pools[class(len(ps.captured))].Get()
	p.B = append(p.B[:0], ps.captured...)
	ps.held += int64(len(p.B))
	return p
}

// freePiece frees piece i. Its payload may still be in a batch that is to be
// sent, so it waits in pendingFree.
func (ps *pieces) freePiece(i uint32) {
	p := &ps.slab[i]
	if p.buf != nil {
		if p.buf.refs--; p.buf.refs == 0 {
			if p.buf == ps.shared {
				ps.shared = nil
			}
			ps.held -= int64(len(p.buf.B))
			ps.pendingFree = append(ps.pendingFree, p.buf)
		}
	}
	*p = piece{next: ps.free}
	ps.free = i
}

// freeSent gives the buffers of released pieces back. Nothing may refer to them:
// the batch has been sent.
func (ps *pieces) freeSent() {
	for i, p := range ps.pendingFree {
		ps.pools[class(len(p.B))].Put(p.ByteBuffer)
		p.ByteBuffer = nil
		ps.spare = append(ps.spare, p)
		ps.pendingFree[i] = nil
	}
	ps.pendingFree = ps.pendingFree[:0]
}
