package matrix

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// redis is a redis at both ends, which counts the calls of each command.
func redis() row {
	r := row{
		name: "redis", port: 6379, needs: []string{"redis-server", "redis-cli"},
		start: func(ctx context.Context, c *cell) (online, target server, err error) {
			if online, err = c.redis(ctx, c.Online[0].Host); err == nil {
				target, err = c.redis(ctx, c.Target[0].Host)
			}
			return online, target, err
		},
	}
	for _, b := range []struct{ name, depth string }{{"redis-benchmark", "1"}, {"redis-pipelined", "16"}} {
		r.columns = append(r.columns, column{
			name: b.name, needs: []string{"redis-benchmark"},
			run: func(ctx context.Context, c *cell) error {
				return c.run(ctx, "redis-benchmark", "-h", lab.OnlineAddr4, "-n", "3000", "-c", "20", "-P", b.depth, "-r", "1000", "-q",
					"-t", "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset")
			},
		})
	}
	return r
}

func (c *cell) redis(ctx context.Context, h *lab.Host) (server, error) {
	socket := filepath.Join(c.Lab.Dir, h.Name+".sock")
	_, err := h.Serve(ctx, lab.Command{Name: "redis", Args: []string{"redis-server",
		"--port", "6379", "--unixsocket", socket, "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", c.Lab.Dir}}, 6379)
	if err != nil {
		return nil, err
	}
	return func() (Tally, int, error) {
		out, err := exec.Command("redis-cli", "-s", socket, "info", "commandstats").Output()
		served := Tally{}
		for _, line := range strings.Fields(string(out)) {
			name, rest, ok := strings.Cut(line, ":calls=")
			if !ok || name == "cmdstat_info" { // this question
				continue
			}
			calls, _, _ := strings.Cut(rest, ",")
			if served[name], err = strconv.Atoi(calls); err != nil {
				return nil, 0, err
			}
		}
		return served, 0, err
	}, nil
}
