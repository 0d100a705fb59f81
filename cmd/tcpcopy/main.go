// Tcpcopy runs on a production server: it captures the packets of the clients
// and replays every session, live, to a system under test. Elsewhere it replays
// what was recorded there.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance"
	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline"
	"github.com/tcpcopy-go/tcpcopy/pipeline/recording"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "pcap-info" {
		os.Exit(pcapInfo(os.Args[2:]))
	}
	os.Exit(appliance.Main("tcpcopy", parse))
}

// tcpcopy is the tool with its configuration, and its pipeline once it runs.
type tcpcopy struct {
	conf *conf.Tcpcopy
	*pipeline.Pipeline
}

func parse(args []string, out io.Writer) (appliance.Tool, error) {
	c, err := conf.ParseTcpcopy(args, out)
	if err != nil {
		return nil, err
	}
	return &tcpcopy{conf: c}, nil
}

// Process implements appliance.Tool.
func (t *tcpcopy) Process() *conf.Process { return &t.conf.Process }

// Run implements appliance.Tool. It opens everything first, so that what is
// missing is reported before a daemon leaves the terminal.
func (t *tcpcopy) Run(ctx context.Context, a *appliance.Appliance) error {
	c := t.conf
	if err := checkTransfers(c); err != nil {
		return err
	}
	if err := excludeHost(a.Log, c); err != nil {
		return err
	}
	following, stop := context.WithCancel(context.Background())
	defer stop() // routes are followed until the last RST has been sent
	p, err := pipeline.Open(following, c, a.Log)
	if err != nil {
		return asInput(err)
	}
	t.Pipeline = p
	if err := a.Registry.Register(p); err != nil {
		return err
	}
	for _, x := range c.Transfers {
		a.Log.Info("copying", "transfer", x.String(), "from", source(c))
	}
	if len(c.Replay.Files) > 0 {
		p.OnProgress = func(g recording.Progress) { a.Status(g.Line) }
	}
	p.OnThreads = procs(c)
	a.Keep(needed(c)...)
	a.Ready()
	err = p.Run(ctx)
	a.Status(nil)
	return asInput(err)
}

// needed are the capabilities that a running tcpcopy keeps: CAP_NET_ADMIN to have
// neighbours confirmed, CAP_NET_RAW to capture again at an interface that comes back.
func needed(c *conf.Tcpcopy) []int {
	if len(c.Replay.Files) > 0 && len(c.Intercepts) > 0 {
		return []int{unix.CAP_NET_ADMIN}
	}
	return []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
}

// Reload implements appliance.Tool.
func (t *tcpcopy) Reload(next appliance.Tool) error {
	c := next.(*tcpcopy).conf
	if err := checkTransfers(c); err != nil {
		return err
	}
	if err := t.Pipeline.Reload(c); err != nil {
		return err
	}
	t.conf = c
	return nil
}

// source says what is copied.
func source(c *conf.Tcpcopy) string {
	switch {
	case len(c.Replay.Files) > 3:
		return fmt.Sprintf("%d files, %s to %s", len(c.Replay.Files), c.Replay.Files[0], c.Replay.Files[len(c.Replay.Files)-1])
	case len(c.Replay.Files) > 0:
		return "file " + strings.Join(c.Replay.Files, ",")
	case len(c.Interfaces) > 0:
		return "interface " + strings.Join(c.Interfaces, ",")
	}
	return "all interfaces"
}

// asInput marks an error of a recording as one of the tool's input.
func asInput(err error) error {
	var input *pcapfile.Error
	if errors.As(err, &input) {
		return &appliance.InputError{Err: err}
	}
	return err
}

// checkTransfers compares the targets with this host's own addresses: what is
// sent to them may come back as production's traffic.
func checkTransfers(c *conf.Tcpcopy) error {
	own, err := ring.LocalAddrs()
	if err != nil {
		return err
	}
	for _, t := range c.Transfers {
		online, target := t.Online, t.Target
		if len(c.Replay.Files) > 0 {
			if slices.Contains(own, target.Addr().Unmap()) {
				return fmt.Errorf("transfer %v: %v is this host, whose answers nobody could capture: replay from another one", t, target.Addr())
			}
			continue
		}
		anywhere := !online.Addr().IsValid() || online.Addr().IsUnspecified()
		if anywhere && online.Port() == target.Port() && slices.Contains(own, target.Addr().Unmap()) {
			return fmt.Errorf("transfer %v: %v is this host, so the copy would be copied again: name the production address, ADDRESS:%d-%v", t, target.Addr(), online.Port(), target)
		}
	}
	return nil
}

// excludeHost takes this host's own addresses out of the clients'.
func excludeHost(log *slog.Logger, c *conf.Tcpcopy) error {
	if c.Clients == nil {
		return nil
	}
	own, err := ring.LocalAddrs()
	if err != nil {
		return err
	}
	for _, a := range own {
		if c.Clients.Exclude(a) {
			log.Warn("an address of this host is no client's: left out", "clients", c.Clients, "address", a)
		}
	}
	for _, t := range c.Transfers {
		if !anyOf(c.Clients, t.Target.Addr()) {
			return fmt.Errorf("clients %v: nothing but this host's own addresses for target %v: give others", c.Clients, t.Target)
		}
	}
	return nil
}

// anyOf reports whether the pool has an address of target's family.
func anyOf(p *conf.Pool, target netip.Addr) bool {
	if target.Unmap().Is4() {
		return len(p.Addrs4()) > 0
	}
	return len(p.Addrs6()) > 0
}
