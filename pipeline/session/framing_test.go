package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/message"
)

// text writes what the client sends into its stream, from seq on, and returns
// the sequence number behind it.
func (b *bed) text(seq int, s string) int {
	copy(b.stream[seq-1:], s)
	return seq + len(s)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }

// put is the head of an upload.
func put(path string, n int) string {
	return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, n)
}

// ask captures a message of the client that begins at seq, and returns the
// sequence number behind it.
func (b *bed) ask(seq int, s string, ack int) int {
	b.t.Helper()
	end := b.text(seq, s)
	b.data(seq, len(s), ack)
	return end
}

// sends is the log of a segment with payload that ends what may be sent.
func sends(seq, n, ack int) string { return fmt.Sprintf("PA %d+%d ack %d", seq, n, ack) }

// Production answers an upload by its head alone (401, 413, 100 Continue); the
// target reads the body first.
func TestRestOfAMessageGoesOnWhateverProductionAnsweredMeanwhile(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	head := put("/1", 500)
	body := b.ask(1, head, 1)
	b.want(sends(1, len(head), 1))
	b.reply(ackOnly, 1, 0, body)
	b.data(body, 200, 151) // the answer was read
	b.data(body+200, 300, 151)
	b.want(sends(body, 200, 1), sends(body+200, 300, 1))
	next := b.ask(body+500, get("/2"), 151)
	b.want() // it waits for the answer to all
	b.reply(pushed, 1, 150, body+500)
	b.want(sends(body+500, len(get("/2")), 151))
	b.reply(pushed, 151, 100, next)
	b.client(ackOnly, next, 0, 251)
	b.turns(2, 0, 0)
}

func TestTurnsAreMessages(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	three := get("/1") + get("/2") + get("/3")
	end := b.ask(1, three, 1)
	b.want(sends(1, len(three), 1)) // one segment
	b.reply(pushed, 1, 300, end)
	b.client(ackOnly, end, 0, 301)
	b.turns(3, 0, 0)
	// The rest of a message and the next in one segment.
	body := b.ask(end, put("/4", 100), 301)
	b.text(body+100, get("/5"))
	b.data(body, 100+len(get("/5")), 401) // an early answer
	b.log = b.log[:0]
	b.reply(ackOnly, 301, 0, body+100)
	b.want()
	b.reply(pushed, 301, 100, body+100)
	b.want(sends(body+100, len(get("/5")), 401))
	b.turns(4, 0, 0)
}

func TestSlowTargetIsWaitedForAsLongAsItsClientCouldHave(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	seq, ack, have := 1, 1, 1
	n := len(get("/"))
	for range 8 {
		b.ask(seq, get("/"), ack)
		seq, ack = seq+n, ack+100
	}
	b.client(fin, seq, 0, ack)
	at := 1
	for range 8 {
		b.want(sends(at, n, have))
		at += n
		b.reply(ackOnly, have, 0, at)
		b.wait(12 * Second)
		b.log = dropACKs(b.log)
		b.want()
		b.reply(pushed, have, 100, at)
		have += 100
	}
	b.want(fmt.Sprintf("FA %d ack %d", at, have))
	b.turns(8, 0, 0)
}

func dropACKs(log []string) (kept []string) {
	for _, s := range log {
		if !strings.HasPrefix(s, "A ") {
			kept = append(kept, s)
		}
	}
	return kept
}

func TestTargetThatDoesNotAnswerIsGivenUpByTheTimeout(t *testing.T) {
	b := newBed(t, Config{NoResponse: 60 * Second})
	b.open()
	n := len(get("/1"))
	b.ask(1, get("/1"), 1)
	b.ask(1+n, get("/2"), 101)
	b.reply(ackOnly, 1, 0, 1+n)
	b.wait(60*Second - Millisecond)
	b.want(sends(1, n, 1))
	b.wait(Millisecond)
	b.want(fmt.Sprintf("RA %d ack 1", 1+n))
	b.wantClosed(TargetTimeout)
	b.turns(0, 1, 1)
}

