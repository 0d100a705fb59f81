package matrix

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// mosquitto is an MQTT broker at both ends. What it was asked for is each
// control packet that its clients sent, as its log has them: subscriptions,
// messages, acknowledgments.
func mosquitto() row {
	r := row{name: "mosquitto", port: 1883, needs: []string{"mosquitto"}}
	for qos := range 3 {
		clients := []string{"mosquitto_pub", "mosquitto_sub"}
		r.columns = append(r.columns,
			column{
				name: fmt.Sprintf("mqtt-qos%d", qos), needs: clients, notYet: qos == 2,
				run: func(ctx context.Context, c *cell) error { return c.messages(ctx, "new", qos) },
			},
			// Clients that were connected before tcpcopy started cannot be copied:
			// their CONNECT is missing. The others must not suffer.
			column{
				name: fmt.Sprintf("mqtt-qos%d-midway", qos), needs: clients, notYet: qos == 2,
				counts: func(packet string) bool { return strings.Contains(packet, " from new-") },
				before: func(ctx context.Context, c *cell) error { return c.connected(ctx, "old", qos) },
				run:    func(ctx context.Context, c *cell) error { return c.messages(ctx, "new", qos) },
			})
	}
	r.start = func(ctx context.Context, c *cell) (online, target server, err error) {
		if online, err = c.mosquitto(ctx, c.Online[0].Host); err == nil {
			target, err = c.mosquitto(ctx, c.Target[0].Host)
		}
		return online, target, err
	}
	return r
}

const mosquittoConf = `listener 1883
allow_anonymous true
user root
persistence false
max_queued_messages 0
sys_interval 0
log_dest stderr
log_type all
log_timestamp false
`

func (c *cell) mosquitto(ctx context.Context, h *lab.Host) (server, error) {
	conf, err := c.file(h.Name+"-mosquitto.conf", mosquittoConf)
	if err != nil {
		return nil, err
	}
	p, err := h.Serve(ctx, lab.Command{Name: "mosquitto", Args: []string{"mosquitto", "-c", conf}}, 1883)
	if err != nil {
		return nil, err
	}
	return func() (Tally, int, error) {
		text, err := os.ReadFile(p.Log)
		served := Tally{}
		for line := range strings.Lines(string(text)) {
			if packet, ok := strings.CutPrefix(strings.TrimSpace(line), "Received "); ok && !strings.HasPrefix(packet, "PINGREQ") {
				served[packet]++
			}
		}
		return served, 0, err
	}, nil
}

// The clients of a cell: each subscriber gets every message.
const (
	subscribers = 5
	publishers  = 5
	messages    = 100 // of each publisher
)

// messages has subscribers and publishers exchange messages to the end.
func (c *cell) messages(ctx context.Context, name string, qos int) error {
	level := fmt.Sprint(qos)
	for i := range subscribers {
		if _, err := c.start(lab.Command{Args: []string{"mosquitto_sub", "-h", lab.OnlineAddr4, "-i", fmt.Sprintf("%s-sub%d", name, i),
			"-q", level, "-t", name + "/#", "-C", fmt.Sprint(publishers * messages)}}); err != nil {
			return err
		}
	}
	time.Sleep(time.Second) // the subscriptions are made, the copies', too
	for i := range publishers {
		var lines strings.Builder
		for n := range messages {
			fmt.Fprintf(&lines, "message %d of %d%s\n", n, i, strings.Repeat(".", n))
		}
		if _, err := c.start(lab.Command{Stdin: strings.NewReader(lines.String()), Args: []string{"mosquitto_pub", "-h", lab.OnlineAddr4,
			"-i", fmt.Sprintf("%s-pub%d", name, i), "-q", level, "-t", fmt.Sprintf("%s/%d", name, i), "-l"}}); err != nil {
			return err
		}
	}
	return c.wait(ctx)
}

// connected starts clients that stay: subscribers, and a publisher for each
// that sends a message every 100 ms. They end with the cell.
func (c *cell) connected(ctx context.Context, name string, qos int) error {
	level := fmt.Sprint(qos)
	for i := range subscribers {
		if _, err := c.Client.Start(lab.Command{Name: fmt.Sprintf("old-sub%d", i), Args: []string{"mosquitto_sub", "-h", lab.OnlineAddr4,
			"-i", fmt.Sprintf("%s-sub%d", name, i), "-q", level, "-t", name + "/#"}}); err != nil {
			return err
		}
	}
	for i := range publishers {
		if _, err := c.Client.Start(lab.Command{Name: fmt.Sprintf("old-pub%d", i), Args: []string{"sh", "-c",
			fmt.Sprintf("while sleep 0.1; do echo old; done | mosquitto_pub -h %s -i %s-pub%d -q %s -t %s/%d -l", lab.OnlineAddr4, name, i, level, name, i)}}); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
		return nil
	}
}
