package e2e

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/load"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// shown is what browser/page.mjs tells of a page.
type shown struct {
	Errors, Requests []string
	Overflow         map[string]int // pixels, by the width of the window
	Before, After    map[string]string
}

// TCL_PICTURES=DIR keeps pictures of the pages.
func TestThePageShowsARunningCopyInABrowser(t *testing.T) {
	p := small(t, testbed.Small{Origin: testbed.Origin{Embedded: true}, Target: &testbed.Origin{Fault: web.AnswersLate}, Loss: 0.01, Args: []string{"-r", "90"}})
	p.copy()
	pictures := os.Getenv("TCL_PICTURES")
	if pictures == "" {
		pictures = t.TempDir()
	}
	browser := exec.Command("node", "testdata/browser/page.mjs", pictures)
	addresses := map[string]string{}
	for name, tool := range map[string]*testbed.Tool{"tcpcopy": p.Copiers[0], "intercept": p.Intercepts[0]} {
		s := httptest.NewServer(tool.Web())
		defer s.Close()
		addresses[name] = s.URL + "/"
		browser.Args = append(browser.Args, name+"="+s.URL+"/")
	}
	p.load(load.Config{Conns: 60, Rate: 400, Duration: 2 * time.Minute, Close: "client", Post: 300}) // ends with the testbed
	browser.Stderr = &strings.Builder{}
	out, err := browser.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, browser.Stderr)
	}

	var pages map[string]shown
	p.must(json.Unmarshal(out, &pages))
	for name, s := range pages {
		if len(s.Errors) > 0 {
			t.Errorf("%s: %q", name, s.Errors)
		}
		for _, url := range s.Requests {
			if !strings.HasPrefix(url, addresses[name]) {
				t.Errorf("%s asked for %s", name, url)
			}
		}
		for width, pixels := range s.Overflow {
			if pixels > 0 {
				t.Errorf("%s is %d pixels wider than a window of %s", name, pixels, width)
			}
		}
		for what, text := range s.After {
			if text == "" || text == "–" || strings.Contains(text, "NaN") || strings.Contains(text, "undefined") {
				t.Errorf("%s: %s shows %q", name, what, text)
			}
		}
	}
	for name, moving := range map[string][]string{
		"tcpcopy":   {"Production and copy", "Handshakes", "Times", "Requests", "Capture", "Links", "Packets not copied"},
		"intercept": {"Replies", "What became of the replies", "Capture"},
	} {
		s := pages[name]
		for _, what := range moving {
			if s.After[what] == "" || s.After[what] == s.Before[what] {
				t.Errorf("%s: %s stays %q", name, what, s.After[what])
			}
		}
	}
	after := pages["tcpcopy"].After
	for what, want := range map[string]string{
		"Packets not copied": "sampled out", "Times": "first byte", "Sessions": "established", "Handshakes": "established", "Links": "36524",
	} {
		if !strings.Contains(after[what], want) {
			t.Errorf("%s shows %q, want %q among it", what, after[what], want)
		}
	}
}
