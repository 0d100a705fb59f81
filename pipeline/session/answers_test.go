package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// loop is a client that asks, reads 1000 bytes of production, and asks again.
type loop struct {
	*bed
	seq, ack, have int
}

func newLoop(b *bed) *loop { return &loop{b, 1, 1, 1} }

// exchange answers the next request with n bytes, and returns how long the one
// behind it waits then.
func (l *loop) exchange(n int) Time {
	l.t.Helper()
	if l.seq == 1 {
		l.seq = l.ask(l.seq, get("/"), l.ack)
	}
	l.reply(ackOnly, l.have, 0, l.seq)
	l.ack += 1000
	next := l.ask(l.seq, get("/"), l.ack)
	l.log = dropACKs(l.log)
	l.log = l.log[:0]
	l.reply(pushed, l.have, n, l.seq)
	l.have += n
	was := l.now
	for len(dropACKs(l.log)) == 0 {
		l.next()
	}
	l.want(sends(l.seq, len(get("/")), l.have))
	l.seq = next
	return l.now - was
}

func TestEndOfAnswersThatDifferIsLearned(t *testing.T) {
	for _, n := range []int{999, 981, 500, 1001, 1019, 1500} {
		b := newBed(t, Config{})
		b.open()
		l := newLoop(b)
		for i := range 20 {
			wait := l.exchange(n)
			if i < enough && wait != nearlyWhole || i >= enough && wait != 0 {
				t.Errorf("%d bytes of 1000: answer %d is complete %d us after its end", n, i, wait)
			}
		}
		// Another connection to the same target has nothing to learn.
		second := newBed(t, Config{})
		second.core.targets = b.core.targets
		second.open()
		if wait := newLoop(second).exchange(n); wait != 0 {
			t.Errorf("%d bytes of 1000: another connection waits %d us", n, wait)
		}
	}
}

func TestLearnedEndThatTurnsOutWrongIsForgotten(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	l := newLoop(b)
	for range 5 {
		l.exchange(900)
	}
	// The next answer is whole with 1000, of which 900 come first.
	if wait := l.exchange(900); wait != 0 {
		t.Fatalf("the end is not known, %d us", wait)
	}
	b.reply(pushed, l.have, 100, l.seq-len(get("/"))) // the target had nothing of the next yet
	l.have += 100
	if wait := l.exchange(900); wait != nearlyWhole {
		t.Errorf("after %d us", wait)
	}
	for i := range 3 { // twice as many confirmations
		wait := l.exchange(900)
		if want := i == 2; want != (wait == 0) && i != 2 {
			t.Errorf("answer %d: after %d us", i, wait)
		}
	}
	if wait := l.exchange(900); wait != 0 {
		t.Errorf("after %d us", wait)
	}
}

// The rest of an answer that was taken for whole is none to the next request.
func TestRestOfAnAnswerIsNotTakenForTheNext(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	l := newLoop(b)
	l.exchange(600) // then silence
	b.reply(pushed, l.have, 400, l.seq-len(get("/")))
	l.have += 400
	b.ask(l.seq, get("/"), l.ack+1000)
	b.log = b.log[:0]
	b.reply(ackOnly, l.have, 0, l.seq)
	b.wait(Second)
	if got := dropACKs(b.log); len(got) != 0 {
		t.Errorf("sent %q before the answer", got)
	}
}

func TestNothingIsSentIntoALongerAnswer(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	first := b.ask(1, get("/"), 1)
	b.ask(first, get("/"), 1001)
	b.log = b.log[:0]
	for have := 1; have < 3000; have += 600 {
		b.reply(ackOnly, have, 600, first)
		b.now += Millisecond
		b.fire()
	}
	b.reply(pushed, 3001, 50, first)
	if got := dropACKs(b.log); len(got) != 0 {
		t.Fatalf("sent %q into the answer", got)
	}
	b.log = b.log[:0]
	b.wait(nearlyWhole)
	b.want(sends(first, len(get("/")), 3051))
}

