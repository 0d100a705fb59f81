package matrix

import (
	"context"
	_ "embed"
	"os"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

//go:embed websocket.py
var webSocketScript string

// webSocket is a server of Python's module websockets at both ends. It pings
// its clients, each end at times of its own. What it was asked for is each
// message.
func webSocket() row {
	return row{
		name: "websockets", port: 8765, needs: []string{"python3", "python3-websockets"},
		columns: []column{{name: "websockets-ping", run: webSocketClients}},
		start: func(ctx context.Context, c *cell) (online, target server, err error) {
			if online, err = c.webSocketServer(ctx, c.Online[0].Host); err == nil {
				target, err = c.webSocketServer(ctx, c.Target[0].Host)
			}
			return online, target, err
		},
	}
}

func (c *cell) webSocketServer(ctx context.Context, h *lab.Host) (server, error) {
	script, err := c.file("websocket.py", webSocketScript)
	if err != nil {
		return nil, err
	}
	p, err := h.Serve(ctx, lab.Command{Name: "websockets", Args: []string{systemPython, script, "serve"}}, 8765)
	if err != nil {
		return nil, err
	}
	return func() (Tally, int, error) {
		text, err := os.ReadFile(p.Log)
		served := Tally{}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "message ") && strings.HasSuffix(line, "\n") {
				served[strings.TrimSpace(line)]++
			}
		}
		return served, 0, err
	}, nil
}

func webSocketClients(ctx context.Context, c *cell) error {
	return c.run(ctx, systemPython, c.Lab.Dir+"/websocket.py", "connect", lab.OnlineAddr4)
}
