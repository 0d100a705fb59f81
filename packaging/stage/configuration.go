package main

import (
	"fmt"
	"regexp"
	"strings"
)

// The metrics of a service are on the loopback interface from the start: a
// production host shows nothing to the network unasked.
var listen = map[string]string{"tcpcopy": "127.0.0.1:9524", "intercept": "127.0.0.1:9525"}

var (
	example = regexp.MustCompile(`(?m)^(\[\[\w+\]\]|(?:online|target|address) = .*)$`)
	clients = regexp.MustCompile(`(?m)^clients = \S+`)
	metrics = regexp.MustCompile(`(?m)^(\[metrics\]\nlisten = )"" +`)
)

// configuration makes the file that the service of a tool reads of its
// annotated sample. What is an example there, and would send packets to
// somebody's 10.1.2.100 here, is commented out: the service asks for it.
func configuration(tool, sample string) string {
	_, body, _ := strings.Cut(sample, "\n\n")
	body = example.ReplaceAllString(body, "# $1")
	body = clients.ReplaceAllString(body, "clients = []")
	body = metrics.ReplaceAllString(body, `${1}`+fmt.Sprintf("%-18q", listen[tool]))
	body = regexp.MustCompile(`(?m)^memory = "2GiB"`).ReplaceAllString(body, `memory = "1GiB"`)
	return head[tool] + body
}

var head = map[string]string{
	"tcpcopy": `# The configuration of the service tcpcopy@online. To begin: name a transfer,
# an intercept and the clients' addresses below, then
#
#   systemctl start tcpcopy@online
#
# Every key is here with its default, except for the memory, which goes with
# MemoryMax of the service, and the metrics. tcpcopy.toml(5) explains them.
# Sizes and durations are strings with a unit: "64MiB", "500ms", "30s", "2m".

`,
	"intercept": `# The configuration of the service intercept. It works as it is on an assistant
# that does not forward packets; to begin:
#
#   systemctl start intercept
#
# Every key is here with its default, except for the metrics. intercept.toml(5)
# explains them. Sizes and durations are strings with a unit: "64MiB", "2m".

`,
}
