package session

import (
	"testing"
)

// two has sent a first request, and captured a second one that the client
// wrote when it had read 1000 bytes of production.
func two(t *testing.T, cfg Config) *bed {
	b := newBed(t, cfg)
	b.open()
	b.data(1, 100, 1)
	b.want("PA 1+100 ack 1")
	b.data(101, 50, 1001)
	return b
}

func TestTurnWaitsForTheWholeResponse(t *testing.T) {
	b := two(t, Config{})
	b.reply(ackOnly, 1, 600, 101)
	b.want()
	b.reply(ackOnly, 601, 399, 101)
	b.want()
	b.reply(ackOnly, 1000, 1, 101)
	b.want("PA 101+50 ack 1001")
	if n := b.core.Stats.TurnsCopied; n != 1 {
		t.Errorf("%d turns copied", n)
	}
}

func TestTurnOfOneAcknowledgmentIsReleasedAtOnce(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.data(101, 100, 1)
	b.data(201, 100, 1)
	b.want("PA 1+100 ack 1", "PA 101+100 ack 1", "PA 201+100 ack 1")
}

func TestLowerAcknowledgmentDoesNotMakeTheNextATurn(t *testing.T) {
	b := two(t, Config{})
	b.reply(pushed, 1, 1000, 101)
	b.want("PA 101+50 ack 1001")
	b.data(151, 50, 1) // cut off before the response, sent again later
	b.data(201, 50, 1001)
	b.want("PA 151+50 ack 1001", "PA 201+50 ack 1001")
}

func TestSomewhatShorterResponseIsTakenAfterItsPush(t *testing.T) {
	b := two(t, Config{})
	b.reply(pushed, 1, 600, 101)
	b.want()
	if d := b.next(); d != nearlyWhole {
		t.Errorf("after %d us", d)
	}
	b.want("PA 101+50 ack 601")
	// The next is compared with what is left of production's.
	b.data(151, 50, 2001)
	b.reply(pushed, 601, 1000, 151)
	b.want("PA 151+50 ack 1601")
}

func TestMuchShorterResponseIsTakenAfterASilence(t *testing.T) {
	b := two(t, Config{})
	b.reply(pushed, 1, 100, 101)
	b.wait(silence - Millisecond)
	b.want()
	b.wait(10 * Millisecond)
	b.want("PA 101+50 ack 101")
}

func TestShortResponseWithoutPushIsAwaited(t *testing.T) {
	b := two(t, Config{})
	b.reply(ackOnly, 1, 900, 101)
	b.wait(Second)
	b.want("A 101 ack 901")
	b.reply(pushed, 901, 50, 101)
	b.wait(nearlyWhole)
	b.want("PA 101+50 ack 951")
}

func TestSilentTargetIsWaitedForWithFallingPatience(t *testing.T) {
	b := two(t, Config{})
	b.reply(ackOnly, 1, 0, 101)
	seq, ack := 151, 2001
	for i, want := range []Time{patience, patience / 2, patience / 4, patience / 8, patience / 16} {
		if d := b.next(); d != want {
			t.Fatalf("turn %d after %d ms, want %d", i, d/Millisecond, want/Millisecond)
		}
		b.reply(ackOnly, 1, 0, seq)
		b.data(seq, 60+i, ack)
		seq, ack = seq+60+i, ack+1000
	}
	if n := b.core.Stats.TurnsUnanswered; n != 5 {
		t.Errorf("%d turns unanswered", n)
	}
}

// A client that answers what its server says of its own accord, as a ping, does
// so with messages of one length.
func TestPatienceIsNotSpentTwiceOnMessagesOfALength(t *testing.T) {
	b := two(t, Config{})
	b.reply(ackOnly, 1, 0, 101)
	if d := b.next(); d != patience {
		t.Fatalf("after %d ms", d/Millisecond)
	}
	b.reply(ackOnly, 1, 0, 151)
	seq, ack, have := 151, 2001, 1
	for range 3 {
		b.data(seq, 50, ack)
		if d := b.next(); d != minPatience {
			t.Errorf("after %d ms", d/Millisecond)
		}
		b.reply(ackOnly, have, 0, seq+50)
		b.data(seq+50, 70, ack+1000) // one that is answered
		b.reply(pushed, have, 1000, seq+50)
		b.reply(ackOnly, have+1000, 0, seq+120)
		seq, ack, have = seq+120, ack+2000, have+1000
	}
}

