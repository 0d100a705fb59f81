package worker

import (
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/histogram"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
)

// lag measures how long a packet of a client needs from the kernel's capture
// to the kernel's taking of its copy. It follows one packet of a pass, so that
// a pass reads the clock once at most: the first that has something to copy,
// which waited longest. What it leads to counts only if it is sent in the same
// pass; else the copy waits for its target, and not for tcpcopy.
type lag struct {
	session  *session.Session // nil: no packet is followed
	captured int64            // ns since the epoch
	sent     bool
}

// follow takes a packet that was given to s, if it is the first to be copied.
func (l *lag) follow(s *session.Session, g *packet.Segment) {
	if l.session == nil && (g.Len > 0 || g.Flags&packet.SYN != 0) {
		l.session, l.captured = s, g.Time
	}
}

// note takes what a session sends.
func (l *lag) note(s *session.Session, o *session.Out) {
	if s == l.session && (o.Kind == session.KindPayload || o.Kind == session.KindSYN) && !o.Retransmit {
		l.sent = true
	}
}

// measure counts the packet that was followed, when what was sent is with the
// kernel.
func (l *lag) measure(h *histogram.Histogram) {
	if l.sent {
		h.Observe((time.Now().UnixNano() - l.captured) / int64(time.Microsecond))
	}
	*l = lag{}
}
