//go:build !cgo

// AllThreadsSyscall is for programs without C, as the products are.

package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAllThreadsKeepNamedCapabilitiesOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		if testing.Short() {
			t.Skip("only root has capabilities to give up")
		}
		t.Fatal("only root has capabilities to give up: run the tests as root, or with -short")
	}
	c := tool(t, "keeps")
	start(t, c, "ready")
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.Process.Pid))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// linux/capability.h: DAC_OVERRIDE 1, DAC_READ_SEARCH 2, NET_ADMIN 12, NET_RAW 13.
		for _, want := range []string{"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000003006\n", "CapEff:\t0000000000003006\n", "CapAmb:\t0000000000000000\n"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s lacks %q:\n%s", f, want, b)
			}
		}
	}
}