func TestMissingPartOfABodyCostsThatRequestOnly(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.ask(1, get("/1"), 1)
	up := 1 + len(get("/1"))
	b.reply(pushed, 1, 100, up)
	body := b.ask(up, put("/2", 5000), 101)
	b.reply(ackOnly, 101, 0, body)
	b.data(body, 1000, 101)
	b.log = b.log[:0]
	b.data(body+3000, 2000, 101) // 2000 bytes were not captured
	next := b.ask(body+5000, get("/3"), 201)
	b.want()
	b.reply(ackOnly, 101, 0, body+1000)
	b.wait(holeAnsweredFramed)
	b.log = dropACKs(b.log)
	b.want(fmt.Sprintf("FA %d ack 101", body+1000), "S "+itoa(body+4999))
	b.accept()
	b.want(sends(body+5000, len(get("/3")), 1))
	b.reply(pushed, 1, 100, next)
	b.client(ackOnly, next, 0, 301)
	b.turns(2, 0, 1)
	if st := &b.core.Stats; st.Opened != 2 || st.Dropped[CaptureHole] != 2000 {
		t.Errorf("%+v", st)
	}
}

func TestMissingHeadCostsWhatFollowsUpToAMessage(t *testing.T) {
	for name, evil := range map[string]string{
		"zeros":                  strings.Repeat("\x00", 3000),
		"lines like requests":    strings.Repeat("GET /evil HTTP/1.1\r\n", 150),
		"requests, cut anywhere": strings.Repeat(get("/evil"), 100)[:3000],
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, Config{})
			b.open()
			b.ask(1, get("/1"), 1)
			up := 1 + len(get("/1"))
			b.reply(pushed, 1, 100, up)
			body := up + len(put("/2", 3000)) // the head was not captured
			b.log = b.log[:0]
			b.text(body, evil)
			b.data(body, 1000, 201) // production had answered early
			b.data(body+1000, 1000, 201)
			b.data(body+2000, 1000, 201)
			b.ask(body+3000, get("/3"), 201)
			b.wait(holeAnsweredFramed)
			b.log = dropACKs(b.log)
			b.want(fmt.Sprintf("FA %d ack 101", up), "S "+itoa(body+2999))
			b.turns(1, 0, 1)
		})
	}
}

func TestTruncatedRequestIsLostAlone(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.ask(1, get("/1"), 1)
	two := 1 + len(get("/1"))
	three := b.text(two, get("/2"))
	g := b.segment(pushed, two, three-two, 101)
	g.Payload = g.Payload[:10]
	b.core.Client(&b.s, &g, b.now)
	b.settle()
	end := b.ask(three, get("/3"), 201)
	b.want(sends(1, two-1, 1)) // nothing of the second is sent
	b.reply(pushed, 1, 100, two)
	b.wait(silence)
	b.want(fmt.Sprintf("FA %d ack 101", two), "S "+itoa(three-1))
	b.accept()
	b.want(sends(three, len(get("/3")), 1))
	b.reply(pushed, 1, 100, end)
	b.client(fin, end, 0, 301)
	b.turns(2, 0, 1)
}

// The target refuses an upload while it still comes.
func TestRefusedUploadIsSentAndAnsweredOnce(t *testing.T) {
	b := newBed(t, Config{})
	b.scale = 7
	b.open()
	body := b.ask(1, put("/1", 200_000), 1)
	for seq := body; seq < body+100_000; seq += 10_000 {
		b.data(seq, 10_000, 1)
	}
	b.reply(pushed, 1, 80, 5001)
	b.reply(fin, 81, 0, 5001)
	b.reply(reset, 82, 0, 5001)
	for seq := body + 100_000; seq < body+200_000; seq += 10_000 {
		b.data(seq, 10_000, 1)
	}
	b.log = b.log[:0]
	b.client(ackOnly, body+200_000, 0, 201)
	b.want()
	b.ask(body+200_000, get("/2"), 201)
	b.want("S " + itoa(body+199_999))
	b.turns(1, 0, 0)
	if st := &b.core.Stats; st.Opened != 2 || st.Dropped[ResetByTarget]+st.Dropped[ClosedByTarget] == 0 {
		t.Errorf("%+v", st)
	}
}

