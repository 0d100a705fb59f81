package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance"
	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/capture/leak"
	"github.com/tcpcopy-go/tcpcopy/pipeline/link"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

// summaryInterval is how often a line of totals is logged.
const summaryInterval = 10 * time.Second

// intercept is the program and its parts.
type intercept struct {
	conf    *conf.Intercept
	program []bpf.RawInstruction

	host     *appliance.Appliance
	guard    *leak.Guard
	router   *reply.Router
	server   *link.Server
	captures []interfaceCapture
}

// Process implements appliance.Tool.
func (i *intercept) Process() *conf.Process { return &i.conf.Process }

// Reload implements appliance.Tool.
func (i *intercept) Reload(next appliance.Tool) error {
	n := next.(*intercept)
	if err := i.setFilter(n.program); err != nil {
		return err
	}
	i.conf, i.program = n.conf, n.program
	return nil
}

// Run implements appliance.Tool.
func (i *intercept) Run(ctx context.Context, host *appliance.Appliance) error {
	i.host = host
	guard, err := leak.NewGuard(i.conf.Interfaces)
	if err != nil {
		return err
	}
	defer guard.Close()
	i.guard = guard
	if err := i.refuseLeaks(); err != nil {
		return err
	}
	i.router = reply.NewRouter(i.conf.RouteTimeout, i.conf.DelayTable)
	i.server = link.NewServer(link.ServerConfig{
		Name:   i.conf.Name,
		Secret: i.conf.Secret,
		Router: i.router,
		Single: i.conf.Single,
		Admit:  guard.Check,
		Logger: host.Log,
	})
	defer i.closeCaptures()
	if err := i.openCaptures(); err != nil {
		return err
	}
	listeners, err := i.listen(ctx)
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for _, c := range i.captures {
		wg.Go(func() { c.packets.Run(ctx) })
		wg.Go(func() {
			if err := c.replies.Work(ctx, never); err != nil {
				fail(err)
			}
		})
	}
	wg.Go(func() { _ = i.server.Serve(ctx, listeners...) }) // it logs its errors
	wg.Go(func() { guard.Watch(ctx, host.Log, i.router.Claims) })
	host.Registry.MustRegister(collector{i})
	host.Keep(unix.CAP_NET_RAW) // for an interface that comes again
	host.Ready()
	i.report(ctx)
	wg.Wait()
	i.summarize()
	if err := context.Cause(ctx); err != context.Canceled {
		return err
	}
	return nil
}

func never() bool { return false }

// refuseLeaks ends the start where any claim would be refused for the way that
// this host forwards. Where some claims may be right, each is looked at when
// it is made.
func (i *intercept) refuseLeaks() error {
	if err := i.guard.CheckAll(); err != nil {
		return err
	}
	on, err := i.guard.Forwarding()
	if err != nil {
		return err
	}
	for _, key := range on {
		i.host.Log.Warn("this host forwards packets: addresses with a route are refused to tcpcopys", "sysctl", key+"=1", "mend", "sysctl -w "+key+"=0")
	}
	return nil
}

// listen opens all the sockets for tcpcopys.
func (i *intercept) listen(ctx context.Context) ([]net.Listener, error) {
	var ls []net.Listener
	for _, a := range i.conf.Listen {
		l, err := link.Listen(ctx, a)
		if err != nil {
			for _, l := range ls {
				_ = l.Close()
			}
			return nil, fmt.Errorf("listen for tcpcopys: %w; choose another -p or -b", err)
		}
		i.host.Log.Info("listening for tcpcopys", "address", l.Addr().String())
		ls = append(ls, l)
	}
	return ls, nil
}

// report logs totals until ctx is done.
func (i *intercept) report(ctx context.Context) {
	summary := time.NewTicker(summaryInterval)
	defer summary.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-summary.C:
			i.summarize()
		}
	}
}
