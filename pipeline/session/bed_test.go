package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

const (
	bedISN    = 1000    // of the client
	bedServer = 500_000 // of production
	bedTarget = 900_000 // of the target
)

// bed is one session under a test's hands. Sequence numbers are counted from
// the initial ones of their connection, so the first payload byte is 1.
type bed struct {
	t       *testing.T
	core    *Core
	s       Session
	now     Time
	isn     uint32
	target  uint32
	stream  []byte
	log     []string // what was sent since the last want
	syn     packet.Options
	mss     int
	options packet.Options // of the last segment
	window  uint16         // announced by reply
	sack    bool           // the target's options
	ts      bool
	scale   uint8
}

func newBed(t *testing.T, cfg Config) *bed {
	b := &bed{t: t, now: 100 * Second, isn: bedISN, target: bedTarget, window: 65535, sack: true, scale: packet.NoWindowScale}
	b.core = New(cfg, b)
	b.s.MTU = 1500
	b.s.ClientEnd = packet.Endpoint{Addr: packet.Addr4([]byte{192, 168, 0, 1}), Port: 40000}
	b.s.Target = targetEnd
	b.stream = make([]byte, 2<<20)
	for i := range b.stream {
		b.stream[i] = byte(i * 7 >> 3)
	}
	b.core.Begin(&b.s, b.now)
	return b
}

// Send logs a segment as "flags seq+len ack n", with "again" where it is a
// retransmission.
func (b *bed) Send(_ *Session, o *Out) {
	var text strings.Builder
	text.WriteString(strings.ReplaceAll(flagNames(o.Flags), ".", ""))
	fmt.Fprintf(&text, " %d", o.Seq-b.isn)
	if o.Len > 0 {
		fmt.Fprintf(&text, "+%d", o.Len)
	}
	if o.Flags&packet.ACK != 0 {
		fmt.Fprintf(&text, " ack %d", o.Ack-b.target)
	}
	if o.Retransmit {
		text.WriteString(" again")
	}
	b.log = append(b.log, text.String())
	packet.ParseOptions(o.Options, &b.options)
	if o.Flags&packet.SYN != 0 {
		b.syn = b.options
	}
	if o.Len > 0 {
		b.mss = o.MSS
		got := slices.Concat(o.Payload...)
		if off := int(o.Seq - b.isn - 1); len(got) != o.Len || string(got) != string(b.stream[off:off+o.Len]) {
			b.t.Errorf("payload at %d is not the client's", off+1)
		}
	}
}

// settle ends the batch as the worker does.
func (b *bed) settle() {
	b.t.Helper()
	for range 5 {
		b.core.Output(&b.s, b.now)
		if b.s.state != Opening {
			break
		}
		b.core.Connect(&b.s, b.now)
	}
	b.core.FreeSent()
	if msg := invariants(b.core, &b.s, b.now); msg != "" {
		b.t.Errorf("%s: %+v", msg, b.s)
	}
	st := &b.core.Stats
	sum := st.Delivered + st.Buffered
	for _, n := range st.Dropped {
		sum += n
	}
	if st.Accepted != sum {
		b.t.Errorf("accepted %d, delivered %d, buffered %d, dropped %v", st.Accepted, st.Delivered, st.Buffered, st.Dropped)
	}
	if b.s.state == Closed && b.core.Held() != 0 {
		b.t.Errorf("%d bytes are held by a closed session", b.core.Held())
	}
}

// want compares what was sent since the last want.
func (b *bed) want(segments ...string) {
	b.t.Helper()
	if !slices.Equal(b.log, segments) {
		b.t.Fatalf("sent %q, want %q", b.log, segments)
	}
	b.log = b.log[:0]
}

func (b *bed) wantState(st State) {
	b.t.Helper()
	if b.s.state != st {
		b.t.Fatalf("state is %v, want %v", b.s.state, st)
	}
}

// wantClosed expects the session's end for one reason.
func (b *bed) wantClosed(why Reason) {
	b.t.Helper()
	b.wantState(Closed)
	if b.core.Stats.Closed[why] != 1 {
		b.t.Fatalf("closed %v, want %v", b.core.Stats.Closed, why)
	}
}

