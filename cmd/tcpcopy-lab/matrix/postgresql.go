package matrix

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// postgreSQL is a PostgreSQL at both ends, which logs each statement.
func postgreSQL() row {
	r := row{
		name: "postgresql", port: 5432, needs: []string{"postgres", "initdb", "pgbench"},
		start: func(ctx context.Context, c *cell) (online, target server, err error) {
			if online, err = c.postgreSQL(ctx, c.Online[0].Host); err == nil {
				target, err = c.postgreSQL(ctx, c.Target[0].Host)
			}
			return online, target, err
		},
	}
	for _, b := range []struct {
		name string
		args []string
	}{{"pgbench", nil}, {"pgbench-prepared", []string{"-S", "-M", "prepared"}}} {
		r.columns = append(r.columns, column{
			name: b.name,
			run: func(ctx context.Context, c *cell) error {
				args := append([]string{debianPath("pgbench"), "-h", lab.OnlineAddr4, "-U", "postgres", "-n", "-c", "10", "-t", "100"}, b.args...)
				return c.run(ctx, append(args, "postgres")...)
			},
		})
	}
	return r
}

// nobody is an unprivileged user and group: postgres refuses to run as root.
const nobody = 65534

// debianPath is the path of a program; Debian keeps PostgreSQL's out of PATH.
func debianPath(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}

func (c *cell) postgreSQL(ctx context.Context, h *lab.Host) (server, error) {
	dir := filepath.Join(c.Lab.Dir, h.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		return nil, err
	}
	unprivileged := []string{"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups"}
	initdb := append(unprivileged, debianPath("initdb"), "-U", "postgres", "--auth=trust", "--no-sync", "-D", dir)
	if out, err := exec.CommandContext(ctx, initdb[0], initdb[1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "pg_hba.conf"), []byte("local all all trust\nhost all all all trust\n"), 0o644); err != nil {
		return nil, err
	}
	p, err := h.Serve(ctx, lab.Command{Name: "postgres", Args: append(unprivileged, debianPath("postgres"), "-D", dir,
		"-c", "listen_addresses=*", "-c", "unix_socket_directories="+dir, "-c", "fsync=off", "-c", "jit=off",
		"-c", "log_statement=all", "-c", "log_line_prefix=%h ")}, 5432)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) { // it listens before it is ready
		out, err := exec.CommandContext(ctx, debianPath("pgbench"), "-i", "-q", "-h", dir, "-U", "postgres", "postgres").CombinedOutput()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("pgbench -i: %w\n%s", err, out)
		}
	}
	return func() (Tally, int, error) {
		text, err := os.ReadFile(p.Log)
		served := Tally{}
		for line := range strings.Lines(string(text)) {
			client, what, _ := strings.Cut(strings.TrimSpace(line), " ")
			if client != "[local]" && (strings.HasPrefix(what, "LOG:  statement:") || strings.HasPrefix(what, "LOG:  execute") || strings.HasPrefix(what, "DETAIL:  parameters:")) {
				served[what]++
			}
		}
		return served, 0, err
	}, nil
}
