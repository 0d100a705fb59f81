// Intercept runs on the assistant server: it captures the target's replies,
// which are routed there, and sends what their headers say to the tcpcopy whose
// sessions they belong to.
package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance"
	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

func main() { os.Exit(appliance.Main("intercept", parse)) }

func parse(args []string, out io.Writer) (appliance.Tool, error) {
	c, err := conf.ParseIntercept(args, out)
	if err != nil {
		return nil, err
	}
	program, err := compile(c.Filter)
	if err != nil {
		return nil, fmt.Errorf("-F: %w", err)
	}
	return &intercept{conf: c, program: program}, nil
}

// compile makes the kernel's program of a filter.
func compile(expression string) ([]bpf.RawInstruction, error) {
	if expression == "" {
		expression = "tcp"
	}
	f, err := filter.Compile(expression)
	if err != nil {
		return nil, err
	}
	return f.Kernel(reply.Snap)
}
