package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func TestDisorderedCaptureIsPutInOrder(t *testing.T) {
	tests := []struct {
		name  string
		parts [][2]int // seq, length
		want  []string
		twice uint64 // bytes counted as duplicates
	}{
		{"in order", [][2]int{{1, 100}, {101, 100}}, []string{"PA 1+100 ack 1", "PA 101+100 ack 1"}, 0},
		{"swapped", [][2]int{{101, 100}, {1, 100}}, []string{"PA 1+200 ack 1"}, 0},
		{"reversed", [][2]int{{201, 100}, {101, 100}, {1, 100}}, []string{"PA 1+300 ack 1"}, 0},
		{"repeated", [][2]int{{1, 100}, {1, 100}}, []string{"PA 1+100 ack 1"}, 100},
		{"repeated ahead", [][2]int{{101, 100}, {101, 100}, {1, 100}}, []string{"PA 1+200 ack 1"}, 100},
		{"overlapping the front", [][2]int{{1, 100}, {51, 100}}, []string{"PA 1+100 ack 1", "PA 101+50 ack 1"}, 50},
		{"overlapping ahead", [][2]int{{101, 100}, {151, 100}, {1, 100}}, []string{"PA 1+250 ack 1"}, 50},
		{"filling more than the hole", [][2]int{{101, 100}, {1, 250}}, []string{"PA 1+250 ack 1"}, 100},
		{"inside another", [][2]int{{101, 300}, {201, 50}, {1, 100}}, []string{"PA 1+400 ack 1"}, 50},
		{"before the stream", [][2]int{{1, 100}, {-99, 100}}, []string{"PA 1+100 ack 1"}, 100},
	}
	for _, test := range tests {
		for _, isn := range []uint32{bedISN, 1<<32 - 1, 1<<32 - 50, 1<<32 - 180, 1<<31 - 100} {
			t.Run(test.name, func(t *testing.T) {
				b := newBed(t, Config{})
				b.isn = isn
				b.open()
				for _, p := range test.parts {
					g := b.segment(packet.ACK, 1, p[1], 1)
					g.Seq = b.isn + uint32(p[0])
					if p[0] > 0 {
						g.Payload = b.stream[p[0]-1:][:p[1]]
					}
					b.core.Client(&b.s, &g, b.now)
					b.settle()
				}
				b.want(test.want...)
				if n := b.core.Stats.Dropped[Duplicate]; n != test.twice {
					t.Errorf("%d bytes of duplicates, want %d", n, test.twice)
				}
				if b.s.online.ahead != 0 || b.s.online.aheadN != 0 {
					t.Errorf("%d segments are still ahead", b.s.online.aheadN)
				}
			})
		}
	}
}

func TestSuperPacketIsCutAndManyPiecesAreJoined(t *testing.T) {
	b := newBed(t, Config{})
	b.scale = 7
	b.open()
	for seq := 1; seq <= 1000; seq += 10 {
		g := b.segment(packet.ACK, seq, 10, 1)
		b.core.Client(&b.s, &g, b.now)
	}
	b.settle()
	b.want("A 1+160 ack 1", "A 161+160 ack 1", "A 321+160 ack 1", "A 481+160 ack 1", "A 641+160 ack 1", "A 801+160 ack 1", "PA 961+40 ack 1")
	b.data(1001, 65_000, 1)
	b.want("A 1001+13140 ack 1")
	b.reply(ackOnly, 1, 0, 14141)
	b.want("A 14141+27740 ack 1")
	b.reply(ackOnly, 1, 0, 14141+27740)
	b.want("PA 41881+24120 ack 1")
	if b.mss != 1460 {
		t.Errorf("cut into %d", b.mss)
	}
}