func TestPatienceDoesNotRunWhileTheTurnIsOnItsWay(t *testing.T) {
	b := two(t, Config{})
	b.wait(20 * Second) // nothing is acknowledged
	for _, s := range b.log {
		if s != "PA 1+100 ack 1 again" {
			t.Fatalf("sent %q", b.log)
		}
	}
	b.log = b.log[:0]
	b.reply(ackOnly, 1, 0, 101)
	b.want()
	if d := b.next(); d != patience {
		t.Errorf("after %d ms", d/Millisecond)
	}
	b.want("PA 101+50 ack 1")
}

func TestNoWaitReleasesRequestsAtOnce(t *testing.T) {
	b := two(t, Config{NoWait: true})
	b.want("PA 101+50 ack 1")
}

func TestServerThatSpeaksFirstIsAwaited(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(ackOnly, 1, 0, 81) // the greeting was read
	b.data(1, 100, 81)
	b.want()
	b.reply(pushed, 1, 80, 1)
	b.want("PA 1+100 ack 81")
}

func TestLongerResponseDoesNotCountForTheNext(t *testing.T) {
	b := two(t, Config{})
	b.reply(pushed, 1, 1100, 101) // 10 % longer
	b.want()
	if d := b.next(); d != nearlyWhole {
		t.Errorf("after %d us", d)
	}
	b.want("PA 101+50 ack 1101")
	b.data(151, 50, 2001)
	b.reply(ackOnly, 1101, 950, 151)
	b.want()
	b.reply(pushed, 2051, 50, 151)
	b.want("PA 151+50 ack 2101")
}

func TestEarlyResponsesToPipelinedRequestsCount(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1) // three requests
	b.reply(pushed, 1, 3000, 101)
	b.log = b.log[:0]
	b.data(101, 50, 1001) // a fourth, when the first response had been read
	b.want("PA 101+50 ack 3001")
	b.data(151, 50, 2001)
	b.want("PA 151+50 ack 3001")
	b.data(201, 50, 3001)
	b.want("PA 201+50 ack 3001")
	b.data(251, 50, 4001) // for this one the answer to the fourth is needed
	b.want()
	b.reply(pushed, 3001, 1000, 251)
	b.want("PA 251+50 ack 4001")
}

func TestTurnEndsWhenTheClientHasReadTheResponse(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.reply(pushed, 1, 200, 101)
	if b.core.Held() == 0 {
		t.Error("the unanswered turn is not kept")
	}
	b.client(ackOnly, 101, 0, 201)
	if n := b.core.Stats.TurnsCopied; n != 1 || b.core.Held() != 0 {
		t.Errorf("%d turns copied, %d bytes held", n, b.core.Held())
	}
}

func TestLongTurnIsNotKept(t *testing.T) {
	b := newBed(t, Config{})
	b.scale = 7
	b.open()
	sent := 0
	for seq := 1; seq < 600_000; seq += 30_000 {
		b.data(seq, 30_000, 1)
		for ; sent < seq+29_999; b.reply(ackOnly, 1, 0, 1+sent) {
			sent = int(b.s.snd.nxt.Sub(Seq(b.isn)) - 1)
		}
	}
	if b.core.Held() > maxKept+30_000 {
		t.Errorf("%d bytes held", b.core.Held())
	}
	// It cannot be sent again, and its rest is no request.
	b.log = b.log[:0]
	b.reply(reset, 1, 0, 1+sent)
	b.wantState(Watching)
	b.data(1+sent, 100, 1)
	b.want()
	b.data(101+sent, 100, 201)
	b.want("S " + itoa(100+sent))
	if n := b.core.Stats.TurnsLost; n != 1 {
		t.Errorf("%d turns lost", n)
	}
}
