package session

import (
	"encoding/binary"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// mill drives one session with whatever a fuzzer writes, and looks at the
// invariants after each step.
type mill struct {
	t    *testing.T
	core *Core
	s    Session
	now  Time
	in   []byte
	sent int // segments in this step
	data []byte
}

// millMemory is the bound of the mill's core.
const millMemory = 1 << 20

func newMill(t *testing.T, in []byte) *mill {
	m := &mill{t: t, now: Second, in: in, data: make([]byte, 1<<16)}
	m.core = New(Config{Memory: millMemory}, m)
	m.s.MTU = 1500
	m.s.Target = targetEnd
	m.core.Begin(&m.s, m.now)
	return m
}

func (m *mill) Send(_ *Session, o *Out) {
	m.sent++
	n := 0
	for _, b := range o.Payload {
		n += len(b)
	}
	if n != o.Len || n > MaxPayload || len(o.Payload) > MaxPieces || len(o.Options)%4 != 0 || o.MSS < 0 {
		m.t.Fatalf("bad segment: %d bytes of %d in %d pieces, %d of options", n, o.Len, len(o.Payload), len(o.Options))
	}
}

func (m *mill) byte() byte {
	if len(m.in) == 0 {
		return 0
	}
	b := m.in[0]
	m.in = m.in[1:]
	return b
}

// near is a number not far from n, and now and then any.
func (m *mill) near(seq Seq) uint32 {
	var v [4]byte
	n := uint32(seq)
	switch b := m.byte(); {
	case b < 100:
		return n
	case b < 180:
		return n + uint32(int8(m.byte()))
	case b < 250:
		v[0], v[1] = m.byte(), m.byte()
		return n + uint32(int16(binary.LittleEndian.Uint16(v[:])))
	}
	for i := range v {
		v[i] = m.byte()
	}
	return binary.LittleEndian.Uint32(v[:])
}

func (m *mill) length() int {
	switch b := m.byte(); {
	case b < 60:
		return 0
	case b < 250:
		return int(b)
	}
	return int(m.byte())<<8 | int(m.byte())
}

func (m *mill) client(flags packet.Flags) {
	s := &m.s
	g := packet.Segment{Flags: flags, Seq: m.near(s.online.next), Ack: m.near(s.online.ackLast), Len: m.length()}
	g.Payload = m.data[:g.Len]
	if m.byte() > 250 {
		g.Payload = g.Payload[:g.Len/2]
	}
	if flags&packet.SYN != 0 {
		g.Options = m.in[:min(len(m.in), 20)]
		if m.core.Restarts(s, &g) && s.state != Watching {
			m.core.Superseded(s, m.now)
			return
		}
	}
	m.core.Client(s, &g, m.now)
}

func (m *mill) reply(flags packet.Flags) {
	s := &m.s
	r := packet.Reply{Flags: flags, Seq: m.near(s.rcv.nxt), Len: uint32(m.length())}
	switch how := m.byte(); {
	case how < 128:
		r.Ack, r.Window = m.near(s.snd.una), 20_000
	case how < 160:
		r.Ack = m.near(s.snd.una) // the window is closed
	default:
		r.Ack, r.Window = m.near(s.snd.nxt), uint16(m.near(20_000))
	}
	r.WindowScale, r.MSS = m.byte(), uint16(m.near(1460))
	if r.WindowScale > 14 {
		r.WindowScale = packet.NoWindowScale
	}
	r.SACKOK, r.HasTimestamp, r.TSVal = m.byte() < 200, m.byte() < 128, m.near(Seq(s.rcv.tsRecent))
	r.SACKCount = m.byte() % (packet.MaxSACK + 1)
	for i := range r.SACKCount {
		r.SACK[i] = packet.SACKBlock{Start: m.near(s.snd.una), End: m.near(s.snd.nxt)}
	}
	m.core.Reply(s, &r, m.now)
}

// handshake brings the session to Established, so that a fuzzer need not find
// the way.
func (m *mill) handshake() {
	m.core.Client(&m.s, &packet.Segment{Flags: packet.SYN, Seq: 1<<32 - 300, Options: []byte{2, 4, 5, 180, 4, 2, 1, 3, 3, 7, 1, 1}}, m.now)
	m.settle()
	r := packet.Reply{Flags: packet.SYN | packet.ACK, Seq: 1<<32 - 200, Ack: uint32(m.s.snd.iss) + 1, Window: 20_000}
	r.SACKOK, r.WindowScale, r.MSS = m.byte() < 200, 2, uint16(50+int(m.byte()))
	m.core.Reply(&m.s, &r, m.now)
	m.settle()
}

func (m *mill) settle() {
	s := &m.s
	for range 4 {
		m.core.Output(s, m.now)
		if s.state != Opening {
			break
		}
		m.core.Connect(s, m.now)
	}
	m.core.FreeSent()
	if m.sent > 20_000 {
		m.t.Fatalf("%d segments in one step", m.sent)
	}
	m.sent = 0
	if msg := invariants(m.core, s, m.now); msg != "" {
		m.t.Fatalf("%s: %+v", msg, *s)
	}
	st := &m.core.Stats
	sum := st.Delivered + st.Buffered
	for _, n := range st.Dropped {
		sum += n
	}
	if st.Accepted != sum || int64(st.Buffered) < 0 {
		m.t.Fatalf("accounts: %+v", *st)
	}
	if m.core.Held() > millMemory {
		m.t.Fatalf("%d bytes held", m.core.Held())
	}
	if s.online.aheadN > maxAhead {
		m.t.Fatalf("%d pieces ahead", s.online.aheadN)
	}
}

func (m *mill) timer() {
	s := &m.s
	if s.state == Closed {
		return
	}
	m.now = max(m.now, s.Deadline(m.core))
	m.core.Timer(s, m.now)
	m.settle()
	if s.state != Closed && s.Deadline(m.core) <= m.now {
		m.t.Fatalf("still due after it ran: %+v", *s)
	}
}

// run reads steps; share of 256 says how many of them are the client's.
func (m *mill) run(share byte) {
	for len(m.in) > 0 {
		switch what := m.byte(); {
		case what >= 240:
			m.timer()
		case what >= 220:
			m.now += Time(1) << (m.byte() % 26)
		default:
			flags := packet.ACK
			if b := m.byte(); b >= 200 {
				flags = packet.Flags(m.byte())
			} else if b >= 100 {
				flags |= packet.PSH
			}
			if what < share {
				m.client(flags)
			} else {
				m.reply(flags)
			}
		}
		if m.s.state == Closed {
			m.s = Session{MTU: 1500, Target: targetEnd}
			m.core.Begin(&m.s, m.now)
			m.handshake()
		}
		m.settle()
	}
	m.core.Abort(&m.s, Shutdown, m.now)
	m.core.FreeSent()
	if m.core.Held() != 0 || m.core.Stats.Buffered != 0 {
		m.t.Fatalf("%d bytes held at the end, %d buffered", m.core.Held(), m.core.Stats.Buffered)
	}
}

// seeds are bytes of a generator, long enough for some hundred steps.
func seeds(f *testing.F) {
	f.Add([]byte{})
	x := uint64(1)
	for range 60 {
		b := make([]byte, 4000)
		for i := range b {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			b[i] = byte(x >> 24)
		}
		f.Add(b)
	}
}

// FuzzClient mostly invents what the capture shows of the client.
func FuzzClient(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		m := newMill(t, in)
		if m.byte() < 200 {
			m.handshake()
		}
		m.run(150)
	})
}

// FuzzReply mostly invents what the target answers.
func FuzzReply(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		m := newMill(t, in)
		m.handshake()
		m.run(70)
	})
}
