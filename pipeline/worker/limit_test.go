package worker

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// used is the processor time of the calling thread.
func used() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// BenchmarkRingToWire compares a worker, from its ring to the wire, with what
// the machine can do: sendmmsg of ready frames, and a ring that is read with
// nothing behind. A round is a packet of 200 bytes of payload from each of 1000
// sessions; what goes in, and the target's answers, are not measured. Times are
// processor time in ns a packet, with the receiving end of the veth.
func BenchmarkRingToWire(b *testing.B) {
	const sessions, size = 1000, 200
	w := newRig(b, func(c *conf.Tcpcopy) { c.Interfaces = []string{"eth0"}; c.RingBytes = 16 << 20 })
	bare, err := ring.Open(ring.Config{Interface: "eth0"})
	testbed.Must(b, err)
	b.Cleanup(func() { bare.Close() })
	eth0, err := net.InterfaceByName("eth0")
	testbed.Must(b, err)

	link := append(append(append([]byte{}, eth0.HardwareAddr...), 2, 0, 0, 0, 0, 2), 8, 0)
	clients := make([]*testbed.Client, sessions)
	replies := make([]packet.Reply, sessions)
	in := make([][]byte, sessions)
	for i := range clients {
		c := testbed.NewClient(uint16(20000 + i))
		end, next := openSession(b, c, w)
		clients[i] = c
		replies[i] = packet.Reply{Src: packet.EndpointFrom(testbed.Target), Dst: end, Seq: next, Len: 100, Flags: packet.ACK | packet.PSH, Window: 65535}
		replies[i].WindowScale = packet.NoWindowScale
		in[i] = append(append([]byte{}, link...), make([]byte, 40+size)...)
	}
	request := string(make([]byte, size))
	inject := testbed.NewFrames(b, "peer", in)
	out := make([][]byte, sessions)
	for i := range out {
		out[i] = append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, clients[0].Frame(packet.ACK, request).Data...)
		clients[0].Seq -= size
	}
	wire := testbed.NewFrames(b, "eth0", out)

	var sent, captured, worker time.Duration
	var f ring.Frame
	measure := func(sum *time.Duration, what func()) {
		began := used()
		what()
		*sum += used() - began
	}
	rounds := 0
	for b.Loop() {
		rounds++
		for i, c := range clients {
			copy(in[i][len(link):], c.Frame(packet.ACK|packet.PSH, request).Data)
		}
		inject.Send(b)
		time.Sleep(2 * retire) // the last block is handed over
		measure(&captured, func() {
			for n := 0; bare.Next(&f); n++ {
				sink += int(f.Data[0])
			}
		})
		before := w.sender.tx.Stats().Messages
		measure(&worker, func() {
			for pass(w) > 0 {
			}
		})
		if n := w.sender.tx.Stats().Messages - before; n != sessions {
			b.Fatalf("%d packets for %d", n, sessions)
		}
		measure(&sent, func() { wire.Send(b) })
		for i, c := range clients {
			r := &replies[i]
			r.Ack = c.Seq
			w.reply(r)
			r.Seq += uint32(r.Len)
			c.Ack += uint32(r.Len)
		}
		pass(w)
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(rounds*sessions) }
	b.ReportMetric(0, "ns/op") // a round, with what is not measured
	b.ReportMetric(per(sent), "ns/send-limit")
	b.ReportMetric(per(captured), "ns/capture-limit")
	b.ReportMetric(per(worker), "ns/worker")
	b.ReportMetric(sent.Seconds()/worker.Seconds(), "of-send-limit")
}

var sink int
