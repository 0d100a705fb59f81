package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// answerWithin is how long an intercept may take to accept a connection.
const answerWithin = 2 * time.Second

// Check implements appliance.Tool: it opens what Run would, with small rings, and
// closes it again. What is missing and may come by itself is a warning, because
// tcpcopy waits for it.
func (t *tcpcopy) Check(ctx context.Context) (problems, warnings []string) {
	c := t.conf
	for _, err := range []error{checkTransfers(c), excludeHost(slog.New(slog.NewTextHandler(io.Discard, nil)), c), openAll(c)} {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	hops, err := ring.NewHops(ctx, c.OutInterface)
	if err != nil {
		return append(problems, err.Error()), warnings
	}
	var mu sync.Mutex
	var asked sync.WaitGroup
	seen := map[netip.Addr]bool{}
	for _, x := range c.Transfers {
		if x.NextHopMAC != nil || seen[x.Target.Addr()] {
			continue
		}
		seen[x.Target.Addr()] = true
		asked.Go(func() {
			_, err := hops.Add(x.Target.Addr())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
			case errors.Is(err, unix.EPERM):
				problems = append(problems, err.Error())
			default:
				warnings = append(warnings, err.Error())
			}
		})
	}
	for _, addr := range c.Intercepts {
		asked.Go(func() {
			if err := reach(ctx, addr); err != nil {
				mu.Lock()
				defer mu.Unlock()
				warnings = append(warnings, err.Error())
			}
		})
	}
	asked.Wait()
	return problems, warnings
}

// openAll tries to open the packet sockets that Run needs.
func openAll(c *conf.Tcpcopy) error {
	mode := ring.Link
	if c.SendMode == conf.SendRaw {
		mode = ring.Raw
	}
	tx, err := ring.NewTx(mode)
	if err != nil {
		return err
	}
	if err := tx.Close(); err != nil {
		return err
	}
	names := c.Interfaces
	switch {
	case len(c.Replay.Files) > 0 && len(c.Intercepts) > 0:
		return nil // nothing is captured
	case len(c.Replay.Files) > 0 || len(names) == 0:
		names = []string{""}
	}
	for _, name := range names {
		r, err := ring.Open(ring.Config{Interface: name, Blocks: 2, Promiscuous: c.Promiscuous && len(c.Replay.Files) == 0})
		if err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// reach tries to connect to an intercept.
func reach(ctx context.Context, intercept netip.AddrPort) error {
	d := net.Dialer{Timeout: answerWithin}
	conn, err := d.DialContext(ctx, "tcp", intercept.String())
	if err != nil {
		return fmt.Errorf("no connection to intercept: %w: start it there, and let TCP to its port through", err)
	}
	return conn.Close()
}
