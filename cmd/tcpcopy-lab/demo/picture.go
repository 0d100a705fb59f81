package demo

import (
	"strings"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

const picture = `
 clients                        the seed's network, on this machine
 10.1.0.201-203
    |
 F5 (haproxy) 10.1.0.100
    |--------------+--------------+          production network 10.1.0.0/24
 S1 .11         S2 .12         S3 .13
 tcpcopy        tcpcopy        tcpcopy       copies each request, as client
 -c 10.1.3.x    -c 10.1.4.x    -c 10.1.5.x   10.1.3.x, 10.1.4.x, 10.1.5.x
    |--------------+--------------+          test network 10.1.2.0/24
                   |
        gateway under test 10.1.2.100        GATEWAY
                   |
    |--------------+--------------+
 B1 .21         B2 .22         B3 .23
                   |
                   |  RETURN
                   v
        ASSISTANT
        intercept: catches the replies, tells tcpcopy their headers
`

// Picture is the network as text.
func Picture(g lab.Gateway, assistants int) string {
	gateway, back := "layer 4: ECMP by ports, B's answer directly", "10.1.3-5.0/24 via the assistant: B's return routes"
	if g == lab.L7 {
		gateway, back = "layer 7: nginx, a full proxy", "10.1.3-5.0/24 via the assistant: the gateway's return routes"
	}
	assistant := "assistant 10.1.2.30"
	if assistants > 1 {
		assistant = "two assistants 10.1.2.30, .31 (ECMP)"
	}
	return strings.NewReplacer("GATEWAY", gateway, "RETURN", back, "ASSISTANT", assistant).Replace(picture)
}
