// Tcpcopy runs on a production server: it captures the packets of the clients
// and replays every session, live, to a system under test.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance"
	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

func main() { os.Exit(appliance.Main("tcpcopy", parse)) }

func parse(args []string, out io.Writer) (*conf.Process, appliance.Run, error) {
	c, err := conf.ParseTcpcopy(args, out)
	if err != nil {
		return nil, nil, err
	}
	if c.Filter != "" {
		if _, err := filter.Compile(c.Filter); err != nil {
			return nil, nil, fmt.Errorf("-F, --filter: %w", err)
		}
	}
	return &c.Process, func(ctx context.Context, a *appliance.Appliance) error { return run(ctx, a, c) }, nil
}

// run opens everything first, so that what is missing is reported before a
// daemon leaves the terminal.
func run(ctx context.Context, a *appliance.Appliance, c *conf.Tcpcopy) error {
	following, stop := context.WithCancel(context.Background())
	defer stop() // routes are followed until the last RST is out
	p, err := pipeline.Open(following, c, a.Log)
	if err != nil {
		return err
	}
	if err := a.Registry.Register(p); err != nil {
		return err
	}
	for _, t := range c.Transfers {
		a.Log.Info("copying", "online", t.Online, "target", t.Target)
	}
	a.Ready()
	p.Run(ctx)
	return nil
}
