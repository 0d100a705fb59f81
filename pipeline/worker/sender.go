package worker

import (
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// sender puts what sessions send into the thread's batch.
type sender struct {
	tx      *ring.Tx
	matcher *match.Matcher // has the next hops
	header  packet.Header
	id      uint16 // of the last IPv4 header
	lag     lag
}

// Send implements session.Sink: it writes the headers of a segment and adds it
// to the batch. Payload is referred to, not copied.
func (d *sender) Send(s *session.Session, o *session.Out) {
	d.lag.note(s, o)
	head := d.tx.Begin()
	n := 0
	for _, b := range o.Payload {
		n += d.tx.Payload(b)
	}
	d.id++
	d.header = packet.Header{
		Src: s.Endpoint, Dst: s.Target,
		Seq: o.Seq, Ack: o.Ack, Flags: o.Flags, Window: o.Window,
		ID: d.id, Options: o.Options,
	}
	d.tx.Commit(packet.Build(head, &d.header, n), o.MSS, d.matcher.Transfers[s.Transfer].Hop)
}
