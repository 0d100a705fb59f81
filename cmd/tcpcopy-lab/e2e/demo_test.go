package e2e

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/demo"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

func TestDemoIsExactWithEachGateway(t *testing.T) {
	for _, c := range []struct {
		name string
		demo.Config
	}{
		{"l4", demo.Config{Gateway: lab.L4, Assistants: 1, Offload: true}},
		{"l4, offloads off", demo.Config{Gateway: lab.L4, Assistants: 1}},
		{"l7", demo.Config{Gateway: lab.L7, Assistants: 1, Offload: true}},
		{"l4, two assistants", demo.Config{Gateway: lab.L4, Assistants: 2, Offload: true}},
		{"l7, two assistants", demo.Config{Gateway: lab.L7, Assistants: 2, Offload: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := needs(t)
			c.Alone, c.Copied, c.Rate = 2*time.Second, 6*time.Second, 1500
			var out bytes.Buffer
			report, err := demo.Run(t.Context(), p, c.Config, &out)
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			if !report.Exact() {
				t.Errorf("not an exact copy\n%s", out.String())
			}
			for _, target := range report.Target {
				if target.Requests == 0 {
					t.Errorf("the gateway sent nothing to %s", target.Server)
				}
			}
			t.Log("\n" + out.String()[strings.Index(out.String(), "3. the verdict"):])
		})
	}
}
