package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func replayedBed(t *testing.T) *bed {
	b := newBed(t, Config{Replayed: true})
	b.core.ClientTime(1000 * Second) // a clock of its own
	return b
}

// clientFire runs the timer if it is due by the clients' time.
func (b *bed) clientFire(t Time) {
	b.t.Helper()
	b.core.ClientTime(t)
	if at, _ := b.s.ClientDeadline(b.core); t >= at {
		b.core.Timer(&b.s, b.now)
		b.settle()
	}
}

func TestARecordedHoleIsPassedByTheTimeOfTheRecording(t *testing.T) {
	b := replayedBed(t)
	b.open()
	b.turn(1, 1, 1)
	b.data(201, 100, 201) // 101 to 200 was not recorded
	b.data(301, 100, 401)
	b.wait(30 * Second) // of the target's time: the replay is slow
	b.want()
	b.clientFire(1002 * Second)
	b.want()
	b.clientFire(1003*Second + 1)
	if b.core.Stats.Dropped[CaptureHole] != 100 || b.core.Stats.Closed[CaptureHole] != 0 {
		t.Errorf("%+v", b.core.Stats)
	}
	b.want("FA 101 ack 201", "S 300")
}

func TestARecordedClientIsSilentByTheTimeOfTheRecordingOnly(t *testing.T) {
	b := replayedBed(t)
	b.open()
	b.turn(1, 1, 1)
	b.client(packet.ACK, 101, 0, 201)
	b.wait(3600 * Second)
	b.wantState(Established)
	b.clientFire(1239 * Second)
	b.wantState(Established)
	b.clientFire(1241 * Second)
	b.wantClosed(ClientSilent)
}

func TestARecordedClientIsNotSilentWhileTheTargetLags(t *testing.T) {
	b := replayedBed(t)
	b.open()
	b.data(1, 100, 1)
	b.data(101, 100, 201) // waits for the answer to the first
	b.log = nil
	b.clientFire(9000 * Second)
	b.wantState(Established)
	b.reply(pushed, 1, 200, 101)
	b.want("PA 101+100 ack 201")
	b.reply(pushed, 201, 200, 201)
	b.client(packet.ACK, 201, 0, 401)
	b.clientFire(9239 * Second)
	b.wantState(Established)
	b.clientFire(9241 * Second)
	b.wantClosed(ClientSilent)
}

func TestBusyIsWhatTheTargetCanDoWithoutTheClient(t *testing.T) {
	b := replayedBed(t)
	busy := func(want bool, when string) {
		t.Helper()
		if b.s.Busy() != want {
			t.Errorf("busy is %v %s", !want, when)
		}
	}
	busy(false, "at first")
	b.client(packet.SYN, 0, 0, 0)
	busy(true, "in the handshake")
	b.accept()
	b.client(packet.ACK, 1, 0, 1)
	busy(false, "when established")
	b.data(1, 100, 1)
	busy(true, "with bytes in flight")
	b.reply(ackOnly, 1, 0, 101)
	busy(false, "with half a request, for all that is known")
	b.client(packet.ACK, 101, 0, 201)
	busy(true, "when the client has read the answer")
	b.reply(pushed, 1, 200, 101)
	busy(false, "when the target has answered")
	b.data(101, 100, 201)
	b.data(201, 100, 401)
	b.reply(ackOnly, 201, 0, 201)
	busy(true, "with a turn that waits")
	b.reply(pushed, 201, 200, 201)
	b.reply(pushed, 401, 200, 301)
	busy(false, "when all is answered")
	b.client(fin, 301, 0, 601)
	b.wantState(Closing)
	busy(true, "while it closes")
	b.reply(fin, 601, 0, 302)
	b.wantState(TimeWait)
	busy(false, "when it is closed")
}

