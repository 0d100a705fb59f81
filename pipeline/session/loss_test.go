package session

import (
	"fmt"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func TestRetransmissionTimerBacksOff(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.want("PA 1+100 ack 1")
	for want := minRTO; want < maxRTO; want *= 2 {
		if got := b.next(); got != want {
			t.Fatalf("after %d ms, want %d", got/Millisecond, want/Millisecond)
		}
		b.want("PA 1+100 ack 1 again")
	}
}

func TestTargetWithoutAcknowledgmentsIsGivenUp(t *testing.T) {
	b := newBed(t, Config{NoResponse: 30 * Second})
	b.open()
	b.data(1, 100, 1)
	start := b.now
	for b.s.state != Closed {
		b.next()
	}
	b.wantClosed(TargetTimeout)
	if took := b.now - start; took < 30*Second || took > 60*Second {
		t.Errorf("after %d s", took/Second)
	}
}

func TestAcknowledgmentRestartsTheTimer(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 5000, 1)
	b.next()
	b.next()
	b.log = b.log[:0]
	b.now += 10 * Millisecond
	b.reply(packet.ACK, 1, 0, 1461)
	b.log = b.log[:0]
	if got := b.next(); got > 300*Millisecond {
		t.Errorf("the backoff is kept: %d ms", got/Millisecond)
	}
}

