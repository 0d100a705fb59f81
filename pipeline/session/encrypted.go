package session

import (
	"bytes"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// Encrypted recognises, at the beginning of a turn, what cannot be replayed as
// bytes: a TLS ClientHello (RFC 8446, 4 and 5.1), with STARTTLS also later in
// a connection, and the identification of SSH (RFC 4253, 4.2). Of a connection
// that began before its capture any TLS record counts.
func Encrypted(b []byte, midstream bool) (Reason, bool) {
	const changeCipherSpec, handshake, applicationData, clientHello = 20, 22, 23, 1
	if bytes.HasPrefix(b, []byte("SSH-")) {
		return SSH, true
	}
	if len(b) < 3 || b[1] != 3 || b[2] > 4 {
		return 0, false
	}
	if midstream {
		return TLS, b[0] >= changeCipherSpec && b[0] <= applicationData
	}
	return TLS, b[0] == handshake && (len(b) < 6 || b[5] == clientHello)
}

// skip ends a connection whose payload is encrypted from here on, when the
// target has answered what came before, and passes over what else its client
// sends. ack is that of the segment.
func (c *Core) skip(s *Session, why Reason, ack Seq, now Time) {
	s.skipping, s.skipped = true, why
	if s.online.first != 0 && s.state != Parked {
		c.queueEnd(s, pieceRST, s.online.next, ack)
		return
	}
	if s.state.connected() && s.state != TimeWait {
		c.sendRST(s, now)
	}
	c.end(s, Finished)
}

// passOver keeps a session that has ended only to count what else comes.
func (c *Core) passOver(s *Session) {
	c.Begin(s, s.online.seenAt)
	s.state, s.skipping = Skipping, false
}

// skippedEnd is how long the last packets of a skipped connection are
// expected.
const skippedEnd = 2 * Second

// pass counts a packet of a skipped connection.
func (c *Core) pass(s *Session, g *packet.Segment, now Time) {
	c.Stats.Accepted += uint64(g.Len)
	c.Stats.Dropped[s.skipped] += uint64(g.Len)
	if g.Flags&(packet.FIN|packet.RST) != 0 {
		s.endAt = now + skippedEnd
	}
}
