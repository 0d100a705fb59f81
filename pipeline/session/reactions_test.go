package session

import (
	"fmt"
	"testing"
)

// broker is a subscriber's connection to two brokers: production's, of which
// only the client's acknowledgments are seen, and the target's.
type broker struct {
	*bed
	seq, ack, have int // next bytes of the client, of production, and of the target
}

// subscribe connects and subscribes, and rests.
func subscribe(t *testing.T) *broker {
	b := &broker{newBed(t, Config{}), 1, 1, 1}
	b.open()
	b.speak("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd")
	b.says(4)
	b.produces(4)
	b.speak("\x82\x06\x00\x01\x00\x01t\x02")
	b.says(5)
	b.produces(5)
	b.wait(Second)
	b.log = b.log[:0]
	return b
}

// speak is the client's next message, behind what it has read of production.
func (b *broker) speak(s string) {
	b.t.Helper()
	b.seq = b.ask(b.seq, s, b.ack)
}

// produces is production's broker saying n bytes, which the client reads.
func (b *broker) produces(n int) {
	b.t.Helper()
	b.ack += n
	b.client(ackOnly, b.seq, 0, b.ack)
}

// says is the target saying n bytes behind what it has received.
func (b *broker) says(n int) {
	b.t.Helper()
	b.reply(pushed, b.have, n, int(b.s.snd.nxt.Sub(Seq(b.isn))))
	b.have += n
}

// takes is the target acknowledging all that was sent to it.
func (b *broker) takes() { b.t.Helper(); b.says(0) }

// got is how much of the client's payload the target was sent.
func (b *broker) got() int { return int(b.s.turns.released.Sub(Seq(b.isn))) }

func (b *broker) wantGot(seq int) {
	b.t.Helper()
	if got := b.got(); got != seq {
		b.t.Fatalf("the target has the client's bytes up to %d, want %d", got, seq)
	}
}

func puback(id byte) string  { return "\x40\x02\x00" + string(rune(id)) }
func pubrec(id byte) string  { return "\x50\x02\x00" + string(rune(id)) }
func pubcomp(id byte) string { return "\x70\x02\x00" + string(rune(id)) }

func TestReactionWaitsForWhatItReactsTo(t *testing.T) {
	for name, reaction := range map[string]func(byte) string{"PUBACK": puback, "PUBREC": pubrec} {
		t.Run(name, func(t *testing.T) {
			b := subscribe(t)
			before := b.seq
			b.produces(50)
			b.speak(reaction(1))
			b.wait(2 * Second) // the target's publisher is slow
			b.wantGot(before)
			b.says(50)
			b.wantGot(b.seq)
			if n := b.core.Stats.TurnsUnanswered; n != 0 {
				t.Errorf("%d turns unanswered", n)
			}
		})
	}
}

// The target's broker passes the messages on in another order: the first are
// longer, and as many bytes are fewer messages.
func TestReceiptDoesNotOvertakeAReorderedMessage(t *testing.T) {
	b := subscribe(t)
	before := b.seq
	b.produces(30)
	b.speak(pubrec(1))
	b.produces(30)
	b.speak(pubrec(2))
	b.produces(60)
	b.speak(pubrec(3))
	b.says(60) // as many bytes as two of production's messages
	b.wait(stalled - Millisecond)
	b.wantGot(before)
	b.says(60)
	b.wantGot(b.seq)
}

// A broker sends no more than its window of messages that are not acknowledged.
// Production's client had read more when it acknowledged the first of them.
func TestBrokerWhoseWindowIsFullGetsReactions(t *testing.T) {
	for _, window := range []int{1, 5, 20} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			const messages, size = 40, 50
			b := subscribe(t)
			first := b.seq
			b.produces(messages * size)
			for id := range byte(messages) {
				b.speak(puback(id + 1))
			}
			began := b.now
			for said := 0; said < messages; {
				acked := (b.got() - first) / 4
				if acked > said {
					t.Fatalf("%d messages are acknowledged of %d", acked, said)
				}
				n := min(acked+window, messages) - said
				if n > 0 {
					b.says(n * size)
					said += n
					continue
				}
				b.takes()
				b.next()
			}
			b.takes()
			b.wantGot(b.seq)
			if took := b.now - began; took > Time(messages)*(stalled+delayedACK) {
				t.Errorf("it takes %d ms", took/Millisecond)
			}
			if n := b.core.Stats.TurnsUnanswered; n != 0 {
				t.Errorf("%d turns unanswered", n)
			}
		})
	}
}

// Production's PUBRELs are no messages: the target sends its own when it has
// the PUBRECs.
func TestReceiptsDoNotWaitForTheReleasesThatTheyDraw(t *testing.T) {
	b := subscribe(t)
	before := b.seq
	b.produces(100) // two messages
	b.speak(pubrec(1))
	b.produces(4)
	b.speak(pubrec(2) + pubcomp(1))
	b.produces(4)
	b.speak(pubcomp(2) + "\xe0\x00")
	b.client(fin, b.seq, 0, b.ack)
	b.client(ackOnly, b.seq+1, 0, b.ack+1) // production's FIN
	b.wantGot(before)
	b.says(100)
	b.says(4)
	b.says(4)
	b.wantGot(b.seq + 1)
	if n := b.core.Stats.TurnsUnanswered; n != 0 {
		t.Errorf("%d turns unanswered", n)
	}
}

// What the client says of its own accord needs nothing of what the server says
// of its own.
func TestPingDoesNotWaitForMessages(t *testing.T) {
	b := subscribe(t)
	b.produces(50) // at QoS 0: the target's publisher is behind
	b.speak("\xc0\x00")
	b.wait(2 * silence)
	b.wantGot(b.seq)
}

// The target lacks a message for good, as one that production had retained.
func TestWhatTheTargetLacksIsWaitedForOnce(t *testing.T) {
	b := subscribe(t)
	b.produces(50)
	b.speak(puback(1))
	b.wait(patience)
	b.wantGot(b.seq)
	b.takes()
	b.wait(Second)
	for id := range byte(3) {
		b.produces(50)
		b.speak(puback(id + 2))
		b.says(50)
		b.wantGot(b.seq)
		b.takes()
		b.wait(Second)
	}
}
