// Command tcpcopy-lab builds networks on one machine to see tcpcopy at work:
// the demo, the test bed, the benchmark. See docs/lab.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/relay"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

const usage = `usage: tcpcopy-lab COMMAND [flags]

  demo     build the seed's network, copy live traffic for half a minute, judge it
  bench    measure what a copy costs, beside a second pair of binaries
  matrix   copy real clients' traffic onto real servers, each to each
  up       build a network and keep it until Ctrl-C
  clean    remove what killed labs left
  load     send HTTP requests at a set rate (used by the others, on a lab's host)
  web      serve HTTP (used where nginx is absent)
  balance  share connections among servers (used where haproxy is absent)
  relay    carry frames between two interfaces, with faults (used on a lab's host)

tcpcopy-lab COMMAND --help tells the flags.
`

// A command runs with its flags' arguments and returns when done or when ctx
// ends.
type command func(ctx context.Context, args []string) error

var commands = map[string]command{
	"demo":    runDemo,
	"bench":   runBench,
	"matrix":  runMatrix,
	"up":      runUp,
	"clean":   runClean,
	"load":    runLoad,
	"web":     runWeb,
	"balance": runBalance,
	"relay":   runRelay,
}

// errUsage is a mistake on the command line, already told.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		fmt.Print(usage)
		return 0
	}
	c, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(os.Stderr, "tcpcopy-lab: no command %q\n\n%s", args[0], usage)
		return 2
	}
	err := c(ctx, args[1:])
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "tcpcopy-lab: interrupted, nothing is left behind")
		return 130
	}
	fmt.Fprintln(os.Stderr, "tcpcopy-lab:", err)
	return 1
}

// parse reads args into the flags of a command that takes nothing else.
func parse(f *pflag.FlagSet, args []string) error {
	err := f.Parse(args)
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "tcpcopy-lab %s: %v\n%s", f.Name(), err, f.FlagUsages())
		return errUsage
	}
	return err
}

func runLoad(ctx context.Context, args []string) error {
	var c load.Config
	f := pflag.NewFlagSet("load", pflag.ContinueOnError)
	c.Flags(f)
	if err := parse(f, args); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	report, err := load.Run(ctx, c, os.Stdin, func(l load.Line) { out.Encode(l) })
	if err != nil {
		return err
	}
	return out.Encode(load.Line{Report: report})
}

func runWeb(ctx context.Context, args []string) error {
	f := pflag.NewFlagSet("web", pflag.ContinueOnError)
	listen := f.String("listen", ":80", "address to serve on")
	log := f.String("log", "/dev/stdout", "access log")
	manner := f.String("manner", "", "treat clients as production does not: mute, reset, late, slow or shy")
	upstream := f.StringSlice("upstream", nil, "servers to be a proxy to, instead of answering")
	if err := parse(f, args); err != nil {
		return err
	}
	return web.Serve(ctx, *listen, *log, web.Fault(*manner), *upstream...)
}

func runBalance(ctx context.Context, args []string) error {
	f := pflag.NewFlagSet("balance", pflag.ContinueOnError)
	listen := f.String("listen", ":80", "address to accept connections on")
	servers := f.StringSlice("server", nil, "servers that take them in turn")
	if err := parse(f, args); err != nil {
		return err
	}
	if len(*servers) == 0 {
		return errors.New("balance: name the servers with --server")
	}
	return web.Balance(ctx, *listen, *servers)
}

func runRelay(ctx context.Context, args []string) error {
	var c relay.Config
	f := pflag.NewFlagSet("relay", pflag.ContinueOnError)
	c.Flags(f)
	between := f.StringSlice("between", nil, "the two interfaces, A,B")
	if err := parse(f, args); err != nil {
		return err
	}
	if len(*between) != 2 {
		return errors.New("relay: name two interfaces with --between A,B")
	}
	r, err := relay.Open(c, (*between)[0], (*between)[1])
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Run(ctx)
}
