package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

func TestEverySecondFullSegmentIsAcknowledgedAtOnce(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.want("PA 1+100 ack 1")
	b.reply(packet.ACK, 1, 1460, 101)
	b.want()
	b.reply(packet.ACK, 1461, 1460, 101)
	b.want("A 101 ack 2921")
	b.reply(packet.ACK, 2921, 60000, 101)
	b.want("A 101 ack 62921")
}

func TestSmallResponseIsAcknowledgedLater(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.reply(pushed, 1, 200, 101)
	b.want("PA 1+100 ack 1")
	if d := b.next(); d != delayedACK {
		t.Errorf("after %d ms", d/Millisecond)
	}
	b.want("A 101 ack 201")
}

func TestAcknowledgmentTravelsWithTheNextTurn(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.reply(pushed, 1, 200, 101)
	b.now += Millisecond
	b.data(101, 50, 201)
	b.want("PA 1+100 ack 1", "PA 101+50 ack 201")
	b.wait(100 * Millisecond)
	b.want()
}

func TestRepeatedResponseIsAcknowledgedAgain(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.reply(pushed, 1, 200, 101)
	b.next()
	b.log = b.log[:0]
	b.reply(pushed, 1, 200, 101)
	b.want("A 101 ack 201")
}

func TestLaterReplyCoversALostOne(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.reply(pushed, 2921, 100, 101)
	b.want("PA 1+100 ack 1", "A 101 ack 3021")
	b.reply(packet.ACK, 1, 1460, 101) // the late one
	b.want("A 101 ack 3021")
}

func TestTimestampsEchoTheTargets(t *testing.T) {
	b := newBed(t, Config{})
	b.ts = true
	b.open()
	b.now += 50 * Millisecond
	b.data(1, 100, 1)
	b.reply(pushed, 1, 10_000, 101)
	if got, want := b.options.TSEcr, uint32(b.now/Millisecond); got != want {
		t.Errorf("echo %d, want %d", got, want)
	}
	if got, want := b.options.TSVal, uint32(b.now/Millisecond); got != want {
		t.Errorf("value %d, want %d", got, want)
	}
}
