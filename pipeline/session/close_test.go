package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func TestClientClosesFirst(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.client(fin, 101, 0, 201)
	b.want("FA 101 ack 201")
	b.wantState(Closing)
	b.reply(ackOnly, 201, 0, 102)
	b.reply(fin, 201, 0, 102)
	b.want("A 102 ack 202")
	b.wantState(TimeWait)
	b.reply(fin, 201, 0, 102) // our acknowledgment was lost
	b.want("A 102 ack 202")
	b.wait(timeWait)
	b.wantClosed(Finished)
}

func TestServerClosesFirst(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.reply(fin, 201, 0, 101)
	b.want() // the client's FIN is about to come
	b.client(fin, 101, 0, 202)
	b.want("FA 101 ack 202")
	b.reply(ackOnly, 202, 0, 102)
	b.wantState(TimeWait)
	b.wait(timeWait)
	b.wantClosed(Finished)
}

func TestBothCloseAtOnce(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.client(fin, 101, 0, 201)
	b.reply(fin, 201, 0, 101)
	b.want("FA 101 ack 201", "A 102 ack 202")
	b.wantState(Closing)
	b.reply(ackOnly, 202, 0, 102)
	b.wantState(TimeWait)
}

func TestFINWaitsForTheResponse(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.client(fin, 101, 0, 201)
	b.want("PA 1+100 ack 1")
	b.reply(pushed, 1, 200, 101)
	b.want("FA 101 ack 201")
}

func TestHalfCloseIsSentWithItsRequest(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(fin|packet.PSH, 1, 100, 1)
	b.want("PA 1+100 ack 1", "FA 101 ack 1")
	b.reply(ackOnly, 1, 0, 102)
	b.reply(fin, 1, 200, 102)
	b.want("A 102 ack 202")
	b.wantState(TimeWait)
}

func TestHalfClosedRequestIsGivenTimeForItsAnswer(t *testing.T) {
	b := newBed(t, Config{NoResponse: 60 * Second})
	b.open()
	b.client(fin|packet.PSH, 1, 100, 1)
	b.want("PA 1+100 ack 1", "FA 101 ack 1")
	b.reply(ackOnly, 1, 0, 102)
	b.wait(59 * Second)
	b.want()
	b.reply(fin|packet.PSH, 1, 200, 102)
	b.want("A 102 ack 202")
	b.wantState(TimeWait)
}

func TestTargetThatNeverClosesIsReset(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(fin, 1, 0, 1)
	b.reply(ackOnly, 1, 0, 2)
	b.wait(closeTimeout)
	b.want("FA 1 ack 1", "RA 2 ack 1")
	b.wantClosed(Finished)
}

func TestRSTFollowsTheDeliveryOfWhatWasBefore(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.client(packet.RST, 101, 0, 0)
	b.want("PA 1+100 ack 1")
	b.reply(ackOnly, 1, 0, 101)
	b.want("RA 101 ack 1")
	b.wantClosed(Finished)
}

func TestRSTWithoutACKWaitsForWhatTheClientHadRead(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.client(ackOnly, 101, 0, 201)
	b.client(packet.RST, 101, 0, 0)
	b.reply(ackOnly, 1, 0, 101)
	b.want("PA 1+100 ack 1")
	b.reply(pushed, 1, 200, 101)
	b.want("RA 101 ack 201")
	b.wantClosed(Finished)
}

func TestWaitingTurnGoesOnInANewConnectionAfterTheTargetsFIN(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.data(101, 50, 201)
	b.reply(fin, 1, 200, 101) // the answer, and its end
	b.want("PA 1+100 ack 1", "FA 101 ack 202", "S 100")
	b.wantState(SynSent)
	b.accept()
	b.want("PA 101+50 ack 1") // the answered turn is not sent again
	b.reply(pushed, 1, 300, 151)
	b.data(151, 50, 501)
	b.want("PA 151+50 ack 301")
	st := b.core.Stats
	if st.Reopened != 1 || st.TurnsCopied != 2 || st.TurnsLost != 0 {
		t.Errorf("%+v", st)
	}
}

func TestUnansweredTurnIsSentAgainAfterTheTargetsFIN(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.data(101, 50, 201)
	b.want("PA 101+50 ack 201")
	b.reply(fin, 201, 0, 151)
	b.wait(peerFINGrace)
	b.want("A 151 ack 202", "FA 151 ack 202", "S 100")
	b.accept()
	b.want("PA 101+50 ack 1")
	if n := b.core.Stats.Delivered; n != 150 {
		t.Errorf("%d bytes delivered", n)
	}
	b.reply(ackOnly, 1, 0, 151)
	if n := b.core.Stats.Delivered; n != 150 {
		t.Errorf("delivered twice: %d bytes", n)
	}
}

