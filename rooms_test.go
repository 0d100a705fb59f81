// Package tcpcopy has no code: its test holds the direction in which the
// packages of this repository depend on each other.
package tcpcopy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tcpcopy-go/tcpcopy/"

// rooms is one line a package, from the ground up: what it imports of this
// repository, all of which stands above its own line. pure ones know no
// sockets, files, processes, clocks or logs. Imports of tests are free.
const rooms = `
	ring                     :
	ring/filter              :
	ring/pcapfile            : ring
	conf                     : ring/filter

	pipeline/queue           : pure
	pipeline/histogram       : pure
	pipeline/message         : pure
	pipeline/packet          : pure
	pipeline/flow            : pure pipeline/packet
	pipeline/session         : pure pipeline/message pipeline/packet pipeline/histogram
	pipeline/clock           : pipeline/session
	pipeline/account         : pipeline/packet pipeline/session pipeline/histogram
	pipeline/recording       : pipeline/packet pipeline/session
	pipeline/match           : conf ring ring/filter pipeline/packet pipeline/account
	pipeline/nexthop         : ring pipeline/match
	pipeline/capture/leak    :
	pipeline/capture         : ring
	pipeline/reply           : ring pipeline/packet pipeline/capture
	pipeline/link            : pipeline/packet pipeline/reply
	pipeline/source          : ring pipeline/packet pipeline/session pipeline/account pipeline/recording pipeline/match
	pipeline/source/live     : conf ring pipeline/packet pipeline/session pipeline/account pipeline/match pipeline/capture pipeline/source
	pipeline/source/recorded : conf ring ring/filter ring/pcapfile pipeline/queue pipeline/packet pipeline/session pipeline/clock pipeline/account pipeline/recording pipeline/match pipeline/source
	pipeline/thread          : conf ring ring/pcapfile pipeline/session pipeline/clock pipeline/account
	pipeline/replies         : ring pipeline/packet
	pipeline/replies/linked  : conf ring pipeline/packet pipeline/account pipeline/link pipeline/replies pipeline/thread
	pipeline/replies/local   : conf ring ring/filter pipeline/queue pipeline/packet pipeline/account pipeline/match pipeline/capture pipeline/capture/leak pipeline/reply pipeline/replies pipeline/thread
	pipeline/worker          : conf ring pipeline/queue pipeline/histogram pipeline/packet pipeline/flow pipeline/session pipeline/clock pipeline/account pipeline/match pipeline/source pipeline/replies
	pipeline                 : conf pipeline/clock pipeline/account pipeline/recording pipeline/match pipeline/nexthop pipeline/source pipeline/source/live pipeline/source/recorded pipeline/thread pipeline/replies pipeline/replies/linked pipeline/replies/local pipeline/worker
	pipeline/internal/testbed : conf ring pipeline/packet

	cmd/internal/appliance/page :
	cmd/internal/appliance   : conf cmd/internal/appliance/page
	cmd/tcpcopy              : conf ring ring/pcapfile pipeline pipeline/recording pipeline/source/recorded pipeline/thread cmd/internal/appliance
	cmd/intercept            : conf ring ring/filter pipeline/packet pipeline/capture pipeline/capture/leak pipeline/reply pipeline/link cmd/internal/appliance

	cmd/tcpcopy-lab/lab      :
	cmd/tcpcopy-lab/load     :
	cmd/tcpcopy-lab/relay    :
	cmd/tcpcopy-lab/web      :
	cmd/tcpcopy-lab/verdict  : cmd/tcpcopy-lab/load cmd/tcpcopy-lab/web
	cmd/tcpcopy-lab/testbed    : cmd/tcpcopy-lab/lab cmd/tcpcopy-lab/load cmd/tcpcopy-lab/relay cmd/tcpcopy-lab/web cmd/tcpcopy-lab/verdict
	cmd/tcpcopy-lab/bench    : cmd/tcpcopy-lab/lab cmd/tcpcopy-lab/load cmd/tcpcopy-lab/verdict cmd/tcpcopy-lab/testbed
	cmd/tcpcopy-lab/demo     : cmd/tcpcopy-lab/lab cmd/tcpcopy-lab/load cmd/tcpcopy-lab/verdict cmd/tcpcopy-lab/testbed
	cmd/tcpcopy-lab/matrix   : cmd/tcpcopy-lab/lab cmd/tcpcopy-lab/web cmd/tcpcopy-lab/testbed
	cmd/tcpcopy-lab          : cmd/tcpcopy-lab/matrix cmd/tcpcopy-lab/lab cmd/tcpcopy-lab/load cmd/tcpcopy-lab/relay cmd/tcpcopy-lab/web cmd/tcpcopy-lab/testbed cmd/tcpcopy-lab/bench cmd/tcpcopy-lab/demo
	cmd/tcpcopy-lab/e2e      :

	packaging                :
	packaging/appliance      :
	packaging/grafana        :
	packaging/manual         : conf
	packaging/stage          : packaging/manual
`

// impure is what pure rooms do without, with what is below it.
var impure = []string{
	"context", "log", "net", "os", "runtime", "syscall", "golang.org/x/sys",
	"github.com/vishvananda", "github.com/prometheus",
}

// harmless is of impure packages, and neither asks nor tells the system.
var harmless = []string{"net/netip"}

func TestRoomsImportDownwardsOnly(t *testing.T) {
	allowed, above := map[string][]string{}, map[string]bool{"pure": true}
	for line := range strings.Lines(rooms) {
		name, imports, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		name = strings.TrimSpace(name)
		allowed[name] = strings.Fields(imports)
		for _, i := range allowed[name] {
			if !above[i] {
				t.Errorf("the line of %s names %s, which does not stand above it", name, i)
			}
		}
		above[name] = true
	}
	there := packages(t)
	for name, imports := range there {
		may, ok := allowed[name]
		if !ok {
			t.Errorf("%s is not in the table: which floor does it stand on?", name)
			continue
		}
		var own []string
		for _, i := range imports {
			if room, ok := strings.CutPrefix(i, module); ok {
				own = append(own, room)
				if !slices.Contains(may, room) {
					t.Errorf("%s imports %s, which its line does not allow", name, room)
				}
			} else if slices.Contains(may, "pure") && within(i, impure) && !within(i, harmless) {
				t.Errorf("%s is to be pure, and imports %s", name, i)
			}
		}
		for _, room := range may {
			if room != "pure" && !slices.Contains(own, room) {
				t.Errorf("%s no longer imports %s: take it off its line", name, room)
			}
		}
	}
	for name := range allowed {
		if _, ok := there[name]; !ok {
			t.Errorf("%s is in the table, and is no package", name)
		}
	}
}

// within reports whether a package is one of list or below one of them.
func within(name string, list []string) bool {
	return slices.ContainsFunc(list, func(of string) bool { return name == of || strings.HasPrefix(name, of+"/") })
}

// packages has the imports of each package of this repository but this one. The
// cache of go test does not know that they count: make lint runs this uncached.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	var complaint strings.Builder
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Stderr = &complaint
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	all := map[string][]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(p.ImportPath, module); ok {
			all[name] = p.Imports
		}
	}
}
