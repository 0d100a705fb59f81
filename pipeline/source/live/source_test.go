package live

import (
	"log/slog"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/session"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// taken counts the segments that it is given.
type taken struct {
	source.Consumer
	n int
}

func (c *taken) Segment(int, *packet.Segment) { c.n++ }

// opened captures at eth0 for one worker.
func opened(t *testing.T) (*Source, *ring.Poller) {
	t.Helper()
	testbed.InNamespace(t)
	c := testbed.Conf(t, 1)
	c.Interfaces, c.CatchUp, c.RingBytes = []string{"eth0"}, 2, 64<<20
	m, err := match.New(c)
	testbed.Must(t, err)
	captures, err := Open(c, m, []*account.Counters{new(account.Counters)}, slog.New(slog.DiscardHandler))
	testbed.Must(t, err)
	t.Cleanup(captures.Close)
	p, err := ring.NewPoller()
	testbed.Must(t, err)
	t.Cleanup(func() { p.Close() })
	s := captures.sources[0]
	s.Attach(p, true)
	return s, p
}

func TestAStallIsCaughtUpWithoutABurst(t *testing.T) {
	s, p := opened(t)
	syn := append(testbed.Ethernet(t), testbed.NewClient(40000).Frame(packet.SYN, "").Data...)
	frame := testbed.NewFrames(t, "peer", [][]byte{syn})
	const packets, every = 50, 10 * time.Millisecond
	for range packets {
		frame.Send(t)
		time.Sleep(every)
	}
	var to taken
	passes, began := 0, time.Now()
	for to.n < packets && time.Since(began) < 10*time.Second {
		s.Take(0, 256, &to)
		passes++
		if to.n < packets {
			if d := s.Due(session.Time(0)); d > 0 {
				testbed.Must(t, p.Wait(d, nil))
			}
		}
	}
	took := time.Since(began)
	if to.n != packets || took < packets*every/3 {
		t.Errorf("%d packets of %v went on within %v", to.n, packets*every, took)
	}
	if passes > 20*packets {
		t.Errorf("%d passes: the poller does not sleep while packets are held back", passes)
	}

	// It goes on as before.
	s.Take(0, 256, &to)
	if s.catchUp.behind || s.Due(0) >= 0 {
		t.Error("it is behind still")
	}
	frame.Send(t)
	testbed.Within(t, 10*time.Second, "the next packet is taken", func() bool {
		testbed.Must(t, p.Wait(time.Second, nil))
		s.Take(0, 256, &to)
		return to.n == packets+1
	})
}
