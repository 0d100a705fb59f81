package stage

import (
	"context"
	"net"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// Small is what the small stage can vary in.
type Small struct {
	lab.Options
	Origin
	V6   bool    // the load and the copy
	Keep bool    // clients keep their addresses, no -c
	Loss float64 // share of the copies' packets that the switch loses, both ways
}

// NewSmall sets the stage on lab.Small: one server, one target.
func NewSmall(ctx context.Context, p Programs, o Small) (s *Stage, err error) {
	s = &Stage{Programs: p}
	if s.Lab, err = lab.Open(); err != nil {
		return nil, err
	}
	defer s.closeOn(&err)
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
	s.Client, s.Front = n.Client, net.JoinHostPort(online, "80")
	for i := range lab.ClientAddrs {
		s.Sources = append(s.Sources, client(i))
	}
	for _, side := range []struct {
		sites *[]*Site
		host  *lab.Host
	}{{&s.Online, n.Online}, {&s.Target, n.Target}} {
		site, err := s.serve(ctx, side.host, o.Origin)
		if err != nil {
			return nil, err
		}
		*side.sites = append(*side.sites, site)
	}
	s.intercepts(n.Assistants)
	var assistants []string
	for i := range n.Assistants {
		assistants = append(assistants, assistant(i))
	}
	// Both sides, the clients and tcpcopy share two cores here: it waits longer
	// for its turn than on a production host, and its rings must last.
	args := []string{p.Tcpcopy, "-x", "80-" + net.JoinHostPort(target, "80"), "-s", strings.Join(assistants, ","), "-B", "64"}
	if !o.Keep {
		args = append(args, "-c", pool)
	}
	s.Copiers = []*Tool{newTool(n.Online, args...)}
	if o.Loss > 0 {
		err = n.Switch.Lose(o.Loss, lab.PoolNet4, lab.PoolNet6)
	}
	return s, err
}

// intercepts puts the seed's command on each assistant.
func (s *Stage) intercepts(assistants []*lab.Host) {
	for _, a := range assistants {
		s.Intercepts = append(s.Intercepts, newTool(a, s.Programs.Intercept, "-i", "eth0", "-F", "tcp and src port 80"))
	}
}

// closeOn takes down a stage that could not be set.
func (s *Stage) closeOn(err *error) {
	if *err != nil {
		s.Close()
	}
}
