package session

import (
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// wire is a TCP segment on the way to the target. Its payload is known by its
// place in the flow's stream.
type wire struct {
	seq, ack uint32
	flags    packet.Flags
	wnd      uint16
	len      int
	opt      packet.Options
}

type peerState uint8

const (
	listening peerState = iota
	synReceived
	open
	closed // RST was sent or received
)

// peer is one connection at the target: a TCP endpoint by RFC 9293, 5681 (the
// receiver's half), 2018 and 7323, with a server behind it that reads the
// flow's requests and answers them one after the other.
type peer struct {
	w     *world
	fl    *flow
	ep    packet.Endpoint // the session's
	state peerState

	ts, sack bool
	scale    uint8
	mss      int
	tsRecent uint32

	// Receiver.
	irs, rcvNxt, readTo uint32
	edge                uint32 // right edge of the window, as announced
	beyond              []packet.SACKBlock
	latest              uint32 // start of the newest out-of-order segment
	duplicate           packet.SACKBlock
	unacked             int
	ackTimer            bool
	peerFIN             bool

	// Sender.
	iss, una, nxt, top, end uint32 // top: highest ever sent; end: behind what the server wrote
	pushes                  []uint32
	wnd                     uint32
	peerScale               uint8
	finQueued               bool
	rto                     int // generation of the running timer; 0: none
	backoff                 int

	// Server.
	parsed  uint32 // behind the last complete request
	decided uint32 // beginning of the large request that was looked at
	pending []request
	served  int
	busy    bool
	gone    bool // the server closed its end
	reading bool
}

func newPeer(w *world, fl *flow, ep packet.Endpoint) *peer {
	return &peer{w: w, fl: fl, ep: ep, iss: w.rng.Uint32()}
}

func (p *peer) recv(g *wire) {
	w := p.w
	switch {
	case p.state == listening && g.flags&packet.SYN != 0:
		p.recvSYN(g)
		return
	case p.state == listening || p.state == closed:
		if g.flags&packet.RST == 0 {
			p.w.toSession(p.ep, packet.Reply{Src: targetEnd, Dst: p.ep, Seq: g.ack, Ack: g.seq + uint32(g.len), Flags: packet.RST})
		}
		return
	case g.flags&packet.SYN != 0:
		if p.state == synReceived {
			p.sendSYNACK()
		} else {
			p.sendACK() // RFC 5961, 4
		}
		return
	case g.flags&packet.RST != 0:
		if g.seq == p.rcvNxt {
			p.state = closed
		} else if !before(g.seq, p.rcvNxt) && before(g.seq, p.edge) {
			p.sendACK() // RFC 5961, 3
		}
		return
	case g.flags&packet.ACK == 0:
		w.fail("%v: segment without ACK", p.fl)
		return
	case before(p.top, g.ack):
		w.fail("%v: acknowledges %d, sent was %d", p.fl, g.ack-p.iss, p.top-p.iss)
		return
	}
	if p.state == synReceived {
		if g.ack != p.iss+1 {
			return
		}
		p.state = open
		if p.fl.greeting > 0 {
			w.after(w.span(0, w.sc.targetTime), p.greet)
		}
	}
	if p.ts && !g.opt.HasTimestamp {
		w.fail("%v: segment without timestamp", p.fl)
	}
	if g.opt.HasTimestamp && !before(p.rcvNxt, g.seq) {
		p.tsRecent = g.opt.TSVal
	}
	p.recvACK(g)
	p.recvData(g)
	if p.state == open {
		p.send()
	}
}

// recvSYN answers a SYN, or refuses it as a target does that is starting.
func (p *peer) recvSYN(g *wire) {
	w, sc := p.w, p.w.sc
	if w.chance(sc.refuse) || w.now < w.downUntil {
		w.toSession(p.ep, packet.Reply{Src: targetEnd, Dst: p.ep, Ack: g.seq + 1, Flags: packet.RST | packet.ACK})
		return
	}
	p.state = synReceived
	p.irs, p.rcvNxt, p.readTo, p.parsed = g.seq, g.seq+1, g.seq+1, g.seq+1
	p.una, p.nxt, p.end, p.top = p.iss, p.iss+1, p.iss+1, p.iss+1
	p.ts = g.opt.HasTimestamp && !sc.noTimestamps
	p.sack = g.opt.SACKOK && !sc.noSACK
	p.tsRecent = g.opt.TSVal
	p.mss = int(g.opt.MSS)
	p.wnd = uint32(g.wnd)
	if g.opt.WindowScale != packet.NoWindowScale && !sc.noScale {
		p.scale, p.peerScale = 7, g.opt.WindowScale
	}
	p.edge = p.rcvNxt + uint32(min(sc.receiveBuffer, 65535))
	w.after(w.span(0, sc.acceptDelay), p.sendSYNACK)
}

func (p *peer) sendSYNACK() {
	if p.state != synReceived {
		return
	}
	r := packet.Reply{Src: targetEnd, Dst: p.ep, Seq: p.iss, Ack: p.rcvNxt, Flags: packet.SYN | packet.ACK}
	r.Window = uint16(p.edge - p.rcvNxt)
	r.MSS, r.SACKOK, r.WindowScale = uint16(p.w.sc.peerMSS), p.sack, packet.NoWindowScale
	if p.scale > 0 {
		r.WindowScale = p.scale
	}
	p.stamp(&r)
	p.w.toSession(p.ep, r)
	p.startTimer()
}

func (p *peer) stamp(r *packet.Reply) {
	if p.ts {
		r.HasTimestamp, r.TSVal, r.TSEcr = true, uint32(p.w.now/Millisecond)+7777, p.tsRecent
	}
}

// recvACK is the sender's half.
func (p *peer) recvACK(g *wire) {
	p.wnd = uint32(g.wnd) << p.peerScale
	if !before(p.una, g.ack) {
		return
	}
	p.una, p.backoff = g.ack, 0
	p.nxt = seqMax(p.nxt, p.una)
	p.rto = 0
	if p.una != p.top {
		p.startTimer()
	}
}

// recvData reassembles, and acknowledges as RFC 5681, 4.2 has it.
func (p *peer) recvData(g *wire) {
	w := p.w
	fin := g.flags&packet.FIN != 0
	if g.len == 0 && !fin {
		return
	}
	start, end := g.seq, g.seq+uint32(g.len)
	if p.gone && g.len > 0 && before(p.rcvNxt, end) {
		// The server has closed: nobody will read this.
		p.state = closed
		w.toSession(p.ep, packet.Reply{Src: targetEnd, Dst: p.ep, Seq: p.top, Ack: p.rcvNxt, Flags: packet.RST | packet.ACK})
		return
	}
	switch {
	case !before(p.rcvNxt, end) && g.len > 0, fin && g.len == 0 && before(start, p.rcvNxt):
		p.duplicate = packet.SACKBlock{Start: start, End: end}
		p.sendACK()
		return
	case before(p.edge, end):
		p.sendACK() // a window probe
		return
	}
	p.latest = start
	if g.len > 0 {
		p.beyond = merge(p.beyond, packet.SACKBlock{Start: seqMax(start, p.rcvNxt), End: end})
	}
	hole := before(p.rcvNxt, start) || len(p.beyond) > 1
	if len(p.beyond) > 0 && !before(p.rcvNxt, p.beyond[0].Start) {
		p.rcvNxt = p.beyond[0].End
		p.beyond = p.beyond[1:]
	}
	if fin && p.rcvNxt == end && len(p.beyond) == 0 {
		p.rcvNxt++
		p.peerFIN = true
		p.sendACK()
		if p.w.sc.leaves && (p.busy || len(p.pending) > 0) {
			p.leave()
			return
		}
	}
	p.unacked++
	switch {
	case hole || p.unacked >= 2:
		p.sendACK()
	case !p.ackTimer:
		p.ackTimer = true
		w.after(w.sc.delayedACK, func() {
			p.ackTimer = false
			if p.unacked > 0 {
				p.sendACK()
			}
		})
	}
	p.read()
}

// merge adds b to the sorted disjoint blocks.
func merge(blocks []packet.SACKBlock, b packet.SACKBlock) []packet.SACKBlock {
	out := blocks[:0:0]
	for _, o := range blocks {
		if before(o.End, b.Start) || before(b.End, o.Start) {
			out = append(out, o)
			continue
		}
		b.Start, b.End = seqMin(b.Start, o.Start), seqMax(b.End, o.End)
	}
	i, _ := slices.BinarySearchFunc(out, b, func(a, b packet.SACKBlock) int { return int(int32(a.Start - b.Start)) })
	return slices.Insert(out, i, b)
}

// header is what every segment of an open connection carries.
func (p *peer) header(seq uint32) packet.Reply {
	r := packet.Reply{Src: targetEnd, Dst: p.ep, Seq: seq, Ack: p.rcvNxt, Flags: packet.ACK}
	r.WindowScale = packet.NoWindowScale
	free := p.w.sc.receiveBuffer - int(p.rcvNxt-p.readTo)
	edge := p.rcvNxt + uint32(max(free, 0))
	if before(edge, p.edge+uint32(min(p.mss, p.w.sc.receiveBuffer/2))) {
		edge = p.edge // neither shrink nor grow by crumbs (RFC 9293, 3.8.6.2.2)
	}
	r.Window = uint16(min((edge-p.rcvNxt+1<<p.scale-1)>>p.scale, 65535))
	p.edge = seqMax(p.edge, p.rcvNxt+uint32(r.Window)<<p.scale)
	p.stamp(&r)
	p.unacked = 0
	if !p.sack {
		return r
	}
	room := 4
	if p.ts {
		room = 3
	}
	if p.duplicate != (packet.SACKBlock{}) {
		r.SACK[0], r.SACKCount = p.duplicate, 1
		p.duplicate = packet.SACKBlock{}
	}
	add := func(newest bool) {
		for _, b := range p.beyond {
			if (!before(p.latest, b.Start) && before(p.latest, b.End)) == newest && int(r.SACKCount) < room {
				r.SACK[r.SACKCount] = b
				r.SACKCount++
			}
		}
	}
	add(true)
	add(false)
	return r
}

func (p *peer) sendACK() {
	if p.state == open {
		p.w.toSession(p.ep, p.header(p.nxt))
	}
}

// send sends what the server wrote, and its FIN.
func (p *peer) send() {
	last := p.end
	if p.finQueued {
		last++
	}
	for before(p.nxt, last) {
		n := uint32(0)
		limit := p.una + min(p.wnd, 65000)
		if before(p.nxt, p.end) {
			if !before(p.nxt, limit) {
				break
			}
			mss := uint32(p.mss)
			if p.ts {
				mss -= 12
			}
			if p.w.chance(0.3) {
				mss *= 16 // merged by an offload before the capture
			}
			n = min(mss, p.end-p.nxt, limit-p.nxt)
		}
		r := p.header(p.nxt)
		r.Len = n
		p.nxt += n
		if slices.Contains(p.pushes, p.nxt) || p.nxt == p.end {
			r.Flags |= packet.PSH
		}
		if p.finQueued && p.nxt == p.end {
			r.Flags |= packet.FIN
			p.nxt++
		}
		p.top = seqMax(p.top, p.nxt)
		p.w.toSession(p.ep, r)
		if p.rto == 0 {
			p.startTimer()
		}
	}
}

// startTimer is the retransmission timer: all from una on is sent again.
func (p *peer) startTimer() {
	p.w.counter++
	gen := int(p.w.counter)
	p.rto = gen
	p.w.after(200*Millisecond<<min(p.backoff, 5), func() {
		if p.rto != gen || p.state == closed || p.una == p.top || p.backoff > 12 {
			return
		}
		p.backoff++
		p.rto = 0
		if p.state == synReceived {
			p.sendSYNACK()
			return
		}
		p.nxt = seqMax(p.una, p.iss+1)
		p.send()
		if p.rto == 0 {
			p.startTimer() // no window
		}
	})
}

// The target compares sequence numbers by means of its own, which the session's
// are measured by.
func before(a, b uint32) bool { return int32(a-b) < 0 }

func seqMax(a, b uint32) uint32 {
	if before(a, b) {
		return b
	}
	return a
}

func seqMin(a, b uint32) uint32 {
	if before(a, b) {
		return a
	}
	return b
}
