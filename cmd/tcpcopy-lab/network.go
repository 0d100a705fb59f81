package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/demo"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// networkFlags are common to the commands that build a network.
type networkFlags struct {
	gateway    string
	assistants int
	noOffload  bool
}

func (n *networkFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&n.gateway, "gateway", string(lab.L4), "kind of gateway under test: l4 (direct return) or l7 (full proxy)")
	f.IntVar(&n.assistants, "assistants", 1, "assistants that share the return route, 1 or 2")
	f.BoolVar(&n.noOffload, "no-offload", false, "turn segmentation and checksum offloads off on every interface")
}

// check refuses what cannot be built, and tells what the machine lacks.
func (n *networkFlags) check() (testbed.Programs, error) {
	var p testbed.Programs
	if n.gateway != string(lab.L4) && n.gateway != string(lab.L7) {
		return p, fmt.Errorf("--gateway %q: want l4 or l7", n.gateway)
	}
	if n.assistants < 1 || n.assistants > 2 {
		return p, fmt.Errorf("--assistants %d: want 1 or 2", n.assistants)
	}
	return programs()
}

// programs are the binaries beside this one, where the machine can have labs.
func programs() (p testbed.Programs, err error) {
	if lacks := lab.Missing(); len(lacks) > 0 {
		return p, errors.New("this machine lacks what the lab is made of:\n  " + strings.Join(lacks, "\n  "))
	}
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	return testbed.In(filepath.Dir(self))
}

func runDemo(ctx context.Context, args []string) error {
	var n networkFlags
	f := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	n.flags(f)
	alone := f.Duration("alone", 10*time.Second, "how long to run production alone")
	copied := f.Duration("copied", 30*time.Second, "how long to copy")
	rate := f.Float64("rate", 1500, "requests per second")
	out := f.String("json", "", "write the verdict as JSON to this file")
	if err := parse(f, args); err != nil {
		return err
	}
	programs, err := n.check()
	if err != nil {
		return err
	}
	// `demo | head` takes the lab down in order. Only here: a server's broken
	// connections bring the signal too, once it is asked for.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stop()
	_, err = unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	report, err := demo.Run(ctx, programs, demo.Config{
		Gateway: lab.Gateway(n.gateway), Assistants: n.assistants, Offload: !n.noOffload,
		Alone: *alone, Copied: *copied, Rate: *rate, Terminal: err == nil,
	}, os.Stdout)
	if err != nil {
		return err
	}
	if *out != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(*out, append(text, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	if !report.Exact() {
		return errors.New("the copy is not exact")
	}
	return nil
}

func runUp(ctx context.Context, args []string) error {
	var n networkFlags
	f := pflag.NewFlagSet("up", pflag.ContinueOnError)
	n.flags(f)
	if err := parse(f, args); err != nil {
		return err
	}
	programs, err := n.check()
	if err != nil {
		return err
	}
	s, err := testbed.NewSeed(ctx, programs, testbed.Seed{
		Options: lab.Options{Offload: !n.noOffload, Assistants: n.assistants}, Gateway: lab.Gateway(n.gateway),
	})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println(demo.Picture(lab.Gateway(n.gateway), n.assistants))
	fmt.Println("Enter a host:")
	for _, h := range s.Lab.Hosts() {
		fmt.Printf("  ip netns exec %s bash\n", h.Namespace())
	}
	fmt.Println("\nCopy, each in a shell of its own:")
	for _, t := range append(append([]*testbed.Tool{}, s.Intercepts...), s.Copiers...) {
		fmt.Printf("  ip netns exec %s %s\n", t.Host.Namespace(), filepath.Join(filepath.Dir(programs.Lab), t.String()))
	}
	fmt.Printf("\nSend requests:\n  ip netns exec %s %s load --target %s --source %s --conns 50 --rate 1000 --duration 30s\n",
		s.Client.Namespace(), programs.Lab, s.Front, strings.Join(s.Sources, ","))
	fmt.Printf("\nLogs are in %s. Ctrl-C takes all of it down.\n", s.Lab.Dir)
	<-ctx.Done()
	return nil
}

func runClean(_ context.Context, args []string) error {
	if err := parse(pflag.NewFlagSet("clean", pflag.ContinueOnError), args); err != nil {
		return err
	}
	runs, err := lab.Clean()
	for _, r := range runs {
		fmt.Println("removed lab", r)
	}
	return err
}
