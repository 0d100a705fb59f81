// Package link is the protocol between tcpcopy and intercept: a Client asks
// an intercept for the replies to the endpoints that it claims, a Server
// hands them out. docs/link.md describes the frames. It knows the protocol, its
// connections and the router of replies. It does not know where replies are
// captured, nor the sessions that they belong to.
//
// Neither end lets the other stop it: what does not fit into a bounded
// buffer is dropped and counted, a silent peer is left after Silence, and
// a client dials again for as long as it runs.
package link

import "time"

// Version is the protocol's. Both ends must speak the same one.
const Version = 1

// Limits of the protocol. A frame that breaks one ends the link.
const (
	MaxFrame  = 16 << 10 // payload of a frame, bytes
	MaxClaims = 4096     // prefixes of one tcpcopy
	MaxConns  = 16       // links of one tcpcopy to one intercept
	MaxName   = 64       // bytes of a peer's name
	MaxText   = 512      // bytes of an error or a notice
)

// Heartbeat is how often each end sends a ping; an end that has heard nothing
// for Silence takes its peer for dead.
const (
	Heartbeat = time.Second
	Silence   = 3 * time.Second
)

// FrameError says why bytes are not the protocol's.
type FrameError uint8

// What can be wrong with a frame.
const (
	ErrMagic     FrameError = iota + 1 // the peer does not speak this protocol at all
	ErrVersion                         // the peer speaks another version of it
	ErrType                            // no such frame, or not at this point
	ErrReserved                        // a reserved byte or bit is set
	ErrLength                          // a frame above MaxFrame
	ErrTruncated                       // a field runs over the end of its frame
	ErrTrailing                        // bytes after the last field
	ErrValue                           // a field out of its range
)

func (e FrameError) Error() string {
	switch e {
	case ErrMagic:
		return "link: the peer does not speak the protocol of tcpcopy and intercept"
	case ErrVersion:
		return "link: the peer speaks another version of the protocol: install the same release at both ends"
	case ErrType:
		return "link: unexpected frame type"
	case ErrReserved:
		return "link: reserved bits are set"
	case ErrLength:
		return "link: frame too long"
	case ErrTruncated:
		return "link: frame too short for its fields"
	case ErrTrailing:
		return "link: bytes after the last field of a frame"
	case ErrValue:
		return "link: field out of range"
	}
	return "link: unknown frame error"
}