func TestTurnsBehindAHoleThatNeverClosesAreCopied(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.data(201, 100, 201) // 101 to 200 was not captured
	b.now += Second
	b.data(301, 100, 201)
	b.data(401, 100, 401) // the next turn, known only behind the hole
	b.data(501, 50, 401)
	b.want()
	b.wait(holeAnswered - Second)
	b.want("FA 101 ack 201", "S 400")
	b.accept()
	b.want("PA 401+150 ack 1")
	st := &b.core.Stats
	if st.Dropped[CaptureHole] != 200 || st.TurnsLost != 1 || st.Midstream != 0 {
		t.Errorf("%+v", st)
	}
	if b.syn.WindowScale != 7 || b.syn.MSS != 1460 {
		t.Errorf("the client's options are lost: %+v", b.syn)
	}
	b.data(101, 100, 1) // too late
	b.want()
	if st.Dropped[Duplicate] != 100 {
		t.Errorf("%+v", st)
	}
}

func TestTurnsBeforeAHoleAreDeliveredBeforeThoseBehind(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.want("PA 1+100 ack 1")
	b.reply(ackOnly, 1, 0, 101)
	b.data(101, 100, 201)
	b.data(201, 100, 401) // cut: 301 to 400 was not captured
	b.data(401, 100, 401)
	b.data(501, 100, 601)
	b.wait(holeAnswered)
	b.want()
	b.reply(pushed, 1, 200, 101)
	b.want("PA 101+100 ack 201")
	b.reply(pushed, 201, 200, 201)
	b.wait(silence + Second/10)
	b.want("FA 201 ack 401", "S 500")
	b.accept()
	b.want("PA 501+100 ack 1")
	if st := &b.core.Stats; st.Dropped[CaptureHole] != 200 || st.TurnsCopied != 2 || st.TurnsLost != 1 {
		t.Errorf("%+v", st)
	}
}

func TestSecondHoleHasItsOwnTime(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(101, 100, 201)
	b.data(201, 100, 401) // a turn between two holes
	b.wait(2 * Second)
	b.data(401, 100, 401)
	b.data(501, 100, 601)
	b.wait(holeAnswered - 2*Second)
	b.want("FA 1 ack 1", "S 200")
	b.accept()
	b.want("PA 201+100 ack 1")
	b.reply(pushed, 1, 200, 301)
	b.wait(Second)
	b.want("A 301 ack 201")
	b.wait(Second)
	b.want("FA 301 ack 201", "S 500")
}

// A capture that loses again and again must not put the copy off again and
// again.
func TestHolesOfTheSameTimeAreGivenUpShortlyAfterOneAnother(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(101, 100, 201)
	b.data(201, 100, 401)
	b.data(401, 100, 401)
	b.data(501, 100, 601)
	b.data(701, 100, 801)
	b.data(801, 100, 1001)
	b.wait(holeAnswered)
	b.want("FA 1 ack 1", "S 200")
	b.accept()
	b.want("PA 201+100 ack 1")
	b.reply(pushed, 1, 200, 301)
	b.wait(holePause)
	b.want("A 301 ack 201", "FA 301 ack 201", "S 500")
	b.accept()
	b.want("PA 501+100 ack 1")
	b.reply(pushed, 1, 200, 601)
	b.wait(holePause)
	b.want("A 601 ack 201", "FA 601 ack 201", "S 800")
	if b.core.Stats.TurnsLost != 3 {
		t.Errorf("%d turns lost, want 3", b.core.Stats.TurnsLost)
	}
}

func TestHoleWithNoTurnBehindItEndsTheSession(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.data(201, 100, 1)
	b.wait(holeTimeout)
	b.want("RA 101 ack 201")
	b.wantState(Watching)
	st := &b.core.Stats
	if st.Closed[CaptureHole] != 1 || st.Dropped[CaptureHole] != 100 {
		t.Errorf("%+v", st)
	}
	b.data(301, 100, 201)
	b.want("S 300")
}

func TestHoleThatClosesLateIsNoLoss(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(101, 100, 1)
	b.wait(holeTimeout - Second)
	b.data(1, 100, 1)
	b.want("PA 1+200 ack 1")
	if b.s.online.holeAt != never {
		t.Error("the timer still runs")
	}
}

func TestRSTBehindAHoleEndsTheSession(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(101, 100, 1)
	b.client(reset, 201, 0, 1)
	b.want("RA 1 ack 1")
	b.wantClosed(Finished)
	if b.core.Stats.Dropped[CaptureHole] != 100 {
		t.Errorf("%+v", b.core.Stats)
	}
}

