package session

import (
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// flight is a session with ten segments of 1460 bytes on their way.
func flight(t *testing.T) *bed {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 14_600, 1)
	b.want("PA 1+14600 ack 1")
	return b
}

func TestALostRetransmissionIsMendedWithoutATimeout(t *testing.T) {
	b := flight(t)
	start := b.now
	b.now += Millisecond
	b.reply(packet.ACK, 1, 0, 1, 1461, 2921, 4381, 14_601) // lost: the first and the third
	b.want("A 1+1460 ack 1 again", "A 2921+1460 ack 1 again")
	b.now += Millisecond
	b.reply(packet.ACK, 1, 0, 1, 1461, 14_601) // the second one arrived, the first was sent before it
	b.want("A 1+1460 ack 1 again")
	b.now += Millisecond
	b.reply(packet.ACK, 1, 0, 14_601)
	b.want()
	if b.s.rec.active || b.s.rec.board != 0 || b.now-start >= minRTO {
		t.Errorf("recovery goes on after %d ms", (b.now-start)/Millisecond)
	}
}

func TestALostTailIsMendedByAProbe(t *testing.T) {
	b := flight(t)
	b.now += Millisecond
	b.reply(packet.ACK, 1, 0, 11_681) // the last two segments are lost
	b.want()
	if took := b.next(); took >= minRTO {
		t.Fatalf("nothing happens for %d ms", took/Millisecond)
	}
	b.want("PA 13141+1460 ack 1 again")
	b.now += Millisecond
	b.reply(packet.ACK, 1, 0, 11_681, 13_141, 14_601)
	b.want("A 11681+1460 ack 1 again") // by time: it was sent long before the probe
	b.now += Millisecond
	b.reply(packet.ACK, 1, 0, 14_601)
	b.want()
}

func TestAProbeTakesWhatWasNotSentYetWhereThereIsSome(t *testing.T) {
	b := newBed(t, Config{})
	b.scale = 7
	b.open()
	b.data(1, 20_000, 1)
	b.want("A 1+14600 ack 1") // the congestion window
	b.next()
	b.want("A 14601+1460 ack 1")
}

func TestALoneSegmentIsNotProbedForBeforeItsAcknowledgmentMayBeDelayed(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.data(1, 100, 1)
	b.want("PA 1+100 ack 1")
	if took := b.next(); took < loneACK {
		t.Errorf("it is repeated after %d ms", took/Millisecond)
	}
}

func TestAProbeRepeatsOurFINToo(t *testing.T) {
	b := newBed(t, Config{})
	b.open()
	b.client(fin, 1, 5000, 1)
	b.want("PA 1+5000 ack 1", "FA 5001 ack 1")
	b.next()
	b.want("PA 3541+1460 ack 1 again", "FA 5001 ack 1 again")
	b.reply(packet.ACK, 1, 0, 5002)
	b.want()
}

func TestAScoreboardOfTwentyBlocksRepeatsJustTheHoles(t *testing.T) {
	b := newBed(t, Config{})
	b.scale = 7
	b.open()
	b.data(1, 41*1460, 1)
	for b.s.snd.nxt.Sub(bedISN+1) < 41*1460 { // slow start, without acknowledging what follows
		b.reply(packet.ACK, 1, 0, 1)
		b.s.snd.cwnd += 1 << 16
		b.core.Output(&b.s, b.now)
	}
	b.s.rec.dupAcks = 0
	b.log = b.log[:0]
	// Each second segment is lost; the target tells of three blocks at a time.
	for k := 1; k < 41; k += 2 {
		blocks := []int{1 + k*1460, 1 + (k+1)*1460}
		for back := k - 2; back > 0 && len(blocks) < 6; back -= 2 {
			blocks = append(blocks, 1+back*1460, 1+(back+1)*1460)
		}
		b.reply(packet.ACK, 1, 0, 1, blocks...)
	}
	b.reply(packet.ACK, 1, 0, 2921) // room for the last one
	seen := map[string]int{}
	for _, text := range b.log {
		seen[text]++
	}
	for k := range 41 {
		text := "A " + itoa(1+k*1460) + "+1460 ack 1 again"
		if want := (k + 1) % 2; k < 40 && seen[text] != want {
			t.Errorf("%q %d times, want %d", text, seen[text], want)
		}
		delete(seen, text)
	}
	if len(seen) > 0 {
		t.Errorf("also sent: %v", seen)
	}
}

func TestAPathThatDoesNotKeepTheOrderCausesNoRetransmissions(t *testing.T) {
	b := flight(t)
	b.reply(packet.ACK, 1, 0, 1, 1461, 4381)
	b.want()
	b.reply(packet.ACK, 1, 0, 4381) // the first one was overtaken by two
	if !b.s.rec.reordered {
		t.Fatal("that is not noticed")
	}
	b.reply(packet.ACK, 1, 0, 4381, 5841, 11_681) // now by four
	b.want()
	b.reply(packet.ACK, 1, 0, 11_681)
	b.want()
	b.reply(packet.ACK, 1, 0, 11_681, 13_141, 14_601)
	if took := b.next(); took > 10*Millisecond {
		t.Errorf("what is lost is waited for %d ms", took/Millisecond)
	}
	b.want("A 11681+1460 ack 1 again")
}

func TestTheEndIsRescuedOnceInARecovery(t *testing.T) {
	b := flight(t)
	b.reply(packet.ACK, 1, 0, 1, 1461, 8761) // lost: the first, and the last four
	b.want("A 1+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 1, 1461, 10_221)
	b.want("PA 13141+1460 ack 1 again")
	b.reply(packet.ACK, 1, 0, 1, 1461, 10_221)
	b.want()
}

// Pieces before those that are sent again are not walked over for each.
func TestARetransmissionFindsItsPieceNearTheLastOne(t *testing.T) {
	b := newBed(t, Config{})
	b.window, b.scale = 65535, 7
	b.open()
	for i := range 5000 {
		b.data(1+i, 1, 1)
	}
	c, s := b.core, &b.s
	for seq := Seq(bedISN + 1); seq != bedISN+5001; seq++ {
		before := s.rec.piece
		r := c.pieceAt(s, seq, true)
		if seq != bedISN+1 && c.pieces.at(before).next != r {
			t.Fatalf("at %d the piece is not the one behind the last", seq-bedISN)
		}
	}
	if s.rec.low == 0 || c.pieceAt(s, s.snd.una, true) != s.rec.low {
		t.Error("the piece that holds una is not remembered")
	}
}
