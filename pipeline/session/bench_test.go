package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// counting is a sink that looks at nothing.
type counting struct{ segments, bytes int }

func (c *counting) Send(_ *Session, o *Out) {
	c.segments++
	c.bytes += o.Len
}

// replay is a session in steady state: request, acknowledged answer, the
// client's acknowledgment, and so on.
type replay struct {
	core        *Core
	sink        counting
	s           Session
	now         Time
	seq, ack    uint32
	request     []byte
	answer      uint32
	data, pure  packet.Segment
	reply       packet.Reply
	isn, target uint32
}

func newReplay(request, answer int) *replay {
	r := &replay{now: Second, request: make([]byte, request), answer: uint32(answer), isn: 77, target: 9999}
	r.core = New(Config{}, &r.sink)
	r.s.MTU, r.s.Target = 1500, targetEnd
	r.core.Begin(&r.s, r.now)
	r.core.Client(&r.s, &packet.Segment{Flags: packet.SYN, Seq: r.isn, Options: []byte{2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 1, 1}}, r.now)
	r.core.Connect(&r.s, r.now)
	r.reply = packet.Reply{Flags: packet.SYN | packet.ACK, Seq: r.target, Ack: r.isn + 1, Window: 65535}
	r.reply.MSS, r.reply.WindowScale, r.reply.SACKOK = 1460, 7, true
	r.core.Reply(&r.s, &r.reply, r.now)
	r.core.Output(&r.s, r.now)
	r.seq, r.ack, r.target = r.isn+1, 1000, r.target+1
	r.reply.Options = packet.Options{WindowScale: packet.NoWindowScale}
	return r
}

// turn is one request with its answer.
func (r *replay) turn() {
	r.now += Millisecond
	r.data = packet.Segment{Flags: packet.ACK | packet.PSH, Seq: r.seq, Ack: r.ack, Payload: r.request, Len: len(r.request)}
	r.core.Client(&r.s, &r.data, r.now)
	r.core.Output(&r.s, r.now)
	r.core.FreeSent()
	r.seq += uint32(len(r.request))

	r.reply.Flags, r.reply.Seq, r.reply.Ack, r.reply.Len = packet.ACK|packet.PSH, r.target, r.seq, r.answer
	r.core.Reply(&r.s, &r.reply, r.now)
	r.core.Output(&r.s, r.now)
	r.core.FreeSent()
	r.target += r.answer
	r.ack += r.answer

	r.pure = packet.Segment{Flags: packet.ACK, Seq: r.seq, Ack: r.ack}
	r.core.Client(&r.s, &r.pure, r.now)
	r.core.Output(&r.s, r.now)
	r.core.FreeSent()
	_ = r.s.Deadline(r.core)
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	r := newReplay(300, 2000)
	for range 2000 {
		r.turn() // pools learn the usual size
	}
	if n := testing.AllocsPerRun(500, r.turn); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	st := &r.core.Stats
	if st.Delivered != st.Accepted || st.TurnsCopied < 2400 || r.core.Held() != 0 {
		t.Errorf("%d held, %+v", r.core.Held(), *st)
	}
}

func benchmarkTurn(b *testing.B, request, answer int) {
	r := newReplay(request, answer)
	for range 2000 {
		r.turn()
	}
	b.ReportAllocs()
	b.SetBytes(int64(request))
	b.ResetTimer()
	for range b.N {
		r.turn()
	}
}

func BenchmarkRequest300(b *testing.B) { benchmarkTurn(b, 300, 2000) }

func BenchmarkRequest14k(b *testing.B) { benchmarkTurn(b, 14_000, 2000) }
