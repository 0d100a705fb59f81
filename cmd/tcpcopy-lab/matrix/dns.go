package matrix

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// unbound is a DNS server at both ends, asked over TCP.
func unbound() row {
	return row{
		name: "unbound", port: 53, needs: []string{"unbound"},
		columns: []column{{name: "dnsperf", needs: []string{"dnsperf"}, run: dnsperf}},
		start: func(ctx context.Context, c *cell) (online, target server, err error) {
			if online, err = c.unbound(ctx, c.Online[0].Host); err == nil {
				target, err = c.unbound(ctx, c.Target[0].Host)
			}
			return online, target, err
		},
	}
}

const unboundConf = `server:
	interface: 0.0.0.0
	access-control: 0.0.0.0/0 allow
	do-daemonize: no
	use-syslog: no
	log-queries: yes
	chroot: ""
	username: ""
	pidfile: ""
	directory: "DIR"
	num-threads: 1
	incoming-num-tcp: 1000
	module-config: "iterator"
	local-zone: "lab." redirect
	local-data: "lab. A 192.0.2.1"
remote-control:
	control-enable: no
`

func (c *cell) unbound(ctx context.Context, h *lab.Host) (server, error) {
	dir, err := c.dir(h)
	if err != nil {
		return nil, err
	}
	conf, err := c.file(h.Name+"-unbound.conf", replace(unboundConf, "DIR", dir))
	if err != nil {
		return nil, err
	}
	p, err := h.Serve(ctx, lab.Command{Name: "unbound", Args: []string{"unbound", "-d", "-c", conf}}, 53)
	if err != nil {
		return nil, err
	}
	return func() (Tally, int, error) {
		text, err := os.ReadFile(p.Log)
		served := Tally{}
		for line := range strings.Lines(string(text)) {
			// [time] unbound[pid:thread] info: client name type class
			_, query, ok := strings.Cut(line, "info: ")
			if f := strings.Fields(query); ok && len(f) == 4 && f[3] == "IN" {
				served[f[1]]++
			}
		}
		return served, 0, err
	}, nil
}

func dnsperf(ctx context.Context, c *cell) error {
	var names strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&names, "q%d.lab A\n", i)
	}
	queries, err := c.file("queries", names.String())
	if err != nil {
		return err
	}
	return c.run(ctx, "dnsperf", "-s", lab.OnlineAddr4, "-m", "tcp", "-c", "10", "-q", "100", "-n", "1", "-d", queries)
}
