package link

import (
	"encoding/binary"
	"io"
)

// Type says what a frame holds.
type Type uint8

// The frames, in the order in which a link meets them. C is the client,
// tcpcopy; S the server, intercept.
const (
	TypeHello    Type = iota + 1 // both: who speaks
	TypeProof                    // both: knowledge of the secret
	TypeClaims                   // C: prefixes whose replies it wants
	TypeReady                    // S: the claims stand, the link is open
	TypeFlowSync                 // C: begin or end of the list of all its flows
	TypeFlowAdd                  // C: endpoints whose replies it wants
	TypeFlowDel                  // C: endpoints that are gone
	TypeReplies                  // S: reply records
	TypePing                     // both
	TypePong                     // both
	TypeNotice                   // S: something was refused, the link goes on
	TypeError                    // both: why the sender closes the link
	TypeUrgent                   // C: whether replies are waited for
	typeEnd
)

// headerLen is the length of a frame's header: the type, a zero byte, the
// payload's length in 16 bits.
const headerLen = 4

// beginFrame appends the header of a frame and returns where it stands, for
// endFrame.
func beginFrame(b []byte, t Type) ([]byte, int) {
	return append(b, byte(t), 0, 0, 0), len(b)
}

// endFrame writes the length of the frame that begins at at and ends with b.
func endFrame(b []byte, at int) []byte {
	binary.BigEndian.PutUint16(b[at+2:], uint16(len(b)-at-headerLen))
	return b
}

// appendFrame appends a whole frame.
func appendFrame(b []byte, t Type, payload []byte) []byte {
	b, at := beginFrame(b, t)
	return endFrame(append(b, payload...), at)
}

// frameReader cuts a stream into frames. Its buffer holds one frame of the
// greatest length and does not depend on what the peer says.
type frameReader struct {
	r          io.Reader
	buf        [4 * MaxFrame]byte
	start, end int
	bytes      uint64 // read so far
}

func newFrameReader(r io.Reader) *frameReader { return &frameReader{r: r} }

// next returns the next frame. payload is valid until the next call. Errors
// are FrameError or those of the reader; io.EOF stands between frames only.
func (f *frameReader) next() (t Type, payload []byte, err error) {
	if err := f.fill(headerLen); err != nil {
		return 0, nil, err
	}
	h := f.buf[f.start:]
	t, n := Type(h[0]), int(binary.BigEndian.Uint16(h[2:]))
	switch {
	case t == 0 || t >= typeEnd:
		return 0, nil, ErrType
	case h[1] != 0:
		return 0, nil, ErrReserved
	case n > MaxFrame:
		return 0, nil, ErrLength
	}
	if err := f.fill(headerLen + n); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	payload = f.buf[f.start+headerLen : f.start+headerLen+n]
	f.start += headerLen + n
	return t, payload, nil
}

// buffered reports whether a whole frame is there to be had without reading.
func (f *frameReader) buffered() bool {
	have := f.end - f.start
	return have >= headerLen && have >= headerLen+int(binary.BigEndian.Uint16(f.buf[f.start+2:]))
}

// fill reads until n bytes are buffered.
func (f *frameReader) fill(n int) error {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if f.start+n > len(f.buf) {
		f.end = copy(f.buf[:], f.buf[f.start:f.end])
		f.start = 0
	}
	for f.end-f.start < n {
		m, err := f.r.Read(f.buf[f.end:])
		f.end += m
		f.bytes += uint64(m)
		if err != nil && f.end-f.start < n {
			if err == io.EOF && f.end > f.start {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