func TestThreeDuplicateAcknowledgmentsRepeatOneSegment(t *testing.T) {
	b := newBed(t, Config{})
	b.sack = false
	b.open()
	b.data(1, 14600, 1)
	b.want("PA 1+14600 ack 1")
	b.reply(packet.ACK, 1, 0, 1)
	b.reply(packet.ACK, 1, 0, 1)
	b.want()
	b.reply(packet.ACK, 1, 0, 1)
	b.want("A 1+1460 ack 1 again")
	for range 6 {
		b.reply(packet.ACK, 1, 0, 1)
	}
	b.want()
	// A partial acknowledgment shows the next hole (RFC 6582).
	b.reply(packet.ACK, 1, 0, 2921)
	b.want("A 2921+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 2921)
	b.reply(packet.ACK, 1, 0, 2921)
	b.want()
	b.reply(packet.ACK, 1, 0, 14601)
	b.want()
	if b.s.rec.active {
		t.Error("recovery has not ended")
	}
}

func TestSACKedHolesAreRepeatedOncePerRecovery(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 14600, 1)
	b.want("PA 1+14600 ack 1")
	// Lost: [1461, 2921) and [5841, 7301).
	b.reply(packet.ACK, 1, 0, 1461)
	b.reply(packet.ACK, 1, 0, 1461, 2921, 4381)
	b.want()
	b.reply(packet.ACK, 1, 0, 1461, 2921, 5841)
	b.reply(packet.ACK, 1, 0, 1461, 7301, 8761, 2921, 5841)
	b.want("A 1461+1460 ack 1 again", "A 5841+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 1461, 7301, 10221, 2921, 5841)
	b.reply(packet.ACK, 1, 0, 1461, 7301, 14601, 2921, 5841)
	b.want()
	b.reply(packet.ACK, 1, 0, 5841, 7301, 14601)
	b.want()
	b.reply(packet.ACK, 1, 0, 14601)
	b.want()
	if b.core.Stats.Retransmitted[KindPayload] != 2 {
		t.Errorf("%d retransmissions", b.core.Stats.Retransmitted[KindPayload])
	}
}

func TestTimeoutRepeatsAllThatIsNotSACKed(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 7300, 1)
	b.log = b.log[:0]
	b.next()
	b.want("PA 5841+1460 ack 1 again") // a probe, which is lost, too
	b.next()
	b.want("A 1+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 1461, 2921, 4381)
	b.want("A 1461+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 4381)
	b.want("PA 4381+2920 ack 1 again")
	b.reply(packet.ACK, 1, 0, 7301)
	b.want()
}

func TestLostRetransmissionIsRepeatedByTimeout(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 7300, 1)
	b.reply(packet.ACK, 1, 0, 1, 1461, 7301)
	b.want("PA 1+7300 ack 1", "A 1+1460 ack 1 again")
	b.next()
	b.want("A 1+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 7301)
	b.want()
}

func TestTargetThatForgetsWhatItSACKedGetsItAgain(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 7300, 1)
	b.reply(packet.ACK, 1, 0, 1, 1461, 7301)
	b.want("PA 1+7300 ack 1", "A 1+1460 ack 1 again")
	b.next()
	b.want("A 1+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 1461) // RFC 2018, 8
	b.want("A 1461+2920 ack 1 again")
}

func TestRoundTripIsMeasuredByDataButNotByRetransmissions(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	for seq := 1; seq < 401; seq += 100 {
		b.data(seq, 100, 1)
		b.now += 150 * Millisecond
		b.reply(packet.ACK, 1, 0, seq+100)
	}
	rto := b.s.snd.rto
	if rto <= minRTO {
		t.Fatalf("timer of %d ms after round trips of 150", rto/Millisecond)
	}
	b.data(401, 100, 1)
	b.next()
	b.now += 50 * Millisecond
	b.reply(packet.ACK, 1, 0, 501) // Karn: of which of the two?
	if b.s.snd.rto != rto {
		t.Errorf("the timer went from %d to %d ms", rto/Millisecond, b.s.snd.rto/Millisecond)
	}
}

func TestNewConnectionForgetsTheLossesOfTheOld(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 14600, 1)
	b.reply(packet.ACK, 1, 0, 1, 2921, 4381, 5841, 14601)
	b.reply(packet.ACK, 1, 0, 1, 2921, 4381, 5841, 14601)
	b.reply(reset, 1, 0, 1)
	b.log = b.log[:0]
	b.accept()
	b.want("PA 1+14600 ack 1")
	b.reply(packet.ACK, 1, 0, 1)
	b.reply(packet.ACK, 1, 0, 1)
	b.want()
	b.reply(packet.ACK, 1, 0, 1, 10221, 14601)
	b.want("A 1+7300 ack 1 again")
}

func TestStretchAcknowledgmentsOpenTheWindow(t *testing.T) {
	b := newBed(t, Config{})
	b.scale = 7
	b.window = 65535
	b.open()
	b.data(1, 200_000, 1)
	b.want("A 1+14600 ack 1")
	b.reply(packet.ACK, 1, 0, 14601)
	b.want("A 14601+29200 ack 1")
	b.reply(packet.ACK, 1, 0, 43801)
	b.want("A 43801+58400 ack 1")
}

func TestTheTargetsWindowIsKept(t *testing.T) {
	b := newBed(t, Config{})
	b.window = 3000
	b.open()
	b.data(1, 10_000, 1)
	b.want("A 1+2920 ack 1") // the 80 bytes left would be a silly segment
	b.window = 1000
	b.reply(packet.ACK, 1, 0, 2921)
	b.want("A 2921+1000 ack 1") // nothing is in flight: better little than none
	b.window = 0
	b.reply(packet.ACK, 1, 0, 3921)
	b.want()
	b.window = 65535
	b.reply(packet.ACK, 1, 0, 3921)
	b.want("PA 3921+6080 ack 1")
}

func TestWindowScalingIsTheTargets(t *testing.T) {
	b := newBed(t, Config{})
	b.scale = 4
	b.window = 200 // not scaled in the SYN-ACK
	b.open()
	b.data(1, 10_000, 1)
	b.want("A 1+200 ack 1")
	b.reply(packet.ACK, 1, 0, 201)
	b.want("A 201+2920 ack 1") // 3200 bytes
}

func TestClosedWindowIsProbedWithOneByte(t *testing.T) {
	b := newBed(t, Config{})
	b.window = 0
	b.open()
	b.data(1, 3000, 1)
	b.want()
	at := b.next()
	b.want("A 1+1 ack 1")
	for range 8 {
		b.reply(packet.ACK, 1, 0, 1)
		d := b.next()
		b.want("A 1+1 ack 1 again")
		if d < at || d > maxRTO {
			t.Fatalf("probe after %d ms, the one before after %d", d/Millisecond, at/Millisecond)
		}
		at = d
	}
	b.window = 65535
	b.reply(packet.ACK, 1, 0, 1)
	b.want("A 1+1 ack 1 again", "PA 2+2999 ack 1")
}

func TestProbeThatIsTakenGoesOn(t *testing.T) {
	b := newBed(t, Config{})
	b.window = 0
	b.open()
	b.data(1, 100, 1)
	b.next()
	b.want("A 1+1 ack 1")
	b.window = 500
	b.reply(packet.ACK, 1, 0, 2)
	b.want("PA 2+99 ack 1")
}

func TestNonsenseInAcknowledgmentsIsIgnored(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 7300, 1)
	b.want("PA 1+7300 ack 1")
	tests := []struct {
		name string
		send func()
		want []string
	}{
		{"more than was sent", func() { b.reply(packet.ACK, 1, 0, 9000) }, []string{"A 7301 ack 1"}},
		{"older than una", func() { b.reply(packet.ACK, 1, 0, -500) }, nil},
		{"SACK of nothing", func() { b.reply(packet.ACK, 1, 0, 1, 3000, 3000) }, nil},
		{"SACK reversed", func() { b.reply(packet.ACK, 1, 0, 1, 4000, 3000) }, nil},
		{"SACK beyond what was sent", func() { b.reply(packet.ACK, 1, 0, 1461, 3000, 99_000) }, nil},
		{"D-SACK", func() { b.reply(packet.ACK, 1, 0, 2921, 1, 1461) }, nil},
		{"another connection's numbers", func() { b.reply(packet.ACK, 1<<31, 0, 5000) }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.send()
			b.t = t
			b.want(test.want...)
			if b.s.rec.board != 0 && b.core.board(&b.s).sacked != 0 {
				t.Errorf("scoreboard %+v", *b.core.board(&b.s))
			}
		})
	}
}

