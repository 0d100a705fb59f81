package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
)

// program is the path of a real server or client of these tests.
func program(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	// Debian keeps PostgreSQL's server programs here.
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	t.Fatalf("no %s: run .ci/install %s", name, name)
	return ""
}

// run runs a client on production's client, and wants it to succeed.
func (p *scenario) run(args ...string) {
	p.Helper()
	c, err := p.Client.Start(lab.Command{Name: filepath.Base(args[0]), Args: args})
	p.must(err)
	select {
	case <-c.Done:
	case <-time.After(60 * time.Second):
		c.Kill()
		p.Fatalf("%v does not end:\n%s", args, c.Tail(10))
	}
	if status, err := c.Wait(); status != 0 || err != nil {
		p.Fatalf("%v: exit status %d, %v\n%s", args, status, err, c.Tail(10))
	}
}

func TestRedisCountsTheSameCommandsAtBothServers(t *testing.T) {
	server, client, cli := program(t, "redis-server"), program(t, "redis-benchmark"), program(t, "redis-cli")
	for name, depth := range map[string]string{"one by one": "1", "pipelined": "16"} {
		t.Run(name, func(t *testing.T) {
			p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Port: 6379})
			start := func(h *lab.Host) (calls func() []string) {
				socket := filepath.Join(p.Lab.Dir, h.Name+".sock")
				_, err := h.Serve(p.ctx, lab.Command{Name: "redis", Args: []string{server,
					"--port", "6379", "--unixsocket", socket, "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", p.Lab.Dir}}, 6379)
				p.must(err)
				return func() []string { return commands(t, cli, socket) }
			}
			online, target := start(p.Online[0].Host), start(p.Target[0].Host)
			p.copy()
			p.run(client, "-h", lab.OnlineAddr4, "-n", "3000", "-c", "20", "-P", depth, "-r", "1000", "-q",
				"-t", "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset")
			p.wantSame(online, target)
			p.end()
		})
	}
}

// commands is how often a redis ran each command, as it counts.
func commands(t *testing.T, cli, socket string) (calls []string) {
	t.Helper()
	out, err := exec.Command(cli, "-s", socket, "info", "commandstats").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields(string(out)) {
		if name, rest, ok := strings.Cut(line, ":calls="); ok && name != "cmdstat_info" { // this asking
			n, _, _ := strings.Cut(rest, ",")
			calls = append(calls, name+" "+n)
		}
	}
	slices.Sort(calls)
	return calls
}

// Every session's statements, in order, are those of a session in production.
func TestPostgreSQLRunsTheSameStatementsInTheSameOrderAtBothServers(t *testing.T) {
	postgres, initdb, pgbench := program(t, "postgres"), program(t, "initdb"), program(t, "pgbench")
	for name, args := range map[string][]string{
		"select only":        {"-S", "-n"},
		"TPC-B":              {"-n"},
		"prepared":           {"-S", "-n", "-M", "prepared"},
		"a connection a job": {"-S", "-n", "-C", "-R", "300"},
	} {
		t.Run(name, func(t *testing.T) {
			p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Port: 5432})
			start := func(h *lab.Host) (sessions func() []string) {
				dir := filepath.Join(p.Lab.Dir, h.Name)
				p.must(os.Mkdir(dir, 0o700))
				p.must(os.Chown(dir, nobody, nobody))
				unprivileged := []string{"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups"}
				initialise := append(unprivileged, initdb, "-U", "postgres", "--auth=trust", "--no-sync", "-D", dir)
				if out, err := exec.Command(initialise[0], initialise[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("initdb: %v\n%s", err, out)
				}
				p.must(os.WriteFile(filepath.Join(dir, "pg_hba.conf"), []byte("local all all trust\nhost all all all trust\n"), 0o644))
				server, err := h.Serve(p.ctx, lab.Command{Name: "postgres", Args: append(unprivileged, postgres, "-D", dir,
					"-c", "listen_addresses=*", "-c", "unix_socket_directories="+dir, "-c", "fsync=off", "-c", "jit=off",
					"-c", "log_statement=all", "-c", "log_line_prefix=%h %c ")}, 5432)
				p.must(err)
				var out []byte
				for range 50 { // it listens before it is ready
					out, err = exec.Command(pgbench, "-i", "-q", "-h", dir, "-U", "postgres", "postgres").CombinedOutput()
					if err == nil {
						return func() []string { return statements(t, server.Log) }
					}
					time.Sleep(100 * time.Millisecond)
				}
				t.Fatalf("pgbench -i: %v\n%s", err, out)
				return nil
			}
			online, target := start(p.Online[0].Host), start(p.Target[0].Host)
			p.copy()
			p.run(append([]string{pgbench, "-h", lab.OnlineAddr4, "-U", "postgres", "-c", "10", "-t", "60"}, append(args, "postgres")...)...)
			p.wantSame(online, target)
			p.end()
		})
	}
}

// nobody is an unprivileged user and group: postgres refuses to run as root.
const nobody = 65534

// statements is what each session over TCP had executed, a line for each, in
// an order of its own.
func statements(t *testing.T, log string) (sessions []string) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]string{}
	for line := range strings.Lines(string(text)) {
		from, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		session, what, _ := strings.Cut(rest, " ")
		if from == "[local]" || !strings.Contains(line, "LOG:  statement:") && !strings.Contains(line, "LOG:  execute") && !strings.Contains(line, "DETAIL:  parameters:") {
			continue
		}
		by[session] += what + "; "
	}
	for _, s := range by {
		sessions = append(sessions, s)
	}
	slices.Sort(sessions)
	return sessions
}

// The streams of a connection are concurrent; that each connection brought the
// same requests is what can be compared.
func TestCleartextHTTP2IsCopied(t *testing.T) {
	h2load := program(t, "h2load")
	program(t, "nginx")
	p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Origin: testbed.Origin{HTTP2: true}})
	uris := filepath.Join(p.Lab.Dir, "uris")
	var list strings.Builder
	for i := range 200 {
		fmt.Fprintf(&list, "http://%s/r/%d?%s\n", lab.OnlineAddr4, i, strings.Repeat("x", i*5))
	}
	p.must(os.WriteFile(uris, []byte(list.String()), 0o644))
	p.copy()
	p.run(h2load, "-n", "4000", "-c", "20", "-m", "10", "--rps", "100", "-i", uris)
	p.wantSame(func() []string { return p.requests(p.Online[0], true) }, func() []string { return p.requests(p.Target[0], true) })
	if n := p.TargetCount(); n != 4000 {
		p.Errorf("%d requests at the target, want 4000", n)
	}
	p.end()
}
