package testbed

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// Seed is what the seed's testbed can vary in.
type Seed struct {
	lab.Options
	Origin
	Gateway lab.Gateway
}

// NewSeed builds a testbed on lab.Seed, the network of the seed document, with
// the document's commands.
func NewSeed(ctx context.Context, p Programs, o Seed) (s *Testbed, err error) {
	s = &Testbed{Programs: p}
	if s.Lab, err = lab.Open(); err != nil {
		return nil, err
	}
	defer s.closeOn(&err)
	n, err := s.Lab.NewSeed(o.Gateway, o.Options)
	if err != nil {
		return nil, err
	}
	s.Client, s.Front = n.Client, net.JoinHostPort(lab.SeedF5, "80")
	s.Sources = lab.SeedClients()
	var production, behind []string
	for i, h := range n.S {
		server, err := s.serve(ctx, h, o.Origin)
		if err != nil {
			return nil, err
		}
		s.Online = append(s.Online, server)
		production = append(production, net.JoinHostPort(lab.SeedS(i), "80"))
	}
	if err := s.balance(ctx, n.F5, production); err != nil {
		return nil, err
	}
	for i, h := range n.B {
		server, err := s.serve(ctx, h, o.Origin)
		if err != nil {
			return nil, err
		}
		s.Target = append(s.Target, server)
		behind = append(behind, net.JoinHostPort(lab.SeedB(i), "80"))
	}
	if o.Gateway == lab.L7 {
		if s.Gateway, err = s.serve(ctx, n.Gateway, o.Origin, behind...); err != nil {
			return nil, err
		}
	}
	s.intercepts(n.Assistants, "80")
	var assistants []string
	for i := range n.Assistants {
		assistants = append(assistants, lab.AssistantAddr4(i))
	}
	for i, h := range n.S {
		s.Copiers = append(s.Copiers, newTool(h, p.Tcpcopy,
			"-x", fmt.Sprintf("80-%s-80", lab.SeedGateway), "-s", strings.Join(assistants, ","), "-c", lab.SeedPool(i)))
	}
	return s, nil
}