func TestTargetsFINAmidstATurnIsAnsweredByRSTWhereBytesAreInFlight(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.data(101, 50, 201)
	b.reply(fin, 201, 0, 101)
	b.wait(peerFINGrace)
	b.want("PA 101+50 ack 201", "A 151 ack 202", "PA 101+50 ack 202 again", "RA 151 ack 202", "S 100")
}

func TestIdleConnectionThatTheTargetClosedIsParked(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.client(ackOnly, 101, 0, 201)
	b.reply(fin, 201, 0, 101)
	if d := b.next(); d != delayedACK {
		t.Errorf("acknowledged after %d ms", d/Millisecond)
	}
	b.want("A 101 ack 202")
	if d := b.next(); d != peerFINGrace-delayedACK {
		t.Errorf("closed %d ms later", d/Millisecond)
	}
	b.want("FA 101 ack 202")
	b.reply(ackOnly, 202, 0, 102)
	b.wantState(Parked)
	if b.s.Connected() {
		t.Error("a parked session keeps its endpoint")
	}
	b.data(101, 50, 1)
	b.want() // written before the client had read the answer: the rest of a request
	b.wantState(Watching)
	b.data(151, 50, 201)
	b.want("S 150")
}

func TestParkedSessionReopensWithTheNextTurn(t *testing.T) {
	for _, when := range []string{"while closing", "parked"} {
		t.Run(when, func(t *testing.T) {
			b := newBed(t, Config{})
			b.open()
			b.turn(1, 1, 1)
			b.client(ackOnly, 101, 0, 201)
			b.data(101, 50, 201)
			b.reply(fin, 201, 200, 151)
			b.client(ackOnly, 151, 0, 401)
			b.wait(peerFINGrace)
			b.want("PA 101+50 ack 201", "A 151 ack 402", "FA 151 ack 402")
			if when == "parked" {
				b.reply(ackOnly, 402, 0, 152)
				b.wantState(Parked)
				b.data(151, 1, 401)
			} else {
				b.data(151, 1, 401) // one byte, as long as our FIN
				b.want()
				b.reply(ackOnly, 402, 0, 152)
			}
			b.want("S 150")
			if n := b.core.Stats.Delivered; n != 150 {
				t.Errorf("%d bytes delivered", n)
			}
			b.accept()
			b.want("PA 151+1 ack 1")
		})
	}
}

func TestParkedSessionEndsWithItsClient(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.reply(fin, 201, 0, 101)
	b.client(ackOnly, 101, 0, 201)
	b.wait(peerFINGrace)
	b.reply(ackOnly, 202, 0, 102)
	b.wantState(Parked)
	b.client(fin, 101, 0, 202)
	b.wantClosed(Finished)
}

func TestTurnThatIsAlwaysResetIsGivenUp(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.data(101, 50, 201)
	for range maxReopens {
		b.want("PA 1+100 ack 1")
		b.reply(reset, 1, 0, 101)
		b.want("S 0")
		b.accept()
	}
	b.want("PA 1+100 ack 1")
	b.reply(reset, 1, 0, 101)
	b.want() // nor is the next turn tried
	st := &b.core.Stats
	if st.TurnsLost != 2 || st.Dropped[ResetByTarget] != 150 || st.Closed[ResetByTarget] != 1 || st.Reopened != maxReopens {
		t.Errorf("%+v", st)
	}
}

func TestSessionThatWasGivenUpTriesAgainLaterAndLater(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.client(ackOnly, 101, 0, 201)
	for range maxReopens {
		b.reply(reset, 1, 0, 101)
		b.accept()
	}
	b.reply(reset, 1, 0, 101)
	seq, ack := 101, 201
	for _, wait := range []Time{Second, 2 * Second, 4 * Second, 8 * Second} {
		b.log = b.log[:0]
		b.wait(wait - Millisecond)
		b.data(seq, 50, ack)
		b.want()
		b.wait(Millisecond)
		seq, ack = seq+50, ack+200
		b.data(seq, 50, ack)
		b.want("S " + itoa(seq-1))
		seq, ack = seq+50, ack+200
		b.client(ackOnly, seq, 0, ack)
		b.accept()
		b.reply(reset, 1, 0, seq) // one connection, not four
	}
	b.wait(16 * Second)
	b.data(seq, 50, ack)
	b.accept()
	b.reply(pushed, 1, 100, seq+50)
	b.client(ackOnly, seq+50, 0, ack+200)
	b.reply(reset, 101, 0, seq+50)
	b.log = b.log[:0]
	b.data(seq+50, 50, ack+200) // an answer makes all good
	b.want("S " + itoa(seq+49))
}