func TestScoreboardMergesBlocks(t *testing.T) {
	tests := []struct {
		blocks [][]int
		want   string
	}{
		{[][]int{{10, 20}, {30, 40}}, "[10 20][30 40]"},
		{[][]int{{30, 40}, {10, 20}}, "[10 20][30 40]"},
		{[][]int{{10, 20}, {20, 30}}, "[10 30]"},
		{[][]int{{10, 20}, {30, 40}, {15, 35}}, "[10 40]"},
		{[][]int{{10, 50}, {20, 30}}, "[10 50]"},
		{[][]int{{10, 11}, {20, 21}, {30, 31}, {40, 41}, {50, 51}}, "[10 11][20 21][30 31][40 41][50 51]"},
		{[][]int{{10, 11}, {20, 21}, {30, 31}, {40, 41}, {5, 60}}, "[5 60]"},
	}
	for _, test := range tests {
		var board scoreboard
		board.begin(bedISN, bedISN+100)
		for _, p := range test.blocks {
			board.mark(bedISN+Seq(p[0]), bedISN+Seq(p[1]), sacked, 0, nil)
			board.count()
		}
		got := ""
		for i, r := range board.runs[:board.n] {
			if r.state == sacked {
				got += fmt.Sprintf("[%d %d]", board.startOf(i)-bedISN, r.end-bedISN)
			}
		}
		if got != test.want {
			t.Errorf("%v: %s, want %s", test.blocks, got, test.want)
		}
	}
}

func TestLostFINIsRepeated(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(fin, 1, 0, 1)
	b.want("FA 1 ack 1")
	b.next()
	b.want("FA 1 ack 1 again")
	b.reply(packet.ACK, 1, 0, 2)
	b.reply(fin, 1, 0, 2)
	b.want("A 2 ack 2")
	b.wantState(TimeWait)
}

func TestDataAndFINAreRepeatedTogether(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(fin, 1, 1000, 1)
	b.want("PA 1+1000 ack 1", "FA 1001 ack 1")
	b.next()
	b.want("PA 1+1000 ack 1 again", "FA 1001 ack 1 again")
	b.reply(packet.ACK, 1, 0, 1001)
	b.next()
	b.want("FA 1001 ack 1 again")
}
