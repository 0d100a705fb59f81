package link

import (
	"encoding/binary"
	"net/netip"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

const (
	claimLen = 16 + 1 // address in 16 bytes, length of the prefix in 128 bits
	flowLen  = 16 + 2 // address, port

	claimsPerFrame = (MaxFrame - 1) / claimLen
	flowsPerFrame  = MaxFrame / flowLen
)

// First byte of a claims frame.
const (
	claimsLast = iota
	claimsMore
)

// First byte of a flow sync frame.
const (
	syncBegin = iota
	syncEnd
)

// appendClaims appends the frames that carry ps: at least one, the last of
// which says so. IPv4 prefixes travel mapped: 10.1.3.0/24 as
// ::ffff:10.1.3.0/120.
func appendClaims(b []byte, ps []netip.Prefix) []byte {
	for {
		n := min(len(ps), claimsPerFrame)
		var at int
		b, at = beginFrame(b, TypeClaims)
		if n < len(ps) {
			b = append(b, claimsMore)
		} else {
			b = append(b, claimsLast)
		}
		for _, p := range ps[:n] {
			a := p.Addr().As16()
			bits := p.Bits()
			if p.Addr().Is4() {
				bits += 96
			}
			b = append(append(b, a[:]...), byte(bits))
		}
		b = endFrame(b, at)
		if ps = ps[n:]; len(ps) == 0 {
			return b
		}
	}
}

// decodeClaims appends the prefixes of a frame to ps, masked. more says that
// another frame follows.
func decodeClaims(p []byte, ps []netip.Prefix) (_ []netip.Prefix, more bool, err error) {
	if len(p) < 1 || (len(p)-1)%claimLen != 0 {
		return ps, false, ErrTruncated
	}
	if p[0] > claimsMore {
		return ps, false, ErrReserved
	}
	more = p[0] == claimsMore
	if more && len(p) == 1 {
		return ps, false, ErrValue
	}
	for p = p[1:]; len(p) > 0; p = p[claimLen:] {
		if len(ps) == MaxClaims {
			return ps, false, ErrValue
		}
		a, bits := packet.Addr(p[:16]), int(p[16])
		if a.Is4() {
			bits -= 96
		}
		pfx, err := a.Netip().Prefix(bits)
		if err != nil {
			return ps, false, ErrValue
		}
		ps = append(ps, pfx)
	}
	return ps, more, nil
}

// appendFlows appends frames of type t with es.
func appendFlows(b []byte, t Type, es []packet.Endpoint) []byte {
	for len(es) > 0 {
		n := min(len(es), flowsPerFrame)
		var at int
		b, at = beginFrame(b, t)
		for i := range es[:n] {
			b = appendEndpoint(b, &es[i])
		}
		b = endFrame(b, at)
		es = es[n:]
	}
	return b
}

func appendEndpoint(b []byte, e *packet.Endpoint) []byte {
	return binary.BigEndian.AppendUint16(append(b, e.Addr[:]...), e.Port)
}

// decodeFlows appends the endpoints of a frame to es.
func decodeFlows(p []byte, es []packet.Endpoint) ([]packet.Endpoint, error) {
	if len(p)%flowLen != 0 {
		return es, ErrTruncated
	}
	for ; len(p) > 0; p = p[flowLen:] {
		es = append(es, packet.Endpoint{Addr: packet.Addr(p[:16]), Port: binary.BigEndian.Uint16(p[16:])})
	}
	return es, nil
}