func TestRSTBehindAHoleEndsAfterTheTurnsBeforeIt(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.data(201, 100, 201) // cut
	b.data(301, 100, 401)
	b.data(401, 50, 601)
	b.data(501, 100, 601) // cut
	b.data(601, 100, 801)
	b.client(reset, 701, 0, 801)
	b.wait(silence)
	b.want("FA 101 ack 201", "S 300")
	b.accept()
	b.want("PA 301+100 ack 1")
	b.reply(pushed, 1, 200, 401)
	b.wait(silence)
	b.want("FA 401 ack 201", "S 600")
	b.accept()
	b.want("PA 601+100 ack 1")
	b.reply(ackOnly, 1, 0, 701)
	b.want("RA 701 ack 1")
	b.wantClosed(Finished)
}

func TestNothingStaysBehindTheEnd(t *testing.T) {
	tests := []struct {
		name string
		end  func(b *bed)
	}{
		{"FIN", func(b *bed) { b.data(1, 100, 1); b.client(fin, 101, 0, 1) }},
		{"FIN ahead", func(b *bed) { b.client(fin, 101, 0, 1); b.data(1, 100, 1) }},
		{"RST", func(b *bed) { b.data(1, 100, 1); b.client(reset, 101, 0, 1) }},
		{"superseded", func(b *bed) { b.data(1, 100, 1); b.core.Superseded(&b.s, b.now); b.settle() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, Config{})
			b.open()
			b.data(301, 100, 1) // no place for it
			test.end(b)
			if b.s.online.ahead != 0 || b.s.online.holeAt != never || b.core.Stats.Buffered != 100 {
				t.Errorf("%d pieces ahead, %d bytes buffered", b.s.online.aheadN, b.core.Stats.Buffered)
			}
		})
	}
}

func TestFINBehindAHoleWaitsForIt(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(fin, 101, 100, 1)
	b.client(fin, 101, 100, 1)
	b.want()
	b.data(1, 100, 1)
	b.want("PA 1+200 ack 1", "FA 201 ack 1")
}

func TestTruncatedPayloadEndsTheSessionAndLaterTurnsAreCopied(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	g := b.segment(pushed, 101, 1000, 201)
	g.Payload = g.Payload[:96]
	b.core.Client(&b.s, &g, b.now)
	b.settle()
	b.want("RA 101 ack 201")
	if st := b.core.Stats; st.Dropped[Truncated] != 1000 || st.Closed[Truncated] != 1 {
		t.Errorf("%+v", st)
	}
	b.data(1101, 50, 201) // the rest of the turn
	b.want()
	b.data(1151, 50, 401)
	b.want("S 1150")
}

func TestTruncatedDuplicateDoesNoHarm(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	g := b.segment(pushed, 1, 100, 1)
	g.Payload = g.Payload[:10]
	b.core.Client(&b.s, &g, b.now)
	b.settle()
	b.wantState(Established)
	b.want("PA 1+100 ack 1")
}

func TestMemoryLimitShedsTheSession(t *testing.T) {
	b := newBed(t, Config{Memory: 2 * pageSize}) // one page for pieces
	b.window = 0
	b.open()
	b.data(1, 9000, 1)
	b.data(9001, 2000, 1)
	b.want("RA 1 ack 1")
	b.wantState(Watching)
	if st := b.core.Stats; st.Dropped[MemoryLimit] != 11_000 || st.Closed[MemoryLimit] != 1 || b.core.Held() != 0 {
		t.Errorf("%d held, %+v", b.core.Held(), st)
	}
	b.data(11_001, 100, 1) // the rest
	b.want()
	b.data(11_101, 100, 101)
	b.want("S 11100")
}

func TestReassemblyIsBounded(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	for i := range maxAhead {
		b.data(101+i*2, 1, 1)
	}
	b.wantState(Established)
	b.data(101+maxAhead*2, 1, 1)
	b.wantState(Watching)
	if st := b.core.Stats; st.Closed[ReassemblyLimit] != 1 || st.Dropped[ReassemblyLimit] != maxAhead+1 {
		t.Errorf("%+v", st)
	}
}

