package session

// A scoreboard is what a sender in trouble knows of the bytes between una and
// nxt (RFC 6675, 3): runs of them, without gaps. It lies in the Core's memory,
// from the first sign of a loss until all is well again.
type scoreboard struct {
	start  Seq    // of the first run
	sacked uint32 // bytes of runs in each of these states
	lost   uint32
	seenAt clock32 // the target was first seen to have bytes beyond those it lacks
	n      uint16
	fresh  bool // something that was sent since the board began was delivered: rack

	// Of what was delivered, that which was sent last (RFC 8985, 5.2).
	rackAt  clock32
	rackEnd Seq
	rackRTT uint32

	runs [maxRuns]run
}

// maxRuns bounds what is known. Of more blocks than have room the later ones are
// not noted: the target repeats the newest.
const maxRuns = 190

type run struct {
	end    Seq
	sentAt clock32
	state  runState
}

type runState uint8

const (
	unknown runState = iota // sent before the board began
	flying                  // sent since, for the first time
	resent                  // sent again
	sacked
	lost
)

// clock32 is a Time modulo 2^32: 71 minutes.
type clock32 uint32

func (t clock32) before(u clock32) bool { return int32(t-u) < 0 }

func (t clock32) since(u clock32) uint32 { return uint32(t - u) }

// begin makes a board of what is in flight.
func (b *scoreboard) begin(una, nxt Seq) {
	*b = scoreboard{start: una, n: 1}
	b.runs[0] = run{end: nxt}
}

// pipe is how many bytes are taken to be on their way (RFC 6675, 4).
func (b *scoreboard) pipe() uint32 { return b.end().Sub(b.start) - b.sacked - b.lost }

func (b *scoreboard) end() Seq { return b.runs[b.n-1].end }

// startOf is where run i begins.
func (b *scoreboard) startOf(i int) Seq {
	if i == 0 {
		return b.start
	}
	return b.runs[i-1].end
}

// send notes that bytes up to end are sent for the first time.
func (b *scoreboard) send(end Seq, now clock32) {
	last := &b.runs[b.n-1]
	if end == last.end {
		return
	}
	if b.n == maxRuns || last.state == flying && last.sentAt == now {
		last.end = end
		b.count()
		return
	}
	b.runs[b.n] = run{end: end, sentAt: now, state: flying}
	b.n++
}

// split makes a run begin at seq, and returns its number; without room for
// another one it returns the number of the run behind seq.
func (b *scoreboard) split(seq Seq) int {
	for i := range int(b.n) {
		start := b.startOf(i)
		if !start.Before(seq) {
			return i
		}
		if !seq.Before(b.runs[i].end) {
			continue
		}
		if b.n < maxRuns {
			copy(b.runs[i+1:b.n+1], b.runs[i:b.n])
			b.runs[i].end = seq
			b.n++
		}
		return i + 1
	}
	return int(b.n)
}

// mark puts the bytes of [start, end) into a state, as far as there is room to
// tell them from others, and calls was for the runs that had another one.
func (b *scoreboard) mark(start, end Seq, state runState, now clock32, was func(r run)) {
	for i := b.split(start); i < int(b.n); i++ {
		if end.Before(b.runs[i].end) {
			if b.n == maxRuns || !b.startOf(i).Before(end) {
				break
			}
			b.split(end)
		}
		if r := &b.runs[i]; r.state != state {
			if was != nil {
				was(*r)
			}
			r.state, r.sentAt = state, now
		}
	}
}

// markAll puts all bytes but those that the target has into a state.
func (b *scoreboard) markAll(state runState, now clock32) {
	for i := range b.runs[:b.n] {
		if r := &b.runs[i]; r.state != sacked {
			r.state, r.sentAt = state, now
		}
	}
	b.count()
}

// advance drops what lies below una, and calls was for it.
func (b *scoreboard) advance(una Seq, was func(r run)) {
	n := 0
	for n < int(b.n) && !una.Before(b.runs[n].end) {
		was(b.runs[n])
		n++
	}
	copy(b.runs[:], b.runs[n:b.n])
	b.n -= uint16(n)
	b.start = una
	if n == 0 && b.n > 0 && b.runs[0].state != sacked {
		was(run{end: una, sentAt: b.runs[0].sentAt, state: b.runs[0].state})
	}
}

// count joins neighbours that are alike, and counts bytes.
func (b *scoreboard) count() {
	b.sacked, b.lost = 0, 0
	n := 0
	start := b.start
	for i := range b.runs[:b.n] {
		r := b.runs[i]
		switch r.state {
		case sacked:
			b.sacked += r.end.Sub(start)
		case lost:
			b.lost += r.end.Sub(start)
		}
		start = r.end
		if n > 0 {
			if p := &b.runs[n-1]; p.state == r.state && (p.sentAt == r.sentAt || r.state == sacked || r.state == lost) {
				p.end = r.end
				continue
			}
		}
		b.runs[n] = r
		n++
	}
	b.n = uint16(n)
}

// highest is the end of the last run that the target has, or start.
func (b *scoreboard) highest() Seq {
	for i := int(b.n) - 1; i >= 0; i-- {
		if b.runs[i].state == sacked {
			return b.runs[i].end
		}
	}
	return b.start
}

// deliver takes note of a run that has arrived. It reports false for one that
// was sent again and came too soon to be that.
func (b *scoreboard) deliver(r run, now clock32, minRTT uint32) bool {
	if r.state != resent && r.state != flying {
		return true
	}
	rtt := now.since(r.sentAt)
	if r.state == resent && rtt < minRTT {
		return false
	}
	if !b.fresh || b.rackAt.before(r.sentAt) || b.rackAt == r.sentAt && b.rackEnd.Before(r.end) {
		b.fresh, b.rackAt, b.rackEnd, b.rackRTT = true, r.sentAt, r.end, rtt
	}
	return true
}

// findLost marks as lost what was sent before something that has arrived, once
// it is later than that by reorder: a run that was sent since the board began,
// or sent again, by the clock (RFC 8985, 6.2); one that was sent before, if
// enough has arrived beyond it (RFC 6675, 4). It reports whether there was one,
// and for how long the next one is waited for.
func (b *scoreboard) findLost(enough bool, reorder uint32, now clock32) (found bool, wait uint32) {
	top := b.highest()
	for i := range b.runs[:b.n] {
		r := &b.runs[i]
		late := int32(-1) // how late it is
		switch {
		case r.state == unknown && b.fresh:
			late = int32(now - b.rackAt - clock32(b.rackRTT) - clock32(reorder))
		case r.state == unknown && enough && r.end.Before(top):
			late = int32(now - b.seenAt - clock32(reorder))
		case (r.state == flying || r.state == resent) && b.fresh &&
			(r.sentAt.before(b.rackAt) || r.sentAt == b.rackAt && r.end.Before(b.rackEnd)):
			late = int32(now - r.sentAt - clock32(b.rackRTT) - clock32(reorder))
		default:
			continue
		}
		if late >= 0 {
			r.state, found = lost, true
		} else if left := uint32(-late); wait == 0 || left < wait {
			wait = left
		}
	}
	b.count()
	return found, wait
}