// client captures a segment of the client.
func (b *bed) client(flags packet.Flags, seq, n, ack int) {
	b.t.Helper()
	g := b.segment(flags, seq, n, ack)
	b.core.Client(&b.s, &g, b.now)
	b.settle()
}

func (b *bed) segment(flags packet.Flags, seq, n, ack int) packet.Segment {
	g := packet.Segment{Src: b.s.ClientEnd, Flags: flags, Seq: b.isn + uint32(seq), Len: n, Window: 65535}
	if flags&packet.ACK != 0 {
		g.Ack = bedServer + uint32(ack)
	}
	if n > 0 {
		g.Payload = b.stream[seq-1 : seq-1+n]
	}
	return g
}

// data captures payload.
func (b *bed) data(seq, n, ack int) {
	b.t.Helper()
	b.client(packet.ACK|packet.PSH, seq, n, ack)
}

// reply brings a segment of the target.
func (b *bed) reply(flags packet.Flags, seq, n, ack int, sack ...int) {
	b.t.Helper()
	r := packet.Reply{Flags: flags, Seq: b.target + uint32(seq), Len: uint32(n), Window: b.window}
	r.WindowScale = packet.NoWindowScale
	if flags&packet.ACK != 0 {
		r.Ack = b.isn + uint32(ack)
	}
	if flags&packet.SYN != 0 {
		r.MSS, r.SACKOK, r.WindowScale = 1460, b.sack, b.scale
	}
	r.HasTimestamp, r.TSVal = b.ts, uint32(b.now/Millisecond)
	for ; len(sack) > 1; sack = sack[2:] {
		r.SACK[r.SACKCount] = packet.SACKBlock{Start: b.isn + uint32(sack[0]), End: b.isn + uint32(sack[1])}
		r.SACKCount++
	}
	b.core.Reply(&b.s, &r, b.now)
	b.settle()
}

const (
	pushed = packet.ACK | packet.PSH
	fin    = packet.ACK | packet.FIN
)

// open establishes the session: SYN with MSS 1460, window scale, SACK and
// timestamps, and the target's answer.
func (b *bed) open() {
	b.t.Helper()
	g := b.segment(packet.SYN, 0, 0, 0)
	g.Options = []byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}
	b.core.Client(&b.s, &g, b.now)
	b.settle()
	b.client(packet.ACK, 1, 0, 1)
	b.want("S 0")
	b.accept()
	b.want("A 1 ack 1")
}

// accept is the target's SYN-ACK, a millisecond later.
func (b *bed) accept() {
	b.t.Helper()
	b.now += Millisecond
	b.reply(packet.SYN|packet.ACK, 0, 0, int(b.s.snd.iss.Sub(Seq(b.isn))+1))
	b.wantState(Established)
}

// turn sends a request of 100 bytes at seq and the target's whole answer of
// 200; production had sent acked bytes when the client wrote it.
func (b *bed) turn(seq, acked, have int) {
	b.t.Helper()
	b.data(seq, 100, acked)
	b.reply(pushed, have, 200, seq+100)
	b.now += delayedACK
	b.fire()
	b.log = b.log[:0]
}

// fire runs the timer if it is due.
func (b *bed) fire() {
	b.t.Helper()
	if b.now >= b.s.Deadline(b.core) {
		b.core.Timer(&b.s, b.now)
		b.settle()
	}
}

// next moves to the session's deadline, runs its timer, and returns how long
// that took.
func (b *bed) next() Time {
	b.t.Helper()
	d := b.s.Deadline(b.core)
	if d == never {
		b.t.Fatal("no deadline")
	}
	was := b.now
	b.now = max(d, b.now)
	b.core.Timer(&b.s, b.now)
	b.settle()
	if b.s.state != Closed && b.s.Deadline(b.core) <= b.now {
		b.t.Fatalf("the timer is still due after it ran: %+v", b.s)
	}
	return b.now - was
}

// wait lets time pass with its timers.
func (b *bed) wait(d Time) {
	b.t.Helper()
	end := b.now + d
	for b.s.state != Closed && b.s.Deadline(b.core) <= end {
		b.next()
	}
	b.now = end
}

const (
	ackOnly = packet.ACK
	reset   = packet.RST | packet.ACK
)

func itoa(n int) string { return fmt.Sprint(n) }