// A server spoke when it wanted, behind a rest: no silence of the target stands
// for it.
func TestWhatAServerSaysUnaskedIsWaitedFor(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.reply(pushed, 1, 200, 101)
	b.client(ackOnly, 101, 0, 201)
	b.wait(Second)
	b.client(ackOnly, 101, 0, 251) // 50 bytes that nobody had asked for
	b.data(101, 20, 251)
	b.log = b.log[:0]
	b.wait(2 * Second)
	b.want()
	b.reply(pushed, 201, 50, 101)
	b.want("PA 101+20 ack 251")
}

func TestWhatAServerSaysBeforeProductionDidIsNotForgotten(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.reply(pushed, 1, 200, 101)
	b.client(ackOnly, 101, 0, 201)
	b.reply(pushed, 201, 90, 101) // two messages of 45 bytes at once
	b.wait(Second)
	b.log = b.log[:0]
	b.client(ackOnly, 101, 0, 246)
	b.data(101, 20, 246)
	b.want("PA 101+20 ack 291")
	b.reply(ackOnly, 291, 0, 121)
	b.wait(Second)
	b.data(121, 20, 291)
	b.want("PA 121+20 ack 291")
}

// A client that sends requests ahead of the answers had read all of them when it
// closed: silence behind the first does not stand for the rest.
func TestEndBehindPipelinedRequestsWaitsForEveryAnswer(t *testing.T) {
	for _, end := range []packet.Flags{fin, reset} {
		b := newBed(t, Config{})
		b.open()
		next := b.ask(1, get("/1")+get("/2")+get("/3"), 1)
		b.client(end, next, 0, 3001)
		b.reply(ackOnly, 1, 0, next)
		b.log = b.log[:0]
		have := 1
		for range 3 { // shorter than production's, and slowly
			b.wait(2 * Second)
			if got := dropACKs(b.log); len(got) != 0 {
				t.Fatalf("sent %q with %d of the answers", got, have)
			}
			b.turns(0, 0, 0)
			b.reply(pushed, have, 900, next)
			have += 900
		}
		b.wait(patience - Millisecond)
		if got := dropACKs(b.log); len(got) != 0 {
			t.Fatalf("sent %q right behind the last answer", got)
		}
		b.wait(Millisecond)
		if got := dropACKs(b.log); len(got) != 1 {
			t.Errorf("sent %q", got)
		}
		b.turns(3, 0, 0)
	}
}

// Where each answer is known to differ by so much, so do all of them together.
func TestLengthOfAllAnswersIsKnownByThatOfOne(t *testing.T) {
	b := newBed(t, Config{})
	b.core.target(&b.s).lengths.confirm(-100)
	b.core.target(&b.s).lengths.confirm(-100)
	b.open()
	next := b.ask(1, get("/1")+get("/2")+get("/3"), 1)
	b.client(fin, next, 0, 3001)
	b.log = b.log[:0]
	b.reply(pushed, 1, 900, next)
	b.reply(pushed, 901, 900, next)
	if got := dropACKs(b.log); len(got) != 0 {
		t.Fatalf("sent %q before the last answer", got)
	}
	b.reply(pushed, 1801, 900, next)
	if got := dropACKs(b.log); len(got) != 1 {
		t.Errorf("sent %q", got)
	}
	b.turns(3, 0, 0)
}

// The target ends the connection in the middle: of the requests under way nobody
// knows which were answered.
func TestRequestsUnderWayAreNotCountedAsCopiedWhenTheTargetResets(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	next := b.ask(1, get("/1")+get("/2")+get("/3"), 1)
	b.reply(pushed, 1, 1000, next)
	end := b.ask(next, get("/4"), 1001)
	b.turns(1, 0, 0)
	b.client(ackOnly, end, 0, 4001)
	b.reply(reset, 1001, 0, end)
	if st := &b.core.Stats; st.TurnsCopied != 1 {
		t.Errorf("%d turns copied, the target has answered one", st.TurnsCopied)
	}
}