func TestARecordingThatEndsInAConnectionEndsItBehindTheLastAnswer(t *testing.T) {
	t.Run("answer recorded", func(t *testing.T) {
		b := replayedBed(t)
		b.open()
		b.data(1, 100, 1)
		b.client(packet.ACK, 101, 0, 201)
		b.finish()
		b.want("PA 1+100 ack 1")
		b.reply(ackOnly, 1, 0, 101)
		b.want()
		b.reply(pushed, 1, 200, 101)
		b.want("FA 101 ack 201")
		b.reply(fin, 201, 0, 102)
		b.wait(2 * Second)
		b.wantClosed(Finished)
		b.turns(1, 0, 0)
	})
	t.Run("answer not recorded", func(t *testing.T) {
		b := replayedBed(t)
		b.open()
		b.data(1, 100, 1)
		b.finish()
		b.want("PA 1+100 ack 1")
		b.reply(ackOnly, 1, 1000, 101) // the first segment of the answer
		b.wait(5 * Millisecond)
		b.want()
		b.reply(pushed, 1001, 500, 101)
		b.want()
		b.wait(100 * Millisecond)
		b.want("FA 101 ack 1501")
		b.reply(fin, 1501, 0, 102)
		b.wait(2 * Second)
		b.wantClosed(Finished)
		b.turns(1, 0, 0)
	})
	t.Run("no answer", func(t *testing.T) {
		b := replayedBed(t)
		b.open()
		b.data(1, 100, 1)
		b.finish()
		b.reply(ackOnly, 1, 0, 101)
		b.wait(lastAnswer - Millisecond)
		b.want("PA 1+100 ack 1")
		b.wait(Millisecond)
		b.want("FA 101 ack 1")
		b.reply(fin, 1, 0, 102)
		b.wait(2 * Second)
		b.wantClosed(Finished)
		b.turns(1, 0, 0) // as production, for all that is known
	})
	t.Run("idle", func(t *testing.T) {
		b := replayedBed(t)
		b.open()
		b.turn(1, 1, 1)
		b.client(packet.ACK, 101, 0, 201)
		b.finish()
		b.want("FA 101 ack 201")
		b.reply(fin, 201, 0, 102)
		b.wait(2 * Second)
		b.wantClosed(Finished)
		b.turns(1, 0, 0)
	})
	t.Run("ended already", func(t *testing.T) {
		b := replayedBed(t)
		b.open()
		b.client(fin, 1, 0, 1)
		b.finish()
		b.want("FA 1 ack 1")
	})
	t.Run("waiting turns", func(t *testing.T) {
		b := replayedBed(t)
		b.open()
		b.data(1, 100, 1)
		b.data(101, 100, 201)
		b.finish()
		b.reply(pushed, 1, 200, 101)
		b.want("PA 1+100 ack 1", "PA 101+100 ack 201")
		b.reply(pushed, 201, 200, 201)
		b.wait(100 * Millisecond)
		b.want("FA 201 ack 401")
	})
}

func TestARecordingThatEndsLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		before func(b *bed)
		why    Reason
	}{
		"half-open":  {func(b *bed) { b.client(packet.SYN, 0, 0, 0) }, ClientSilent},
		"mid-stream": {func(b *bed) { b.client(packet.ACK, 1, 0, 1) }, Midstream},
		"parked": {func(b *bed) {
			b.open()
			b.turn(1, 1, 1)
			b.reply(fin, 201, 0, 101)
			b.wait(Second)
			b.reply(ackOnly, 202, 0, 102)
			b.wantState(Parked)
		}, Finished},
		"hole": {func(b *bed) {
			b.open()
			b.data(101, 100, 1)
			b.finish()
			b.reply(fin, 1, 0, 2)
			b.wait(2 * Second)
		}, Finished},
		"closed": {func(b *bed) { b.core.Abort(&b.s, Shutdown, b.now) }, Shutdown},
	} {
		t.Run(name, func(t *testing.T) {
			b := replayedBed(t)
			c.before(b)
			b.finish()
			b.wantClosed(c.why)
		})
	}
}

// finish ends the recording.
func (b *bed) finish() {
	b.t.Helper()
	b.core.Finish(&b.s, b.now)
	b.settle()
}

func (b *bed) turns(copied, unanswered, lost uint64) {
	b.t.Helper()
	if s := &b.core.Stats; s.TurnsCopied != copied || s.TurnsUnanswered != unanswered || s.TurnsLost != lost {
		b.t.Errorf("turns: %d copied, %d unanswered, %d lost; want %d, %d, %d", s.TurnsCopied, s.TurnsUnanswered, s.TurnsLost, copied, unanswered, lost)
	}
}

func TestARecordedConnectionMayComeTwice(t *testing.T) {
	b := replayedBed(t)
	b.open()
	g := b.segment(packet.SYN, 0, 0, 0)
	if b.core.Restarts(&b.s, &g) {
		t.Error("a second capture of the SYN is taken for a new connection")
	}
	b.client(fin, 1, 0, 1)
	if !b.core.Restarts(&b.s, &g) {
		t.Error("the connection is not begun once more behind its end")
	}
}

func TestARequestThatAHoleCostsIsLostWhateverFollows(t *testing.T) {
	for name, follow := range map[string]func(b *bed){
		"FIN":  func(b *bed) { b.client(fin, 201, 0, 401) },
		"data": func(b *bed) { b.data(201, 100, 401) },
	} {
		t.Run(name, func(t *testing.T) {
			b := replayedBed(t)
			b.open()
			b.turn(1, 1, 1)
			follow(b) // 101 to 200 was not recorded
			b.finish()
			b.turns(1, 0, 1)
		})
	}
}
