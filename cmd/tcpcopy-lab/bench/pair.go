package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// A pair is a tcpcopy and an intercept at work.
type pair struct {
	tcpcopy, intercept *lab.Process
}

// linkPort is where intercept listens for tcpcopy.
const linkPort = 36524

// start runs the pair with the command lines of the C tools, which both sides
// understand, and args of tcpcopy.
func start(ctx context.Context, s *testbed.Testbed, programs testbed.Programs, args ...string) (p *pair, err error) {
	p = new(pair)
	assistant, online := s.Intercepts[0].Host, s.Copiers[0].Host
	p.intercept, err = assistant.Serve(ctx, lab.Command{Name: "intercept", Args: []string{
		programs.Intercept, "-i", "eth0", "-F", "tcp and src port 80", "-l", filepath.Join(s.Lab.Dir, "intercept.log"),
	}}, linkPort)
	if err != nil {
		return nil, err
	}
	p.tcpcopy, err = online.Start(lab.Command{Name: "tcpcopy", Args: append([]string{
		programs.Tcpcopy, "-x", "80-" + lab.TargetAddr4 + ":80", "-s", lab.AssistantAddr4(0), "-c", lab.Pool4,
		"-l", filepath.Join(s.Lab.Dir, "tcpcopy.log"),
	}, args...)})
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(10 * time.Second); assistant.Established(linkPort) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) || ctx.Err() != nil {
			return nil, fmt.Errorf("tcpcopy has no connection to intercept:\n%s", p.tcpcopy.Tail(20))
		}
	}
	time.Sleep(500 * time.Millisecond) // what they have to agree upon
	return p, nil
}

// cpu is what the two have used of the processors so far.
func (p *pair) cpu() (tcpcopy, intercept time.Duration, err error) {
	if tcpcopy, err = p.tcpcopy.CPU(); err == nil {
		intercept, err = p.intercept.CPU()
	}
	return tcpcopy, intercept, err
}

// memory is what the two have resident, in bytes.
func (p *pair) memory() (tcpcopy, intercept int64, err error) {
	if tcpcopy, err = p.tcpcopy.Memory(); err == nil {
		intercept, err = p.intercept.Memory()
	}
	return tcpcopy, intercept, err
}
