package testbed

import (
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/relay"
)

// Small is what the small testbed can vary in.
type Small struct {
	lab.Options
	Origin
	Target        *Origin       // nil: the target is as production
	Port          int           // of servers that the test starts itself; 0: web servers on port 80
	V6            bool          // the load and the copy
	KeepAddresses bool          // clients keep their addresses, no -c
	LocalReplies  bool          // the copies' return route leads to production's host, no -s
	Loss          float64       // share of the copies' packets that the switch loses, both ways
	Wire          *relay.Config // to the target; nil: a good one
	Sysctls       []string      // of the target, as lab.Host.Sysctl takes them
	MTU           int           // of the target's interface; 0: 1500
	CaptureLoss   float64       // share of clients' packets that tcpcopy's capture misses, and production does not
	Args          []string      // of tcpcopy, besides the usual
}

// NewSmall builds a testbed on lab.Small: one server and one target.
func NewSmall(ctx context.Context, p Programs, o Small) (s *Testbed, err error) {
	s = &Testbed{Programs: p}
	if s.Lab, err = lab.Open(); err != nil {
		return nil, err
	}
	defer s.closeOn(&err)
	o.Options.Relay = o.Wire != nil
	n, err := s.Lab.NewSmall(o.Options)
	if err != nil {
		return nil, err
	}
	online, target, pool := lab.OnlineAddr4, lab.TargetAddr4, lab.Pool4
	client, assistant := lab.ClientAddr4, lab.AssistantAddr4
	if o.V6 {
		online, target, pool = lab.OnlineAddr6, lab.TargetAddr6, lab.Pool6
		client, assistant = lab.ClientAddr6, lab.AssistantAddr6
	}
	port := "80"
	if o.Port > 0 {
		port = strconv.Itoa(o.Port)
	}
	s.Backend = n.Backend
	s.Client, s.Front = n.Client, net.JoinHostPort(online, port)
	for i := range lab.ClientAddrs {
		s.Sources = append(s.Sources, client(i))
	}
	if err := s.degrade(n, o); err != nil {
		return nil, err
	}
	if err := s.startServers(ctx, n, o); err != nil {
		return nil, err
	}
	s.intercepts(n.Assistants, port)
	var assistants []string
	for i := range n.Assistants {
		assistants = append(assistants, assistant(i))
	}
	args := []string{p.Tcpcopy, "-x", port + "-" + net.JoinHostPort(target, port)}
	if o.LocalReplies {
		for _, half := range []string{"10.1.3.0/25", "10.1.3.128/25"} { // closer than lab.PoolNet4
			if err := n.Target.Route(half, "eth0", lab.OnlineAddr4); err != nil {
				return nil, err
			}
		}
	} else {
		args = append(args, "-s", strings.Join(assistants, ","))
	}
	if !o.KeepAddresses {
		args = append(args, "-c", pool)
	}
	if o.CaptureLoss > 0 {
		if err := n.MirrorOnline(o.CaptureLoss); err != nil {
			return nil, err
		}
		args = append(args, "-i", lab.MirrorInterface, "--promiscuous")
	}
	s.Copiers = []*Tool{newTool(n.Online, append(args, o.Args...)...)}
	return s, nil
}

// degrade gives the target and the path to it the faults that o names.
func (s *Testbed) degrade(n *lab.Small, o Small) error {
	if err := n.Target.Sysctl(o.Sysctls...); err != nil {
		return err
	}
	if o.MTU > 0 {
		if err := n.Target.MTU("eth0", o.MTU); err != nil {
			return err
		}
	}
	if o.Loss > 0 {
		if err := n.Switch.Lose(o.Loss, lab.PoolNet4, lab.PoolNet6); err != nil {
			return err
		}
	}
	if o.Wire == nil {
		return nil
	}
	_, err := n.Relay.Start(lab.Command{Name: "relay", Args: append([]string{s.Programs.Lab, "relay", "--between", "eth0,eth1"}, o.Wire.Args()...)})
	return err
}

// startServers starts the web servers, unless the test has servers of its own.
func (s *Testbed) startServers(ctx context.Context, n *lab.Small, o Small) (err error) {
	online, target := &Server{Host: n.Online}, &Server{Host: n.Target}
	if o.Port == 0 {
		if online, err = s.serve(ctx, n.Online, o.Origin); err != nil {
			return err
		}
		if o.Target == nil {
			o.Target = &o.Origin
		}
		if target, err = s.serve(ctx, n.Target, *o.Target); err != nil {
			return err
		}
	}
	s.Online, s.Target = []*Server{online}, []*Server{target}
	return nil
}

// intercepts puts the seed's command on each assistant.
func (s *Testbed) intercepts(assistants []*lab.Host, port string) {
	for _, a := range assistants {
		s.Intercepts = append(s.Intercepts, newTool(a, s.Programs.Intercept, "-i", "eth0", "-F", "tcp and src port "+port))
	}
}

// closeOn takes down a testbed that could not be set.
func (s *Testbed) closeOn(err *error) {
	if *err != nil {
		s.Close()
	}
}
