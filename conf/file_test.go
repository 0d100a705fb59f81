package conf

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// same compares configurations by value.
var same = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.AllowUnexported(Pool{}),
	cmpopts.IgnoreUnexported(Process{}),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSampleIsTheDefaultWithItsExample(t *testing.T) {
	got, err := ParseTcpcopy([]string{"--config", "../tcpcopy.toml"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := tcpcopy(t, "-x 80-10.1.2.100:80 -s 10.1.2.30 -c 10.1.3.x")
	got.Config = ""
	if d := cmp.Diff(want, got, same); d != "" {
		t.Error(d)
	}
	intercept, err := ParseIntercept([]string{"--config", "../packaging/intercept.toml"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	wantIntercept, err := ParseIntercept(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	intercept.Config = ""
	if d := cmp.Diff(wantIntercept, intercept, same); d != "" {
		t.Error(d)
	}
}

// parsers are the tools with fresh settings.
func parsers() map[string]*parser {
	t, i := tcpcopyDefaults(), interceptDefaults()
	return map[string]*parser{
		"../tcpcopy.toml":             newParser("tcpcopy", "", &t.Process, t.settings()),
		"../packaging/intercept.toml": newParser("intercept", "", &i.Process, i.settings()),
	}
}

func TestSamplesAndDocumentationNameEverySetting(t *testing.T) {
	doc, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, p := range parsers() {
		sample, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sections := strings.Split(string(sample), "\n[")
		for _, key := range p.keys() {
			table, name, _ := strings.Cut(key, ".")
			line := regexp.MustCompile(`(?m)^(# )?` + name + ` = `)
			if !slices.ContainsFunc(sections, func(s string) bool {
				return strings.HasPrefix(strings.TrimLeft(s, "["), table+"]") && line.MatchString(s)
			}) {
				t.Errorf("%s lacks %s", path, key)
			}
			if !strings.Contains(string(doc), "`"+key+"`") {
				t.Errorf("docs/configuration.md lacks %s", key)
			}
		}
		for _, s := range p.settings {
			spelling := "`--" + s.flag + "`"
			if s.short != "" {
				spelling = "`-" + s.short + "`, " + spelling
			}
			if !strings.Contains(string(doc), spelling) {
				t.Errorf("docs/configuration.md lacks %s of %s", spelling, p.tool)
			}
		}
	}
}

func TestDocumentationTellsWhatAReloadChanges(t *testing.T) {
	doc, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{} // by heading
	for _, s := range strings.Split(string(doc), "\n## ") {
		name, text, _ := strings.Cut(s, "\n")
		sections[name] = text
	}
	for tool, options := range map[string][]Option{"tcpcopy": TcpcopyOptions(), "intercept": InterceptOptions()} {
		for _, o := range options {
			if o.Key == "" {
				continue
			}
			// | `key` | flag | default | reload |, or one of a table's keys.
			row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(o.Key) + "[.a-z_]*` \\|[^|]*\\|[^|]*\\|([^|]*)\\|")
			found := row.FindAllStringSubmatch(sections[tool]+sections["Both"], -1)
			if found == nil {
				t.Errorf("docs/configuration.md has no row for %s of %s", o.Key, tool)
			}
			for _, m := range found {
				if says := strings.TrimSpace(m[1]) == "yes"; says != o.Reload {
					t.Errorf("docs/configuration.md on reloading %s of %s: %v; the code: %v", o.Key, tool, says, o.Reload)
				}
			}
		}
	}
}

func TestMistakeInTheFileIsToldWithItsLine(t *testing.T) {
	const head = "[[transfer]]\nonline = \"80\"\ntarget = \"10.1.2.100\"\n[[intercept]]\naddress = \"10.1.2.30\"\n" // 5 lines
	for text, want := range map[string]string{
		"":                                     "-x, --transfer: nothing to copy",
		"a":                                    ":1: ",
		"a = 1\na = 2\n":                       ":2: Key 'a' has already been defined",
		"[capture]\n\ninterfces = []\n":        ":3: capture.interfces: is not a key; did you mean capture.interfaces?",
		"[capture]\n'interfces' = []\n":        ":2: capture.interfces: is not a key; did you mean capture.interfaces?",
		"[capture]\ncopies = 1\n":              ":2: capture.copies: is not a key; did you mean session.copies?",
		"copies = 1\n":                         ":1: copies: is not a key; did you mean session.copies?",
		"# copies = 2\ncopies = 1 # copies\n":  ":2: copies: is not a key",
		"[captur]\ncopies = 1\n":               ":1: captur: is not a key; did you mean capture?",
		"[else]\ncopies = 1\n":                 ":1: else: is not a key of tcpcopy; --print-config shows them all",
		"[capture.deep]\nx = 1\n":              ":1: capture.deep: is not a key",
		"[session]\ncopies = 1\nhelp = true\n": ":3: session.help: is not a key of tcpcopy",
		"help = true\n":                        ":1: help: is not a key",
		"session = 3\n":                        ":1: session: is not a key",
		"[session]\ncopies.x = 3\n":            ":2: session.copies.x: is not a key",
		"[session]\npercent = 'x'\n":           ":2: session.percent: \"x\" is not a percentage above 0",
		"[session]\npercent = 0\n":             ":2: session.percent: 0 is not",
		"[session]\nno_wait = 'yes'\n":         ":2: session.no_wait: \"yes\" is neither true nor false",
		"[session]\ncopies = 'two'\n":          ":2: session.copies: \"two\" is not a whole number",
		"[session]\ncopies = 1.0\n":            ":2: session.copies: 1 is not a whole number",
		"[session]\nrtt = 20\n":                ":2: session.rtt: 20 is no string with a unit; write \"20ms\"",
		"[session]\nrtt = '20'\n":              ":2: session.rtt: \"20\" is not a duration",
		"[session]\nmemory = 512\n":            ":2: session.memory: 512 is no string with a unit; write \"512MiB\"",
		"[session]\nmemory = '512'\n":          ":2: session.memory: \"512\" is not a size",
		"[session]\nclients = '10.1.3.x'\n":    ":2: session.clients: \"10.1.3.x\" is not an array; write [\"10.1.3.x\"]",
		"[session]\nclients = [\n1]\n":         ":2: session.clients: 1 is no string",
		"[capture]\nfilter = 'tcp und ip'\n":   ":2: capture.filter: ",
		"[log]\nfile = 3\n":                    ":2: log.file: 3 is no string; write it in quotes",
		"[log]\nfile = \"a\\u0000\"\n":         ":2: log.file: \"a\\x00\" has characters that cannot be printed",
		"[transfer]\nonline = '80'\n":          ":1: transfer: is no array of tables; write [[transfer]]",
		"transfer = [{online='80'}]\n":         ":1: transfer: is no array of tables; write [[transfer]]",
		"transfer = '80-10.1.2.100'\n":         ":1: transfer: is no array of tables; write [[transfer]]",
		"\n[[transfer]]\n":                     ":2: transfer: lacks online",
		"\n[[transfer]]\nonline='80'\n[log]\n": ":2: transfer: lacks target",
		"[[transfer]]\nonline = '80'\ntarget='10.1.2.100'\n[[transfer]]\nonline='x'\n":                 ":5: transfer.online: \"x\" is not a port",
		"[[transfer]]\nonline = '80'\ntarget='10.1.2.100'\n[[transfer]]\nonline=81\ntarget='10.1.2'\n": ":6: transfer.target: \"10.1.2\" is not an IP address",
		"[[transfer]]\nonline = '80'\ntarget='10.1.2.100'\n[[transfer]]\n[[transfer]]\n":               ":4: transfer: lacks online",
		"[replay]\nspeed = 'fast'\n":      ":2: replay.speed: \"fast\" is neither max nor a factor",
		"[replay]\nspeed = '2'\n":         ":2: replay.speed: \"2\" is neither max",
		"[replay]\nspeed = true\n":        ":2: replay.speed: true is neither max",
		"[[transfer]]\nonline = ['80']\n": ":2: transfer.online: [80] is no string",
		"[[transfer]]\nonlin = '80'\n":    ":2: transfer.onlin: is not a key; did you mean transfer.online?",
		"[[transfer]]\nonline = '80'\ntarget='10.1.2.100'\nsource_mac = '02:00:00:00:00:01'\n": ":1: transfer: has one MAC address",
		"[[intercept]]\n":                                               ":1: intercept: lacks address",
		"[session]\nramp = 30\n":                                        ":2: session.ramp: 30 is no string with a unit; write \"30s\"",
		"[session]\nmax_session_rate = '5'\n":                           ":2: session.max_session_rate: \"5\" is not 0 or a number",
		"[session]\nmax_session_rate = inf\n":                           ":2: session.max_session_rate: +Inf is not 0 or a number",
		"[session]\nmax_byte_rate = 0\n":                                ":2: session.max_byte_rate: 0 is no string with a unit; write \"0MiB\"",
		"[session]\nencrypted = true\n":                                 ":2: session.encrypted: true is no string",
		"[session]\ncopies = 1024\n":                                    ":2: session.copies: 1024 is not a whole number from 1 to 1023",
		head + "[process]\nworkers = 200\n[session]\ncopies = 1000\n":   ":9: session.copies: 1000 copies of a session do not fit",
		head + "[session]\nclients=['::1']\n":                           ":7: session.clients: ::1 holds addresses",
		head + "[send]\nmtu = 20\n":                                     ":7: send.mtu: 20 is below 68",
		head + "session = { copies = 2 }\n":                             ":6: intercept.session: is not a key",
		"session = { loopback_client = '127.0.0.1' }\n" + head:          ":1: session.loopback_client: 127.0.0.1 is no address",
		"session.percent = 1\nsession.loopback_client = '::1'\n" + head: ":2: session.loopback_client: ::1 is no address",
		head + "[capture]\ninterfaces = ['nosuch0']\n":                  ":7: capture.interfaces: \"nosuch0\" is neither an interface",
	} {
		path := write(t, text)
		_, err := ParseTcpcopy([]string{"--config", path}, io.Discard)
		if strings.HasPrefix(want, ":") {
			want = path + want
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v; want an error with %q", text, err, want)
		}
	}
	if _, err := ParseTcpcopy([]string{"--config", write(t, strings.Repeat("#", maxFile+1))}, io.Discard); err == nil || !strings.Contains(err.Error(), "is larger than 1MiB") {
		t.Error(err)
	}
}

func TestFlagsOverrideTheFile(t *testing.T) {
	path := write(t, `
[[transfer]]
online = 80
target = "10.1.2.100"
[[transfer]]
online = "10.0.0.1:81"
target = "[fd00::1]:82"
source_mac = "02:00:00:00:00:01"
next_hop_mac = "02:00:00:00:00:02"
[[intercept]]
address = "10.1.2.30"
[[intercept]]
address = "10.1.2.31:4000"
[session]
clients = [
  "10.1.3.x",
  "fd00:3::/64",
]
percent = 10
memory = "1GiB"
[link]
port = 5000
`)
	c := tcpcopy(t, "--config "+path)
	if got := fmt.Sprint(c.Transfers, c.Intercepts, c.Clients, c.Percent, c.Memory); got !=
		"[80-10.1.2.100:80 10.0.0.1:81@02:00:00:00:00:01-[fd00::1]:82@02:00:00:00:00:02] [10.1.2.30:5000 10.1.2.31:4000] 10.1.3.0/24,fd00:3::/64 10 1073741824" {
		t.Error(got)
	}
	c = tcpcopy(t, "-r 50 -x 90-10.1.2.101 -x 91-10.1.2.101 -c 10.1.4.x -p 6000 --config "+path)
	if got := fmt.Sprint(c.Transfers, c.Intercepts, c.Clients, c.Percent, c.Memory); got !=
		"[90-10.1.2.101:90 91-10.1.2.101:91] [10.1.2.30:6000 10.1.2.31:4000] 10.1.4.0/24 50 1073741824" {
		t.Error(got)
	}
	_, err := ParseTcpcopy(words("-M 1000 --config "+path), io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "-M, --mtu: 1000 is below 1280") {
		t.Errorf("%v; the flag is to blame", err)
	}
}

// randomLine makes a command line that ParseTcpcopy takes.
func randomLine(r *rand.Rand) []string {
	line := []string{"-s", "10.1.2.30,[fd00::30]:7", "-p", fmt.Sprint(1 + r.IntN(65535))}
	v6 := r.IntN(2) == 1
	for range 1 + r.IntN(4) {
		if x := fmt.Sprintf("%d-10.1.2.%d", 1+r.IntN(65535), 100+r.IntN(50)); v6 {
			line = append(line, "-x", strings.Replace(x, "10.1.2.", "fd00::", 1)+"-80")
		} else {
			line = append(line, "-x", x)
		}
	}
	maybe := func(flag string, values ...string) {
		if r.IntN(2) == 1 {
			line = append(line, flag+"="+values[r.IntN(len(values))])
		}
	}
	maybe("-i", "lo", "lo,", "any")
	if r.IntN(2) == 1 {
		line = append(line, "-i="+[]string{"file_test.go", "*_test.go", "-"}[r.IntN(3)])
	}
	maybe("-a", "0.001", "3", "2.5", "max")
	maybe("-I", "0", "1.5", "2m")
	maybe("-T", "0", "1", "7")
	maybe("--from", "0", "3", "1h")
	maybe("--to", "0", "2h")
	maybe("--max-concurrent", "1", "5")
	maybe("--report", "r.json")
	maybe("-F", "tcp", "tcp and\n\tport 80", "1\n6 0 0 262144\n")
	maybe("-B", "1", "64KiB0", "3GiB", "1048577B")
	maybe("-S", "128", "70000")
	maybe("-c", "10.1.3.x,fd00:3::/64", "10.1.3.7,10.1.0.0/17,fd00:9::1")
	maybe("-H", "10.7.7.7", "")
	maybe("-r", "0.001", "33.3", "100%", "1e-3")
	maybe("-t", "1", "1.5", "90m", "720h")
	maybe("-k", "0", "7ms", "3s")
	maybe("-R", "0.25", "1", "60s")
	maybe("-m", "16", "1TiB", "100MB", "17000001B")
	maybe("-M", "1280", "9000")
	maybe("-D", "88", "1220")
	maybe("-C", "2", "11")
	maybe("-n", "1", "2", "1023")
	maybe("-g", "0", "1.5", "100s", "90m")
	maybe("--max-session-rate", "0", "0.001", "12.5", "1e6")
	maybe("--max-byte-rate", "0", "1", "1B", "10MiB", "125000kB")
	maybe("--encrypted", "skip", "copy")
	maybe("-O", "true", "false")
	maybe("-W", "true", "false")
	maybe("-d", "true", "false")
	maybe("-l", "/tmp/a b", `C:\x`)
	maybe("-P", "p")
	maybe("--name", "a", "s1 \"x\"")
	maybe("--workers", "0", "3")
	maybe("--cpu-affinity", "0", "2-5,8", "1,0")
	maybe("--max-sessions", "0", "5")
	maybe("--web.listen-address", ":9100", "[::1]:1", "localhost:5")
	maybe("--log-format", "json", "text")
	maybe("--log-level", "debug", "error")
	maybe("--promiscuous", "true")
	maybe("--shutdown-grace", "0", "90s")
	return line
}

func TestPrintedConfigurationIsReadAsTheSame(t *testing.T) {
	taken := 0
	for seed := range uint64(600) {
		line := randomLine(rand.New(rand.NewPCG(seed, 0)))
		want, err := ParseTcpcopy(line, io.Discard)
		if err != nil {
			continue // some combinations are refused
		}
		taken++
		var printed strings.Builder
		if _, err := ParseTcpcopy(append(line, "--print-config"), &printed); !errors.Is(err, ErrPrinted) {
			t.Fatalf("%q: %v", line, err)
		}
		c := tcpcopyDefaults()
		p := newParser("tcpcopy", "", &c.Process, c.settings())
		if err := p.decode("printed", []byte(printed.String())); err != nil {
			t.Fatalf("%q: %v in\n%s", line, err, printed.String())
		}
		if err := errors.Join(p.finish(), c.finish(p)); err != nil {
			t.Fatalf("%q: %v in\n%s", line, err, printed.String())
		}
		// Notes tell of what was typed.
		want.Notes, c.Notes = nil, nil
		if d := cmp.Diff(want, &c.Tcpcopy, same); d != "" {
			t.Fatalf("%q: %s in\n%s", line, d, printed.String())
		}
	}
	if taken < 60 {
		t.Errorf("only %d of the lines were taken", taken)
	}
}

func TestPrintedInterceptIsReadAsTheSame(t *testing.T) {
	line := words("-p 4000 -b 10.1.2.30,[::1]:5 -D 172.17.0.2-10.1.3.2 -n 7 -s 0 -t 3m -c --web.listen-address 9101 -F tcp")
	want, err := ParseIntercept(line, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if _, err := ParseIntercept(append(line, "--print-config"), &printed); !errors.Is(err, ErrPrinted) {
		t.Fatal(err)
	}
	path := write(t, printed.String())
	got, err := ParseIntercept([]string{"--config", path}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	got.Config = ""
	if d := cmp.Diff(want, got, same); d != "" {
		t.Errorf("%s in\n%s", d, printed.String())
	}
}

func FuzzFile(f *testing.F) {
	for _, path := range []string{"../tcpcopy.toml", "../packaging/intercept.toml"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("[[transfer]]\nonline = 80\ntarget = 'fd00::1'\n[[transfer]]\n")
	f.Add("transfer = [{online='80'}]\n[session.x]\n'a\"b' = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := tcpcopyDefaults()
		p := newParser("tcpcopy", "", &c.Process, c.settings())
		if err := p.decode("f", []byte(text)); err != nil {
			return
		}
		var printed strings.Builder
		if err := p.dump(&printed); err != nil {
			t.Fatal(err)
		}
		d := tcpcopyDefaults()
		q := newParser("tcpcopy", "", &d.Process, d.settings())
		if err := q.decode("printed", []byte(printed.String())); err != nil {
			t.Fatalf("%v in\n%s", err, printed.String())
		}
		// An array that the file leaves empty is none at all.
		if diff := cmp.Diff(c, d, same, cmp.AllowUnexported(rawTcpcopy{}), cmp.FilterValues(func(a, b []string) bool { return len(a)+len(b) == 0 }, cmp.Ignore())); diff != "" {
			t.Fatalf("%s in\n%s", diff, printed.String())
		}
	})
}
