package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// lateReplay is how long after the recording's end a peer's copies count.
const lateReplay = 5 * time.Second

// replay has production's traffic recorded by tcpdump, and replays it at the
// row's speed: ours captures the replies by itself, the peer has its intercept.
// The processor time is that of all that the replay needs.
func replay(ctx context.Context, w row, s *testbed.Testbed, c Config, who Side) (Values, error) {
	file := filepath.Join(s.Lab.Dir, "recording.pcap")
	r, err := s.Record(ctx, file)
	if err != nil {
		return nil, err
	}
	if _, err := runLoad(ctx, w, s); err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	s.ForgetTarget()
	var used time.Duration
	if who == Ours {
		used, err = replayOurs(ctx, w, s, file)
	} else {
		used, err = replayPeer(ctx, w, s, c, file)
	}
	if err != nil {
		return nil, err
	}
	report, err := s.Judge(verdict.Rules{})
	if err != nil {
		return nil, err
	}
	copied := float64(max(1, report.Copy.Online-report.Copy.Missing))
	return Values{Copied: 100 * copiedOnce(report.Copy), ReplayCPU: used.Seconds() * 1e6 / copied}, nil
}

func replayOurs(ctx context.Context, w row, s *testbed.Testbed, file string) (time.Duration, error) {
	p, err := s.Replay("-i", file, "-x", "80-"+lab.TargetAddr4, "-c", lab.Pool4, "-a", w.speed)
	if err != nil {
		return 0, err
	}
	if status, _, err := p.Wait(ctx); err != nil || status > 1 {
		return 0, fmt.Errorf("the replay ended with %d, %v:\n%s", status, err, p.Tail(20))
	}
	return p.Used(), nil
}

func replayPeer(ctx context.Context, w row, s *testbed.Testbed, c Config, file string) (time.Duration, error) {
	speed, err := strconv.ParseFloat(w.speed, 64)
	if err != nil {
		return 0, err
	}
	programs := c.Peer
	programs.Tcpcopy = c.PeerReplayer
	p, err := start(ctx, s, programs, "-i", file, "-a", w.speed)
	if err != nil {
		return 0, err
	}
	end := time.Now().Add(time.Duration(float64(w.load.Duration)/speed) + lateReplay)
	for time.Now().Before(end) && s.TargetCount() < s.OnlineCount() && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(settleTime)
	tcpcopy, intercept, err := p.cpu()
	return tcpcopy + intercept, err
}
