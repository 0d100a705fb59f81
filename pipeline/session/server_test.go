package session

import (
	"slices"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// read is the server taking bytes from its socket, all or in small bites.
func (p *peer) read() {
	if p.gone || p.reading {
		return
	}
	if p.w.sc.readDelay == 0 {
		p.take(p.readable())
		return
	}
	if p.readable() == 0 && !p.peerFIN {
		return
	}
	p.reading = true
	p.w.after(p.w.span(0, p.w.sc.readDelay), func() {
		p.reading = false
		if p.state != open || p.gone {
			return
		}
		p.take(min(p.readable(), 4096))
		if int32(p.edge-p.rcvNxt) < int32(p.mss) && p.w.sc.receiveBuffer-int(p.rcvNxt-p.readTo) >= min(p.mss, p.w.sc.receiveBuffer/2) {
			p.sendACK() // a window update
		}
		if p.readable() > 0 {
			p.read()
		}
	})
}

func (p *peer) readable() uint32 {
	n := p.rcvNxt - p.readTo
	if p.peerFIN {
		n--
	}
	return n
}

// take parses the bytes that were read into requests.
func (p *peer) take(n uint32) {
	p.readTo += n
	for !p.gone {
		at := int(p.parsed - p.fl.isn - 1)
		have := int(p.readTo - p.parsed)
		if have < requestHeader {
			break
		}
		i, found := slices.BinarySearchFunc(p.fl.requests, at, func(a request, at int) int { return a.start - at })
		if !found {
			p.w.fail("%v: the target reads at %d, which is not the beginning of a request", p.fl, at)
			return
		}
		r := p.fl.requests[i]
		size := r.end - r.start
		if size > 10_000 && p.decided != p.parsed {
			p.decided = p.parsed
			if p.w.chance(p.w.sc.rejectLarge) {
				p.write(150) // too large: answers, closes, reads no more
				p.shut()
				return
			}
		}
		if have < size {
			break
		}
		p.parsed += uint32(size)
		p.pending = append(p.pending, r)
	}
	p.serve()
}

// serve answers one request at a time, and closes when the client has or when
// the connection has served enough.
func (p *peer) serve() {
	w, sc := p.w, p.w.sc
	if p.busy || p.gone {
		return
	}
	if len(p.pending) == 0 {
		if p.peerFIN && p.readTo+1 == p.rcvNxt {
			p.shut()
		}
		return
	}
	r := p.pending[0]
	p.pending = p.pending[1:]
	switch {
	case w.chance(sc.reset):
		p.reset()
		return
	case w.chance(sc.hangUp):
		p.shut()
		return
	}
	i, _ := slices.BinarySearchFunc(p.fl.requests, r.start, func(a request, at int) int { return a.start - at })
	p.fl.executed = append(p.fl.executed, i)
	w.log("%v target executes %d", p.fl, i)
	p.busy = true
	w.after(w.span(50, sc.targetTime), func() {
		p.busy = false
		if p.state != open {
			return
		}
		p.served++
		p.write(sc.answer(w, r.response))
		if sc.keepalive > 0 && p.served >= sc.keepalive {
			p.shut()
		}
		p.send()
		p.serve()
	})
}

// greet is the first word of a server that speaks first.
func (p *peer) greet() {
	if p.rcvNxt != p.irs+1 {
		p.w.fail("%v: the client spoke before the greeting", p.fl)
	}
	p.write(p.fl.greeting)
	p.send()
}

// write is the server giving n bytes to its socket.
func (p *peer) write(n int) {
	if n > 0 {
		p.end += uint32(n)
		p.pushes = append(p.pushes, p.end)
	}
}

// leave is a gateway that drops what it works at, since its client is gone.
func (p *peer) leave() {
	if p.busy {
		p.fl.executed = p.fl.executed[:len(p.fl.executed)-1]
	}
	p.pending = nil
	p.reset()
}

// shut closes the server's end.
func (p *peer) shut() {
	p.gone, p.finQueued = true, true
	p.w.closes++
	p.send()
}

// reset is the server's process being killed.
func (p *peer) reset() {
	p.state = closed
	p.w.closes++
	p.w.toSession(p.ep, packet.Reply{Src: targetEnd, Dst: p.ep, Seq: p.top, Ack: p.rcvNxt, Flags: packet.RST | packet.ACK})
}
