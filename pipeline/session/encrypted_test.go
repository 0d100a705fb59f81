package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func TestEncryptedConnectionsAreRecognised(t *testing.T) {
	for _, c := range []struct {
		text      string
		midstream bool
		want      Reason
		ok        bool
	}{
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", false, TLS, true},
		{"\x16\x03\x03\x00\x7a\x01", false, TLS, true},
		{"\x16\x03\x01", false, TLS, true}, // the rest is in the next segment
		{"\x16\x03\x01\x00\x7a\x02", false, 0, false},
		{"\x17\x03\x03\x00\x20abc", true, TLS, true},
		{"\x17\x03\x03\x00\x20abc", false, 0, false},
		{"SSH-2.0-OpenSSH_9.2\r\n", false, SSH, true},
		{"GET / HTTP/1.1\r\n", false, 0, false},
		{"GET / HTTP/1.1\r\n", true, 0, false},
		{"\x16", false, 0, false},
		{"", false, 0, false},
	} {
		if why, ok := Encrypted([]byte(c.text), c.midstream); ok != c.ok || ok && why != c.want {
			t.Errorf("%q, midstream %v: %v, %v", c.text, c.midstream, why, ok)
		}
	}
}

func TestEncryptedConnectionIsResetAndPassedOver(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	copy(b.stream[0:], "SSH-2.0-client")
	b.data(1, 100, 1)
	b.want("RA 1 ack 1")
	b.wantState(Skipping)
	b.data(101, 50, 30)
	b.client(fin, 151, 0, 30)
	b.want()
	st := &b.core.Stats
	if st.Closed[SSH] != 1 || st.Dropped[SSH] != 150 || st.Accepted != 150 || b.core.Held() != 0 {
		t.Errorf("%+v", st)
	}
	b.wait(skippedEnd)
	b.wantState(Closed)
}

func TestEncryptedConnectionIsCopiedWhereAsked(t *testing.T) {
	b := newBed(t, Config{Encrypted: true})
	b.open()
	copy(b.stream[0:], "\x16\x03\x01\x02\x00\x01\x00")
	b.data(1, 100, 1)
	b.want("PA 1+100 ack 1")
}

func TestStartTLSEndsTheCopyWhenWhatCameBeforeIsAnswered(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.data(101, 10, 201)
	copy(b.stream[110:], "\x16\x03\x01\x02\x00\x01\x00")
	b.data(111, 100, 221)
	b.data(211, 100, 300)
	b.client(fin, 311, 0, 300)
	b.want("PA 1+100 ack 1")
	b.reply(pushed, 1, 200, 101)
	b.want("PA 101+10 ack 201")
	b.reply(pushed, 201, 20, 111)
	b.want("RA 111 ack 221")
	b.wantState(Skipping)
	st := &b.core.Stats
	if st.Delivered != 110 || st.Dropped[TLS] != 200 || st.TurnsCopied != 2 || st.TurnsLost != 0 || st.Closed[TLS] != 1 || st.Closed[Finished] != 0 {
		t.Errorf("%+v", st)
	}
}

func TestCopiesShareThePayload(t *testing.T) {
	b := newBed(t, Config{})
	second := Session{ClientEnd: b.s.ClientEnd, Target: b.s.Target, MTU: 1500}
	b.core.Begin(&second, b.now)
	for _, g := range []packet.Segment{b.segment(packet.SYN, 0, 0, 0), b.segment(packet.ACK|packet.PSH, 1, 1000, 1)} {
		b.core.Client(&b.s, &g, b.now)
		b.core.Copy(&second, &g, b.now)
	}
	if n := b.buffers(1000); n != 1 {
		t.Errorf("%d buffers are held for two copies of 1000 bytes", n)
	}
	b.core.Abort(&second, Shutdown, b.now)
	b.core.FreeSent()
	if n := b.buffers(1000); n != 1 {
		t.Errorf("%d buffers are held for the copy that is left", n)
	}
	b.core.Abort(&b.s, Shutdown, b.now)
	b.core.FreeSent()
	if n := b.core.Held(); n != 0 || b.buffers(1000) != 0 {
		t.Errorf("%d bytes are held for nobody", n)
	}
	if st := &b.core.Stats; st.Accepted != 2000 || st.Dropped[Shutdown] != 2000 {
		t.Errorf("%+v", st)
	}
}

// buffers is how many buffers of a size there are.
func (b *bed) buffers(size int) (n int) {
	m := &b.core.pieces.memory
	for i, in := range m.info {
		if i > 0 && m.pages[i] != nil && in.class == classOf[(size+tailSize+unit-1)/unit] {
			n += int(in.used)
		}
	}
	return n
}