func TestSegmentFarAwayIsNotBelieved(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	g := b.segment(pushed, 1, 100, 1)
	g.Seq += maxAheadBytes + 1
	b.core.Client(&b.s, &g, b.now)
	b.settle()
	if b.s.online.ahead != 0 || b.core.Stats.Dropped[ReassemblyLimit] != 100 {
		t.Errorf("%+v", b.core.Stats)
	}
	b.data(1, 100, 1)
	b.want("PA 1+100 ack 1")
}

func TestMidstreamSessionBeginsAtATurn(t *testing.T) {
	type segment struct {
		flags       packet.Flags
		seq, n, ack int
	}
	tests := []struct {
		name string
		in   []segment
		want []string
	}{
		{"after an acknowledgment of the response", []segment{{ackOnly, 500, 0, 900}, {pushed, 500, 100, 1000}}, []string{"S 499"}},
		{"after a request", []segment{{pushed, 400, 100, 900}, {pushed, 500, 100, 1000}}, []string{"S 499"}},
		{"a first request alone may be the middle of one", []segment{{pushed, 500, 100, 1000}}, nil},
		{"the same acknowledgment continues a request", []segment{{ackOnly, 400, 100, 900}, {pushed, 500, 100, 900}}, nil},
		{"behind a gap", []segment{{pushed, 400, 50, 900}, {pushed, 500, 100, 1000}}, nil},
		{"the rest behind a gap", []segment{{pushed, 400, 50, 900}, {pushed, 500, 100, 1000}, {pushed, 600, 100, 1000}}, nil},
		{"the turn after one behind a gap", []segment{{pushed, 400, 50, 900}, {pushed, 500, 100, 1000}, {pushed, 600, 100, 1200}}, []string{"S 599"}},
		{"swapped by the network", []segment{{ackOnly, 500, 0, 900}, {pushed, 600, 100, 1000}, {ackOnly, 500, 100, 1000}}, nil},
		{"a late repetition", []segment{{pushed, 400, 100, 900}, {pushed, 400, 100, 1000}}, nil},
		{"a turn after a late repetition", []segment{{pushed, 400, 100, 900}, {pushed, 400, 100, 1000}, {pushed, 500, 100, 1000}}, []string{"S 499"}},
		{"a keep-alive probe", []segment{{ackOnly, 500, 0, 900}, {ackOnly, 499, 1, 900}, {pushed, 500, 100, 1000}}, []string{"S 499"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, Config{})
			total := 0
			for _, g := range test.in {
				b.client(g.flags, g.seq, g.n, g.ack)
				total += g.n
			}
			b.want(test.want...)
			if b.core.Stats.Accepted != uint64(total) {
				t.Errorf("%+v", b.core.Stats)
			}
			if started := test.want != nil; started != (b.core.Stats.Midstream == 1) {
				t.Errorf("%d sessions began mid-stream", b.core.Stats.Midstream)
			}
		})
	}
}

func TestMidstreamIsLeftAloneWhereOnlyWholeConnectionsAreWanted(t *testing.T) {
	b := newBed(t, Config{OnlyComplete: true})
	b.client(ackOnly, 500, 0, 900)
	b.data(500, 100, 1000)
	b.data(600, 100, 1100)
	b.want()
	b.client(fin, 700, 0, 1200)
	b.wantClosed(Midstream)
}

func TestWatchedSessionEndsWithItsClient(t *testing.T) {
	for _, flags := range []packet.Flags{fin, packet.RST, 0} {
		b := newBed(t, Config{})
		b.client(flags, 500, 10, 900)
		b.wantClosed(Midstream)
		b.client(pushed, 510, 10, 900) // before its owner has removed it
		if b.core.Stats.Dropped[Midstream] != 20 {
			t.Errorf("%+v", b.core.Stats)
		}
	}
}

func TestLateSYNDoesNotReviveALostConnection(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.turn(1, 1, 1)
	b.data(201, 100, 201)
	b.wait(holeTimeout)
	b.wantState(Watching)
	b.log = b.log[:0]
	b.client(packet.SYN, 0, 0, 0)
	b.want()
	b.wantState(Watching)
}
