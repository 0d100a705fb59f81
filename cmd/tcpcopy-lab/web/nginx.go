package web

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Nginx describes an nginx of the lab: one process, in the foreground.
type Nginx struct {
	Dir       string   // for its configuration, temporary files, documents; must exist
	Log       string   // access log
	Downloads []int    // sizes that /d/<bytes>/ can ask for
	Upstream  []string // servers to be a proxy to; none: serve documents
	Requests  int      // closes a connection after so many; 0: never
	Padding   int      // bytes that its answers' headers are longer
	Backlog   int      // of the listening socket; 0: plenty
	HTTP2     bool     // cleartext HTTP/2 instead of HTTP/1.1
	WholeBody bool     // answers when it has read the request's body; else only below /u/, and early elsewhere
}

const nginxConf = `daemon off;
master_process off;
error_log stderr warn;
pid %[1]s/nginx.pid;
worker_rlimit_nofile 65536;
events { worker_connections 16384; }
http {
	log_format lab '$msec $connection $connection_requests $request_uri $remote_addr:$remote_port $request_length $status';
	access_log %[2]s lab;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	client_max_body_size 0;
	client_body_buffer_size 2m;
	keepalive_requests %[4]d;
	keepalive_timeout 600;
	sendfile on;
	tcp_nopush on;
	default_type text/plain;
%[3]s}
`

const originServer = `	server {
		listen 80 %[2]s;
		listen [::]:80 %[2]s;
		%[3]s
		root %[1]s/documents;
		location ~ ^/d/(\d+)/ { try_files /$1 =404; }
		location /u/ { proxy_pass http://127.0.0.1:8081; } # takes the whole body first
		location / { %[4]s; }
	}
	server {
		listen 127.0.0.1:8081;
		access_log off;
		location / { return 200 ok; }
	}
`

// A request tried on two servers would be counted twice: no next upstream.
const proxyServer = `	upstream servers {
		%[1]s
		keepalive 256;
		keepalive_requests 100000000;
	}
	server {
		listen 80 %[2]s;
		location / {
			proxy_pass http://servers;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_next_upstream off;
		}
	}
`

// Command writes the configuration and returns the command that serves it on
// port 80: documents, or a proxy where there is an upstream.
func (n Nginx) Command() ([]string, error) {
	documents := filepath.Join(n.Dir, "documents")
	if err := os.MkdirAll(documents, 0o755); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	for _, size := range n.Downloads {
		text := strings.Repeat(string(block), size/len(block)+1)[:size]
		if err := os.WriteFile(filepath.Join(documents, fmt.Sprint(size)), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	listen, header := fmt.Sprintf("backlog=%d", cmp.Or(n.Backlog, 8192)), ""
	if n.HTTP2 {
		listen += " http2"
	}
	if n.Padding > 0 {
		header = fmt.Sprintf("add_header X-Padding %s;", strings.Repeat("x", n.Padding))
	}
	answer := "return 200 ok"
	if n.WholeBody {
		answer = "proxy_pass http://127.0.0.1:8081"
	}
	server := fmt.Sprintf(originServer, n.Dir, listen, header, answer)
	if len(n.Upstream) > 0 {
		server = fmt.Sprintf(proxyServer, "server "+strings.Join(n.Upstream, ";\n\t\tserver ")+";", listen)
	}
	const unlimited = 100_000_000
	conf := filepath.Join(n.Dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, n.Dir, n.Log, server, cmp.Or(n.Requests, unlimited)), 0o644); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return []string{"nginx", "-e", "stderr", "-c", conf}, nil
}
