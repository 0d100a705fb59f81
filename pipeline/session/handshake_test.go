package session

import (
	"net/netip"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func TestSYNCarriesTheClientsOptionsWithinThePath(t *testing.T) {
	v6 := packet.AddrFrom(netip.MustParseAddr("2001:db8::1"))
	mss := func(n uint16) []byte { return []byte{2, 4, byte(n >> 8), byte(n)} }
	all := func(n uint16) []byte {
		return append(mss(n), 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 9)
	}
	tests := []struct {
		name    string
		options []byte
		mtu     uint16
		bound   int // -D
		ipv6    bool
		want    packet.Options
	}{
		{"as the client's", all(1380), 1500, 0, false, packet.Options{MSS: 1380, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
		{"bounded by the MTU", all(8960), 1500, 0, false, packet.Options{MSS: 1460, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
		{"IPv6 headers are longer", all(8960), 1500, 0, true, packet.Options{MSS: 1440, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
		{"jumbo frames", all(8960), 9000, 0, false, packet.Options{MSS: 8960, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
		{"bounded by the configuration", all(1460), 1500, 1200, false, packet.Options{MSS: 1200, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
		{"the configuration does not widen the path", all(8960), 1500, 4000, false, packet.Options{MSS: 1460, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
		{"no options", nil, 1500, 0, false, packet.Options{MSS: 536, WindowScale: packet.NoWindowScale}},
		{"MSS alone", mss(1000), 1500, 0, false, packet.Options{MSS: 1000, WindowScale: packet.NoWindowScale}},
		{"SACK without timestamps", append(mss(1460), 1, 1, 4, 2), 1500, 0, false, packet.Options{MSS: 1460, WindowScale: packet.NoWindowScale, SACKOK: true}},
		{"timestamps without SACK", append(mss(1460), 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0), 1500, 0, false, packet.Options{MSS: 1460, WindowScale: packet.NoWindowScale, HasTimestamp: true}},
		{"scale alone", append(mss(1460), 1, 3, 3, 4), 1500, 0, false, packet.Options{MSS: 1460, WindowScale: 4}},
		{"a tiny MTU", all(1460), 68, 0, true, packet.Options{MSS: 64, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
		{"an MSS of zero", all(0), 1500, 0, false, packet.Options{MSS: 536, WindowScale: 9, SACKOK: true, HasTimestamp: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, Config{SynMSS: test.bound})
			b.s.MTU = test.mtu
			if test.ipv6 {
				b.s.Target.Addr = v6
			}
			g := b.segment(packet.SYN, 0, 0, 0)
			g.Options = test.options
			b.core.Client(&b.s, &g, b.now)
			b.settle()
			b.want("S 0")
			b.syn.TSVal = 0
			if b.syn != test.want {
				t.Errorf("options %+v, want %+v", b.syn, test.want)
			}
		})
	}
}

func TestSegmentsFitTheTargetsMSS(t *testing.T) {
	tests := []struct {
		name      string
		mss       uint16
		timestamp bool
		ipv6      bool
		want      int
	}{
		{"timestamps take room", 1460, true, false, 1448},
		{"no timestamps", 1460, false, false, 1460},
		{"smaller", 900, true, false, 888},
		{"none announced", 0, false, false, 536},
		{"none announced, IPv6", 0, false, true, 1220},
		{"larger than the path", 9000, false, false, 1460},
		{"absurdly small", 1, false, false, 48},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, Config{})
			if test.ipv6 {
				b.s.Target.Addr[0] = 0x20
			}
			g := b.segment(packet.SYN, 0, 0, 0)
			g.Options = []byte{2, 4, 35, 0, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0}
			b.core.Client(&b.s, &g, b.now)
			b.settle()
			r := packet.Reply{Flags: packet.SYN | packet.ACK, Seq: b.target, Ack: b.isn + 1, Window: 65535}
			r.MSS, r.HasTimestamp, r.WindowScale = test.mss, test.timestamp, packet.NoWindowScale
			b.core.Reply(&b.s, &r, b.now)
			b.data(1, 20_000, 1)
			if b.mss != test.want {
				t.Errorf("MSS %d, want %d", b.mss, test.want)
			}
			if b.options.HasTimestamp != test.timestamp {
				t.Errorf("timestamp %v, want %v", b.options.HasTimestamp, test.timestamp)
			}
		})
	}
}

func TestLostSYNIsSentAgainWithBackoff(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.data(1, 100, 1)
	b.want("S 0")
	for _, want := range []Time{Second, 2 * Second, 4 * Second, 4 * Second} {
		if got := b.next(); got < want || got >= want+Second/4 {
			t.Fatalf("after %d ms, want %d and less than a quarter of a second more", got/Millisecond, want/Millisecond)
		}
		b.want("S 0 again")
	}
	b.now += Second
	b.reply(packet.SYN|packet.ACK, 0, 0, 1)
	b.want("PA 1+100 ack 1")
}

func TestSilentTargetEndsTheHandshake(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.data(1, 100, 1)
	start := b.now
	for b.s.state != Closed {
		b.next()
	}
	b.wantClosed(HandshakeTimeout)
	if took := b.now - start; took < 55*Second || took > 65*Second {
		t.Errorf("took %d s, want about a minute", took/Second)
	}
	if n := b.core.Stats.Dropped[HandshakeTimeout]; n != 100 {
		t.Errorf("%d bytes are counted, want 100", n)
	}
}

func TestRefusedSYNIsSentAgain(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.data(1, 100, 1)
	b.want("S 0")
	b.reply(packet.RST|packet.ACK, 0, 0, 1)
	b.wantState(SynSent)
	b.next()
	b.want("S 0 again")
	b.accept()
	b.want("PA 1+100 ack 1")
	if b.core.Stats.Refused != 1 {
		t.Errorf("refused %d", b.core.Stats.Refused)
	}
}

func TestAlwaysRefusedSYNEndsTheSession(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.client(packet.ACK, 1, 0, 1)
	for b.s.state != Closed {
		b.reply(packet.RST|packet.ACK, 0, 0, 1)
		b.next()
	}
	b.wantClosed(HandshakeRefused)
}

func TestForeignAnswersToTheSYNAreIgnored(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.want("S 0")
	b.reply(packet.SYN|packet.ACK, 0, 0, 77)
	b.reply(packet.RST|packet.ACK, 0, 0, 77)
	b.reply(packet.RST, 0, 0, 0)
	b.reply(packet.ACK, 0, 0, 1)
	b.reply(packet.SYN, 0, 0, 0)
	b.want()
	b.wantState(SynSent)
	if b.core.Stats.Refused != 0 {
		t.Errorf("refused %d", b.core.Stats.Refused)
	}
}

func TestRepeatedSYNACKIsAcknowledged(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.reply(packet.SYN|packet.ACK, 0, 0, 1)
	b.want("A 1 ack 1")
}

func TestRepeatedSYNOfTheClientIsNotANewConnection(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	g := b.segment(packet.SYN, 0, 0, 0)
	if b.core.Restarts(&b.s, &g) {
		t.Error("the same SYN restarts")
	}
	b.core.Client(&b.s, &g, b.now)
	b.settle()
	b.want()
	if g.Seq++; !b.core.Restarts(&b.s, &g) {
		t.Error("another SYN does not restart")
	}
	g.Flags |= packet.ACK
	if b.core.Restarts(&b.s, &g) {
		t.Error("a SYN-ACK restarts")
	}
}

func TestPayloadOfASYNIsCounted(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 1, 50, 0)
	if b.core.Stats.Dropped[FastOpen] != 50 || b.core.Stats.Accepted != 50 {
		t.Errorf("%+v", b.core.Stats)
	}
}

func TestFixedRoundTripIsNotMeasured(t *testing.T) {
	b := newBed(t, Config{RTT: 40 * Millisecond})
	b.open()
	if Time(b.s.snd.srtt) != 40*Millisecond {
		t.Errorf("srtt %d", b.s.snd.srtt)
	}
}

func TestWhatIsHalfOpenInProductionStaysSoAtTheTarget(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.want("S 0")
	b.accept()
	b.want()
	b.accept() // the target asks again
	b.want()
	b.client(packet.ACK, 1, 0, 1)
	b.want("A 1 ack 1")

	b = newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.accept()
	b.wait(halfOpen)
	b.wantClosed(ClientSilent)
}

func TestATargetThatKeepsAnOldConnectionIsToldAndAskedAgainAtOnce(t *testing.T) {
	b := newBed(t, Config{})
	b.client(packet.SYN, 0, 0, 0)
	b.want("S 0")
	b.reply(ackOnly, 7000, 0, 5000) // it acknowledges what came last on the old one
	b.want("R 5000")
	b.next()
	b.want("S 0 again")
	b.reply(ackOnly, 7000, 0, 5000)
	b.reply(packet.RST|packet.ACK, 7000, 0, 5000)
	b.want() // once is enough
	b.accept()
}
