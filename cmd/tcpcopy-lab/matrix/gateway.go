package matrix

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// A gateway is a proxy of HTTP, which has to be told how to pass each request
// on to the backend, once, and to keep its clients' connections open.
type gateway struct {
	name    string
	program string
	// file is its configuration, in which BACKEND, DIR and PROTOCOL stand for
	// the backend's address, a directory of its own and one of protocols.
	file      string
	protocols [2]string // for HTTP/1.1, and for HTTP/2 in cleartext with prior knowledge
	// command runs it in the foreground with the file conf, in dir.
	command func(conf, dir string) []string
}

var proxies = []gateway{haproxy, varnish, apache, caddy, lighttpd, nginx}

var haproxy = gateway{
	name: "haproxy", program: "haproxy",
	protocols: [2]string{"", "proto h2"},
	file: `global
	maxconn 8000
defaults
	mode http
	retries 0
	timeout connect 5s
	timeout client 60s
	timeout server 60s
frontend clients
	bind :80 backlog 8192 PROTOCOL
	default_backend servers
backend servers
	server s1 BACKEND:80
`,
	command: func(conf, _ string) []string { return []string{"haproxy", "-db", "-f", conf} },
}

var varnish = gateway{
	name: "varnish", program: "varnishd",
	file: `vcl 4.1;
backend server { .host = "BACKEND"; .port = "80"; }
sub vcl_recv { return (pass); }
`,
	command: func(conf, dir string) []string {
		return []string{"varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "varnish"), "-f", conf, "-a", ":80",
			"-p", "feature=+http2", "-p", "listen_depth=8192", "-s", "malloc,64m"}
	},
}

var apache = gateway{
	name: "apache", program: "apache2",
	protocols: [2]string{"http/1.1", "h2c http/1.1"},
	file: `ServerRoot DIR
DefaultRuntimeDir DIR
PidFile DIR/apache.pid
ErrorLog /dev/stderr
ServerName lab
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
ThreadsPerChild 64
MaxKeepAliveRequests 0
KeepAliveTimeout 60
ListenBacklog 8192
Listen 80
Protocols PROTOCOL
ProxyPass / http://BACKEND/
`,
	command: func(conf, _ string) []string { return []string{"apache2", "-D", "FOREGROUND", "-f", conf} },
}

var caddy = gateway{
	name: "caddy", program: "caddy",
	file: `{
	admin off
	auto_https off
	storage file_system DIR
	servers {
		protocols h1 h2c
	}
}
:80 {
	reverse_proxy BACKEND:80
}
`,
	command: func(conf, dir string) []string {
		return []string{"env", "HOME=" + dir, "caddy", "run", "--adapter", "caddyfile", "--config", conf}
	},
}

var lighttpd = gateway{
	name: "lighttpd", program: "lighttpd",
	file: `server.port = 80
server.document-root = "DIR"
server.upload-dirs = ( "DIR" )
server.modules = ( "mod_proxy" )
server.listen-backlog = 8192
server.max-connections = 4096
server.max-fds = 16384
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 60
server.feature-flags = ( "server.h2proto" => "enable", "server.h2c" => "enable" )
proxy.server = ( "" => ( ( "host" => "BACKEND", "port" => 80 ) ) )
`,
	command: func(conf, _ string) []string { return []string{"lighttpd", "-D", "-f", conf} },
}

// nginx is the lab's own configuration.
var nginx = gateway{name: "nginx", program: "nginx"}

// gateways are the rows of the proxies: production is an nginx, which answers a
// request without waiting for its body; behind the gateway is another one,
// which does wait.
func gateways() (rows []row) {
	for _, g := range proxies {
		rows = append(rows, row{
			name: g.name, port: 80, backend: true, needs: []string{g.program, "nginx"}, columns: httpClients,
			start: func(ctx context.Context, c *cell) (online, target server, err error) {
				if online, err = c.serve(ctx, c.Online[0].Host, web.Nginx{HTTP2: c.column.http2}); err != nil {
					return nil, nil, err
				}
				if target, err = c.serve(ctx, c.Backend, web.Nginx{WholeBody: true}); err != nil {
					return nil, nil, err
				}
				return online, target, g.start(ctx, c)
			},
		})
	}
	return rows
}

// serve starts an nginx and returns what it logs.
func (c *cell) serve(ctx context.Context, h *lab.Host, n web.Nginx) (server, error) {
	dir, err := c.dir(h)
	if err != nil {
		return nil, err
	}
	n.Dir, n.Log = dir, filepath.Join(dir, "access.log")
	command, err := n.Command()
	if err != nil {
		return nil, err
	}
	if _, err := h.Serve(ctx, lab.Command{Name: "nginx", Args: command}, 80); err != nil {
		return nil, err
	}
	return func() (Tally, int, error) { return nginxServed(n.Log) }, nil
}

// nginxServed counts the requests in a log. nginx logs those whose client left
// before their end, too, with another status.
func nginxServed(log string) (served Tally, partial int, err error) {
	entries, err := web.ReadLog(log, 0)
	served = Tally{}
	for _, e := range entries {
		if e.Status == http.StatusOK {
			served[e.URI]++
		} else {
			partial++
		}
	}
	return served, partial, err
}

// start starts the gateway on the target's host.
func (g gateway) start(ctx context.Context, c *cell) error {
	h := c.Target[0].Host
	dir, err := c.dir(h)
	if err != nil {
		return err
	}
	var command []string
	if g.file == "" {
		command, err = web.Nginx{
			Dir: dir, Log: filepath.Join(dir, "gateway.log"), HTTP2: c.column.http2,
			Upstream: []string{net.JoinHostPort(lab.BackendAddr4, "80")},
		}.Command()
	} else {
		protocol := g.protocols[0]
		if c.column.http2 {
			protocol = g.protocols[1]
		}
		var conf string
		conf, err = c.file(g.name+".conf", replace(g.file, "BACKEND", lab.BackendAddr4, "DIR", dir, "PROTOCOL", protocol))
		command = g.command(conf, dir)
	}
	if err != nil {
		return err
	}
	if _, err := h.Serve(ctx, lab.Command{Name: g.name, Args: command}, 80); err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	return nil
}