// Of a request that production may not have answered either nothing says that
// the target did wrong to end the connection.
func TestRequestIsSentAgainWhenItsClientHasReadAnAnswer(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	end := b.ask(1, get("/1"), 1)
	b.reply(reset, 1, 0, end)
	b.want(sends(1, end-1, 1))
	b.wantState(Parked)
	b.client(ackOnly, end, 0, 201)
	b.want("S 0")

	b = newBed(t, Config{})
	b.open()
	b.ask(1, get("/1"), 1)
	b.reply(reset, 1, 0, end)
	b.client(fin, end, 0, 1)
	b.wantClosed(Finished)
	b.turns(1, 0, 0)
	if n := b.core.Stats.Opened; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestProtocolThatCannotBeJoinedMidwayIsLeftOut(t *testing.T) {
	const connect = "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd"
	const publish = "\x30\x05\x00\x01ab\x01"
	if p, v := message.Recognize([]byte(connect), 1883); p != message.MQTT || v != message.Yes {
		t.Fatalf("%v, %d", p, v)
	}
	t.Run("joined midway", func(t *testing.T) {
		b := newBed(t, Config{})
		b.client(ackOnly, 1, 0, 1)
		b.ask(1, publish, 101)
		b.wantState(Skipping)
		b.ask(1+len(publish), publish, 201)
		b.client(fin, 1+2*len(publish), 0, 201)
		b.want()
		if st := &b.core.Stats; st.Closed[NotJoinable] != 1 || st.Dropped[NotJoinable] != uint64(2*len(publish)) {
			t.Errorf("%+v", st)
		}
	})
	t.Run("closed by the target", func(t *testing.T) {
		b := newBed(t, Config{})
		b.open()
		next := b.ask(1, connect, 1)
		b.reply(pushed, 1, 4, next)
		b.client(ackOnly, next, 0, 5)
		b.reply(fin, 5, 0, next)
		b.wait(peerFINGrace)
		b.reply(ackOnly, 6, 0, next+1)
		b.log = b.log[:0]
		b.ask(next, publish, 5)
		b.want()
		b.wantState(Skipping)
	})
	t.Run("behind a hole", func(t *testing.T) {
		b := newBed(t, Config{})
		b.open()
		next := b.ask(1, connect, 1)
		b.reply(pushed, 1, 4, next)
		b.client(ackOnly, next, 0, 5)
		b.ask(next+len(publish), publish, 5)
		b.wait(holeTimeout)
		b.wantState(Skipping)
		if n := b.core.Stats.Opened; n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestMessageWithoutAnswerIsNotWaitedFor(t *testing.T) {
	const connect = "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd"
	const publish = "\x30\x05\x00\x01ab\x01"
	b := newBed(t, Config{})
	b.open()
	seq := b.ask(1, connect, 1)
	b.reply(pushed, 1, 4, seq)
	b.log = b.log[:0]
	for range 5 {
		end := b.ask(seq, publish, 5)
		b.want(sends(seq, end-seq, 5))
		b.reply(ackOnly, 5, 0, end)
		seq = end
	}
	b.turns(6, 0, 0)
	if n := b.core.Held(); n > 1<<14 {
		t.Errorf("%d bytes are held", n)
	}
}

func TestReopeningsOfATargetAreBounded(t *testing.T) {
	b := newBed(t, Config{ReopenRate: 2})
	b.open()
	seq := 1
	for i := range 3 {
		end := b.ask(seq, get("/"), 1+100*i)
		if b.s.state == SynSent {
			b.accept()
		}
		b.reply(fin|pushed, 1, 100, end) // it closes behind each answer
		seq = end
	}
	b.ask(seq, get("/"), 301)
	b.wantState(Skipping)
	if st := &b.core.Stats; st.Reopened != 2 || st.Closed[ReopenRate] != 1 || st.Dropped[ReopenRate] != uint64(len(get("/"))) {
		t.Errorf("%+v", st)
	}
}