func TestTargetThatClosesBeforeItGreetsIsNotAskedForever(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 81) // production greeted with 80 bytes
	for i := 0; b.s.state != Watching; i++ {
		if i > maxReopens {
			t.Fatal("still asking")
		}
		b.reply(fin, 1, 0, 1)
		b.wait(peerFINGrace)
		if b.s.state == SynSent {
			b.accept()
		}
	}
	if st := b.core.Stats; st.TurnsLost != 1 || st.Dropped[ClosedByTarget] != 100 {
		t.Errorf("%+v", st)
	}
}

func TestRestOfATurnThatWasGivenUpIsNotARequest(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 1000, 1) // an upload, of which more is to come
	for range maxReopens {
		b.reply(reset, 1, 0, 1)
		b.accept()
	}
	b.log = b.log[:0]
	b.reply(reset, 1, 0, 1)
	b.data(1001, 1000, 1)
	b.wait(Second)
	b.want()
	b.data(2001, 100, 201)
	b.want("S 2000")
	b.accept()
	b.want("PA 2001+100 ack 1")
	st := b.core.Stats
	if st.Dropped[ResetByTarget] != 1000 || st.Dropped[Midstream] != 1000 || st.TurnsLost != 1 || st.Midstream != 0 {
		t.Errorf("%+v", st)
	}
}

func TestResetOfTheLastRequestIsCounted(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(fin, 1, 100, 1)
	b.reply(reset, 1, 0, 101)
	b.wantClosed(ResetByTarget)
	if b.core.Stats.TurnsCopied != 0 {
		t.Errorf("%+v", b.core.Stats)
	}
}

func TestResetAfterTheLastResponseIsAProperEnd(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.client(fin, 101, 0, 201)
	b.reply(reset, 201, 0, 101)
	b.wantClosed(Finished)
}

func TestResetOfAnIdleConnectionParksIt(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.client(ackOnly, 101, 0, 201)
	b.reply(reset, 201, 0, 101)
	b.wantState(Parked)
	b.data(101, 50, 301)
	b.want("S 100")
}

func TestSilentClientIsGivenUp(t *testing.T) {
	b := newBed(t, Config{Keepalive: 50 * Second})
	b.open()
	b.turn(1, 1, 1)
	start := b.s.online.seenAt
	for b.s.state != Closed {
		b.next()
	}
	b.want("RA 101 ack 201")
	b.wantClosed(ClientSilent)
	if d := b.now - start; d != 50*Second {
		t.Errorf("after %d s", d/Second)
	}
}

func TestSupersededSessionEndsWhenItsPayloadIsDelivered(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.core.Superseded(&b.s, b.now)
	b.settle()
	b.want("PA 1+100 ack 1")
	b.reply(ackOnly, 1, 0, 101)
	b.want("RA 101 ack 1")
	b.wantClosed(Finished)
}

func TestDrainClosesAnIdleConnection(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.core.Drain(&b.s, b.now)
	b.settle()
	b.want("FA 101 ack 201")
	b.data(101, 10, 201) // too late
	b.reply(fin, 201, 0, 102)
	b.want("A 102 ack 202")
	b.wait(timeWait)
	b.wantClosed(Finished)
}

func TestDrainLetsPayloadOnItsWayArrive(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.core.Drain(&b.s, b.now)
	b.settle()
	b.want("PA 1+100 ack 1")
	b.wantState(Established)
}

func TestAbortResetsTheConnection(t *testing.T) {
	tests := []struct {
		name string
		do   func(b *bed)
		want []string
	}{
		{"watching", func(b *bed) {}, nil},
		{"opening", func(b *bed) { b.client(packet.SYN, 0, 0, 0); b.data(1, 10, 1) }, []string{"S 0", "R 1"}},
		{"established", func(b *bed) { b.open(); b.data(1, 10, 1) }, []string{"PA 1+10 ack 1", "RA 11 ack 1"}},
		{"closing", func(b *bed) { b.open(); b.client(fin, 1, 0, 1) }, []string{"FA 1 ack 1", "RA 2 ack 1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, Config{})
			test.do(b)
			b.core.Abort(&b.s, Shutdown, b.now)
			b.settle()
			b.want(test.want...)
			b.wantClosed(Shutdown)
			b.core.Abort(&b.s, Shutdown, b.now)
			b.wantClosed(Shutdown)
		})
	}
}
