package source

import (
	"github.com/valyala/bytebufferpool"

	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// A Parcel is a segment on its way to the worker that owns it. Its options and
// payload are in a buffer of its own.
type Parcel struct {
	Segment  packet.Segment
	Transfer int

	generation uint32
	buf        *bytebufferpool.ByteBuffer
}

// Parcels are where buffers of parcels come from and go back to. Any goroutine
// may use them.
type Parcels struct{ pool bytebufferpool.Pool }

// Pack makes a parcel of a segment of m's transfer.
func (ps *Parcels) Pack(m *match.Matcher, transfer int, g *packet.Segment) Parcel {
	p := Parcel{Segment: *g, Transfer: transfer, generation: m.Transfers[transfer].Generation, buf: ps.pool.Get()}
	p.buf.B = append(append(p.buf.B[:0], g.Options...), g.Payload...)
	p.Segment.Options = p.buf.B[:len(g.Options)]
	p.Segment.Payload = p.buf.B[len(g.Options):]
	return p
}

// Free gives the parcel's buffer back.
func (ps *Parcels) Free(p *Parcel) {
	if p.buf != nil {
		ps.pool.Put(p.buf)
	}
	*p = Parcel{}
}

// Of reports whether the parcel's transfer is m's still: its number may be
// another's since it was packed.
func (p *Parcel) Of(m *match.Matcher) bool {
	return m.Transfers[p.Transfer].Generation == p.generation
}
