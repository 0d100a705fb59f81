package conf

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// words splits a command line as a shell does when there are no quotes.
func words(s string) []string { return strings.Fields(s) }

func tcpcopy(t *testing.T, line string) *Tcpcopy {
	t.Helper()
	c, err := ParseTcpcopy(words(line), io.Discard)
	if err != nil {
		t.Fatalf("tcpcopy %s: %v", line, err)
	}
	return c
}

func TestSeedCommandsRunAsTyped(t *testing.T) {
	for _, line := range []string{
		"-x 80-10.1.2.100-80 -s 10.1.2.30 -c 10.1.3.x -d",
		"-x 80-10.1.2.100:80 -s 10.1.2.30 -c 10.1.3.x -d",
		"-x 80-10.1.2.100 -s 10.1.2.30 -c 10.1.3.0/24 -d",
		"-x80-10.1.2.100-80 -s10.1.2.30:36524 -c10.1.3.x -d",
		"--transfer 80-10.1.2.100-80 --intercept=10.1.2.30 --clients 10.1.3.x --daemon",
	} {
		c := tcpcopy(t, line)
		if len(c.Transfers) != 1 || c.Transfers[0].String() != "80-10.1.2.100:80" || !c.Daemon ||
			len(c.Intercepts) != 1 || c.Intercepts[0].String() != "10.1.2.30:36524" ||
			c.Clients.String() != "10.1.3.0/24" || len(c.Clients.Addrs4()) != 254 || c.Notes != nil {
			t.Errorf("tcpcopy %s: %+v", line, c)
		}
	}
	c, err := ParseIntercept([]string{"-i", "lo", "-F", "tcp and src port 80", "-d"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Interfaces) != 1 || c.Interfaces[0] != "lo" || c.Filter != "tcp and src port 80" || !c.Daemon ||
		len(c.Listen) != 1 || c.Listen[0].String() != "0.0.0.0:36524" {
		t.Errorf("%+v", c)
	}
}

func TestSeedReplayRunsAsTyped(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"s1.pcap", "s2.pcap", "lo"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := tcpcopy(t, "-i s1.pcap -x 80-10.1.1.100")
	if c.Transfers[0].String() != "80-10.1.1.100:80" || !reflect.DeepEqual(c.Replay.Files, []string{"s1.pcap"}) ||
		c.Interfaces != nil || c.Intercepts != nil || c.Replay.Speed != 1 || c.Replay.Times != 1 || c.Notes != nil {
		t.Errorf("%+v", c)
	}
	for line, ok := range map[string]func(*Tcpcopy) bool{
		"-i s*.pcap":            func(c *Tcpcopy) bool { return reflect.DeepEqual(c.Replay.Files, []string{"s1.pcap", "s2.pcap"}) },
		"-i s2.pcap,s1.pcap":    func(c *Tcpcopy) bool { return reflect.DeepEqual(c.Replay.Files, []string{"s2.pcap", "s1.pcap"}) },
		"-i - -a 0.5":           func(c *Tcpcopy) bool { return c.Replay.Files[0] == Stdin && c.Replay.Speed == 0.5 },
		"-i ./lo -a max":        func(c *Tcpcopy) bool { return c.Replay.Files[0] == "./lo" && math.IsInf(c.Replay.Speed, 1) },
		"-i lo":                 func(c *Tcpcopy) bool { return c.Interfaces[0] == "lo" && c.Replay.Files == nil && len(c.Notes) == 1 },
		"-i s1.pcap -I 5 -T 0":  func(c *Tcpcopy) bool { return c.Replay.MaxGap == 5*time.Millisecond && c.Replay.Times == 0 },
		"-i s1.pcap --from 1.5": func(c *Tcpcopy) bool { return c.Replay.From == 1500*time.Millisecond && c.Replay.To == 0 },
		"-i s1.pcap --to 2m --report r.json --max-concurrent 7": func(c *Tcpcopy) bool {
			return c.Replay.To == 2*time.Minute && c.Replay.Report == "r.json" && c.Replay.MaxConcurrent == 7
		},
		"-i s1.pcap --reply-interface lo":        func(c *Tcpcopy) bool { return c.ReplyInterface == "lo" },
		"-i s1.pcap -x 10.1.1.100:81-10.1.1.100": func(c *Tcpcopy) bool { return len(c.Transfers) == 2 },
		"-i s1.pcap -s 10.1.2.30 -d":             func(c *Tcpcopy) bool { return len(c.Intercepts) == 1 && c.Daemon },
	} {
		if c := tcpcopy(t, "-x 80-10.1.1.100 "+line); !ok(c) {
			t.Errorf("%s: %+v", line, c)
		}
	}
}

func TestEveryFlagOfTheCToolsHasItsMeaning(t *testing.T) {
	base := "-x 80-10.1.2.100 -s 10.1.2.30 "
	for line, ok := range map[string]func(*Tcpcopy) bool{
		"-i lo,":      func(c *Tcpcopy) bool { return reflect.DeepEqual(c.Interfaces, []string{"lo"}) },
		"-i any":      func(c *Tcpcopy) bool { return c.Interfaces == nil },
		"-H 10.9.9.9": func(c *Tcpcopy) bool { return c.LoopbackClient.String() == "10.9.9.9" },
		"-F tcp":      func(c *Tcpcopy) bool { return c.Filter == "tcp" },
		"-B 64":       func(c *Tcpcopy) bool { return c.RingBytes == 64<<20 },
		"-S 65535":    func(c *Tcpcopy) bool { return c.SnapLen == 65535 && c.Notes == nil },
		"-S 1500":     func(c *Tcpcopy) bool { return c.SnapLen == 1500 && len(c.Notes) == 1 },
		"-o lo":       func(c *Tcpcopy) bool { return c.OutInterface == "lo" },
		"-n1":         func(c *Tcpcopy) bool { return c.Copies == 1 },
		"--cpu-affinity 2-5,8": func(c *Tcpcopy) bool {
			return slices.Equal(c.CPUs, []int{2, 3, 4, 5, 8}) && c.WorkerCount() == 5
		},
		"--cpu-affinity 3,1 --workers 6": func(c *Tcpcopy) bool {
			return slices.Equal(c.CPUs, []int{3, 1}) && c.WorkerCount() == 6
		},
		"-n 1023 --workers 2": func(c *Tcpcopy) bool { return c.Copies == 1023 && len(c.Notes) == 1 },
		"-g":                  func(c *Tcpcopy) bool { return c.Ramp == 100*time.Second && c.Notes == nil },
		"-gd":                 func(c *Tcpcopy) bool { return c.Ramp == 100*time.Second && c.Daemon },
		"-dg=30s":             func(c *Tcpcopy) bool { return c.Ramp == 30*time.Second && c.Daemon },
		"-g=30":               func(c *Tcpcopy) bool { return c.Ramp == 30*time.Second },
		"--ramp -d":           func(c *Tcpcopy) bool { return c.Ramp == 100*time.Second && c.Daemon },
		"--ramp=5m -r 20":     func(c *Tcpcopy) bool { return c.Ramp == 5*time.Minute && c.Percent == 20 },
		"-g --ramp=0":         func(c *Tcpcopy) bool { return c.Ramp == 0 },
		"-g -r 1":             func(c *Tcpcopy) bool { return c.Ramp == 100*time.Second && len(c.Notes) == 1 },
		"-f 7":                func(c *Tcpcopy) bool { return len(c.Notes) == 1 },
		"-U 4":                func(c *Tcpcopy) bool { return len(c.Notes) == 1 },
		"-L":                  func(c *Tcpcopy) bool { return len(c.Notes) == 1 },
		"-m 512":              func(c *Tcpcopy) bool { return c.Memory == 512<<20 && c.MaxSessions == 512<<20/sessionBytes },
		"-m 1GiB":             func(c *Tcpcopy) bool { return c.Memory == 1<<30 },
		"-M 1400 -D 1360":     func(c *Tcpcopy) bool { return c.MTU == 1400 && c.SynMSS == 1360 },
		"-R 20":               func(c *Tcpcopy) bool { return c.RTT == 20*time.Millisecond },
		"-C 11":               func(c *Tcpcopy) bool { return c.ConnsPerIntercept == 11 },
		"-t 30": func(c *Tcpcopy) bool {
			return c.NoResponseTimeout == 30*time.Second && c.KeepaliveTimeout == 150*time.Second
		},
		"-t 30 -k 40":    func(c *Tcpcopy) bool { return c.KeepaliveTimeout == 40*time.Second },
		"-t 500ms -t 2m": nil,
		"-t 1m -t 2m":    func(c *Tcpcopy) bool { return c.NoResponseTimeout == 2*time.Minute },
		"-l log -P pid":  func(c *Tcpcopy) bool { return c.LogFile == "log" && c.PidFile == "pid" },
		"-r 0.5":         func(c *Tcpcopy) bool { return c.Percent == 0.5 },
		"-p 4000":        func(c *Tcpcopy) bool { return c.Intercepts[0].Port() == 4000 },
		"-p 4000 -s ::1,[::2]:5": func(c *Tcpcopy) bool {
			return len(c.Intercepts) == 3 && c.Intercepts[1].String() == "[::1]:4000" && c.Intercepts[2].String() == "[::2]:5"
		},
		"-s localhost:7":                    func(c *Tcpcopy) bool { return c.Intercepts[1].Addr().IsLoopback() && c.Intercepts[1].Port() == 7 },
		"-OW":                               func(c *Tcpcopy) bool { return c.OnlyComplete && c.NoWait },
		"-dWt5":                             func(c *Tcpcopy) bool { return c.Daemon && c.NoWait && c.NoResponseTimeout == 5*time.Second },
		"-x 81-10.1.2.100":                  func(c *Tcpcopy) bool { return len(c.Transfers) == 2 },
		"-x 81-10.1.2.101:1,82-10.1.2.102,": func(c *Tcpcopy) bool { return len(c.Transfers) == 3 },
		"--web.listen-address :9100":        func(c *Tcpcopy) bool { return c.WebListen == "127.0.0.1:9100" },
		"--web.listen-address 9100":         func(c *Tcpcopy) bool { return c.WebListen == "127.0.0.1:9100" },
		"--web.listen-address [::]:9100":    func(c *Tcpcopy) bool { return c.WebListen == "[::]:9100" },
		"--send-mode raw":                   func(c *Tcpcopy) bool { return c.SendMode == SendRaw },
		"--name a":                          func(c *Tcpcopy) bool { return c.Name == "a" },
		"--max-session-rate 0.5":            func(c *Tcpcopy) bool { return c.MaxSessionRate == 0.5 },
		"--max-session-rate 0":              func(c *Tcpcopy) bool { return c.MaxSessionRate == 0 },
		"--max-byte-rate 10":                func(c *Tcpcopy) bool { return c.MaxByteRate == 10<<20 },
		"--max-byte-rate 125kB":             func(c *Tcpcopy) bool { return c.MaxByteRate == 125000 },
		"--max-byte-rate 0":                 func(c *Tcpcopy) bool { return c.MaxByteRate == 0 },
		"--encrypted copy":                  func(c *Tcpcopy) bool { return c.Encrypted == EncryptedCopy },
		"--encrypted skip":                  func(c *Tcpcopy) bool { return c.Encrypted == EncryptedSkip },
	} {
		c, err := ParseTcpcopy(words(base+line), io.Discard)
		if ok == nil {
			if err == nil {
				t.Errorf("%s was taken", line)
			}
		} else if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if !ok(c) {
			t.Errorf("%s: %+v", line, c)
		}
	}
	for line, ok := range map[string]func(*Intercept) bool{
		"-p 4000 -b 10.1.2.30,::1": func(c *Intercept) bool {
			return len(c.Listen) == 2 && c.Listen[0].String() == "10.1.2.30:4000" && c.Listen[1].String() == "[::1]:4000"
		},
		"-n 16 -s 1024 -c": func(c *Intercept) bool { return c.MaxBatch == 16 && c.DelayTable == 1024 && c.Single },
		"-D 172.17.0.2-10.1.3.2,fd00::1-fd00::2": func(c *Intercept) bool {
			return len(c.Rewrites) == 2 && c.Rewrites[1].To.String() == "fd00::2"
		},
		"-t 60 -l log -P pid -d": func(c *Intercept) bool {
			return c.RouteTimeout == time.Minute && c.LogFile == "log" && c.PidFile == "pid" && c.Daemon
		},
	} {
		if c, err := ParseIntercept(words(line), io.Discard); err != nil || !ok(c) {
			t.Errorf("intercept %s: %+v, %v", line, c, err)
		}
	}
}

func TestWhatCannotBeServedIsRefusedInOneLineThatNamesTheMend(t *testing.T) {
	const s = " -s 10.1.2.30"
	for line, want := range map[string]string{
		"":                                    "-x, --transfer: nothing to copy; name the online port and the target",
		"-x 80":                               "-x, --transfer: \"80\" is not ONLINE-TARGET",
		"-x 80-10.1.2.100,," + s:              "an item of the list is empty",
		"-i line_test.go,lo -x 80-10.1.2.100": "-i, --interface: lo is an interface and \"line_test.go\" a file; capture or replay",
		"-i line_test.go,line_tes?.go -x 80-10.1.2.100": "\"line_test.go\" is named twice; use -T",
		"-i testdata":                               "is a directory; name the recordings in it, as in testdata/*.pcap",
		"-i no*such":                                "matches no file",
		"-i ./nosuch":                               "is neither an interface of this host nor a file",
		"-i [":                                      "syntax error in pattern",
		"-i - -T 2 -x 80-10.1.2.100":                "-T, --times: standard input can be read once only",
		"-i - -d -x 80-10.1.2.100":                  "-d, --daemon: a process in the background has no standard input",
		"--from 5 --to 5s -x 80-10.1.2.100":         "--to: 5s is not behind the beginning, 5s",
		"--reply-interface nosuch0":                 "--reply-interface: \"nosuch0\" is no interface of this host",
		"--reply-interface lo -x 80-10.1.2.100" + s: "the replies come by the intercepts of -s",
		"-F tcp,port":                               "-F, --filter: ",
		"-i nosuch0":                                "is neither an interface of this host nor a file",
		"-i nosuch0,":                               "is neither an interface of this host nor a file",
		"-i any,lo -x 80-10.1.2.100" + s:            "any is every interface",
		"-a 0":                                      "-a, --accelerate: 0 is neither max nor a factor",
		"-a fast":                                   "\"fast\" is neither max nor a factor",
		"-a NaN":                                    "NaN is neither max nor a factor",
		"-a +Inf":                                   "+Inf is neither max nor a factor",
		"-I -5":                                     "-5ms is not within 0s and 720h",
		"-T -1":                                     "-T, --times: -1 is not a whole number",
		"--max-concurrent 0":                        "0 is not a whole number",
		"-g 30":                                     "\"30\" stands alone; a value of --ramp is joined to it, as in --ramp=100s",
		"-g30":                                      "unknown shorthand flag: '3' in ",
		"-g=-1s":                                    "-g, --ramp: -1s is not within 0s and 720h",
		"-g=":                                       "unknown shorthand flag: '=' in ",
		"--max-session-rate -1":                     "--max-session-rate: -1 is not 0 or a number a second from 0.001 to 1000000",
		"--max-session-rate NaN":                    "NaN is not 0 or a number",
		"--max-session-rate 0.0001":                 "0.0001 is not 0 or a number",
		"--max-session-rate 5%":                     "\"5%\" is not 0 or a number",
		"--max-byte-rate -1":                        "\"-1MiB\" is not a size such as",
		"--max-byte-rate 2TiB":                      "2TiB is not within 0B and 1TiB",
		"--encrypted no":                            "--encrypted: \"no\" is none of skip, copy",
		"-n 253 --workers 255 -c 10.1.3.7 -x 80-10.1.2.100" + s:       "-n, --copies: 253 copies of a session do not fit: 255 workers and 1 addresses leave 252 endpoints for them at target 10.1.2.100:80",
		"-n 51 --workers 2 --max-sessions 100 -x 80-10.1.2.100" + s:   "each of 2 workers has 50 of the 100 sessions at a time; raise session.max_sessions",
		"-n 1023 --workers 32 -m 32 -c 10.1.3.x -x 80-10.1.2.100" + s: "each of 32 workers has 512 of the 16384 sessions",
		"--cpu-affinity 5-2 -x 80-10.1.2.100" + s:                     `--cpu-affinity: "5-2" is not a list of CPUs such as 2-5,8`,
		"--cpu-affinity 1,0-3 -x 80-10.1.2.100" + s:                   "CPU 1 is twice",
		"-n 253 --workers 255 -x 80-10.1.2.100" + s:                   "leave 252 endpoints",
		"-n 1024":          "1024 is not a whole number from 1 to 1023",
		"-n 0":             "0 is not a whole number",
		"-n x":             "\"x\" is not a whole number",
		"-r 0":             "is not a percentage above 0",
		"-r 101":           "is not a percentage above 0",
		"-r NaN":           "is not a percentage above 0",
		"-C 12":            "is not a whole number from 0 to 11",
		"-t 0":             "is not within 1s and 720h",
		"-t x":             "is not a duration such as",
		"-m 1":             "is not within 16MiB and 1TiB",
		"-m 1e3":           "is not a size such as",
		"-m 9999999999GiB": "is not a size such as",
		"-o nosuch0":       "is no interface of this host",
		"-o lo --send-mode raw -x 80-10.1.2.100" + s: "-o, --output-interface: lo has no effect when send.mode is raw",
		"--send-mode pcap":                           "\"pcap\" is none of link, raw",
		"--send-mode raw -x 80@02:00:00:00:00:01-10.1.2.100@02:00:00:00:00:02" + s: "--send-mode: raw sends by the kernel's routing, without the MAC addresses",
		"-M 67 -x 80-10.1.2.100" + s:                    "-M, --mtu: 67 is below 68",
		"-M 1279 -x 80-fd00::1" + s:                     "-M, --mtu: 1279 is below 1280",
		"-M 1400 -D 1400 -x 80-10.1.2.100" + s:          "at most 1360 does",
		"-D 10 -x 80-10.1.2.100" + s:                    "10 is below 88",
		"-x 10.0.0.1:80-10.0.0.1:80" + s:                "a loop; name another target",
		"-x 80-10.0.0.1:81,10.0.0.1:81-10.0.0.2:80" + s: "a loop; name another target",
		"-x 10.0.0.1:80-fd00::1" + s:                    "copies IPv4 clients to an IPv6 target; give them IPv6 addresses with -c",
		"-c 10.1.3.x -x 80-fd00::1" + s:                 "has no IPv6 address left",
		"-c 10.1.3.7 -x 80-10.1.3.7" + s:                "has no IPv4 address left",
		"-c 10.1.3.300 -x 80-10.1.2.100" + s:            "-c, --clients: \"10.1.3.300\" is neither",
		"-H 127.0.0.1 -x 80-10.1.2.100" + s:             "is no address that the target could answer to",
		"-H fd00::9 -x 80-10.1.2.100" + s:               "-H, --loopback-client: fd00::9 is IPv6 and no target is",
		"-s nosuch.invalid -x 80-10.1.2.100":            "no host of that name is known",
		"-s 10.1.2.300 -x 80-10.1.2.100":                "is not an IP address",
		"-s 10.1.2.30:0 -x 80-10.1.2.100":               "is not a port",
		"-s host:x -x 80-10.1.2.100":                    "is not a port",
		"-s 0.0.0.0 -x 80-10.1.2.100":                   "is no address of a host",
		"-s 10.1.2.30,10.1.2.30:36524 -x 80-10.1.2.100": "is named twice; use -C",
		"-y":                     "unknown shorthand flag: 'y' in -y; see tcpcopy --help",
		"--transfr 80":           "unknown flag: --transfr; did you mean --transfer?",
		"--unlike-any-other 80":  "unknown flag: --unlike-any-other; see tcpcopy --help",
		"-x":                     "flag needs an argument",
		"-test.run":              "is no flag",
		"pcap":                   "\"pcap\" stands alone",
		"-d=maybe":               "is neither true nor false",
		"--config nosuch.toml":   "--config: open nosuch.toml",
		"--log-level loud":       "is none of debug, info, warn, error",
		"--web.listen-address x": "is not [HOST]:PORT",
		"--link.secret-file nosuch -x 80-10.1.2.100" + s:              "--link.secret-file: open nosuch",
		"--name " + strings.Repeat("n", 65) + " -x 80-10.1.2.100" + s: "is longer than 64 bytes",
	} {
		c, err := ParseTcpcopy(words(line), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %+v, %v; want an error with %q", line, c, err, want)
		}
	}
	for line, want := range map[string]string{
		"-x 10.1.3.1":                        "-x, --passlist: the traditional mode is obsolete",
		"-q 1024":                            "-q, --queue-length: netfilter queues are obsolete",
		"-D 10.1.3.1":                        "is not A-B",
		"-D 10.1.3.1-fd00::":                 "mixes IPv4 and IPv6",
		"-D 10.1.3.1-x":                      "is not an IP address",
		"-D 1.1.1.1-2.2.2.2,1.1.1.1-2.2.2.3": "1.1.1.1 is rewritten twice",
		"-b 10.1.2.x":                        "-b, --bind: \"10.1.2.x\" is not an IP address",
		"-b 10.1.2.3,10.1.2.3":               "is named twice",
		"-b 224.0.0.1":                       "is a multicast address",
		"-i any,lo":                          "any is every interface",
		"--fliter tcp":                       "did you mean --filter?",
	} {
		c, err := ParseIntercept(words(line), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("intercept %q: %+v, %v; want an error with %q", line, c, err, want)
		}
	}
}

func TestWhatHasNoEffectIsNoted(t *testing.T) {
	for line, want := range map[string]string{
		"-x 80-10.1.2.100,80-10.1.2.101":           "transfer 80-10.1.2.101:80 has no effect: 80-10.1.2.100:80 stands before it",
		"-x 80-10.1.2.100,10.0.0.1:80-10.1.2.101":  "transfer 10.0.0.1:80-10.1.2.101:80 has no effect",
		"-x 80-10.1.3.7 -c 10.1.3.x":               "10.1.3.7 is left out: it is a target's own",
		"-x 10.1.3.7:80-10.1.2.1 -c 10.1.3.x":      "10.1.3.7 is left out: it is an online address",
		"-x 80-10.1.2.100 -c 10.1.2.x":             "10.1.2.30 is left out: it is an intercept's own",
		"-x 80-fd00::1 -c fd00:3::/64":             "of the clients fd00:3::/64 only fd00:3::/112 is used, 65536 addresses",
		"-x 80-10.1.2.100 -c 10.1.3.x -H 10.1.4.1": "-H has no effect",
		"-x 80-10.1.2.100 -n 2":                    "-n 2 without -c: the copies of a session differ by their port only",
		"-x 80-10.1.2.100 -a 2 --from 3":           "--accelerate has no effect: no recording is replayed",
		"-x 80-10.1.2.100 -g -r 0.5":               "-g has no effect: it begins with 1 %, and -r is not above that",
	} {
		c := tcpcopy(t, line+" -s 10.1.2.30")
		if !strings.Contains(strings.Join(c.Notes, "\n"), want) {
			t.Errorf("%s: notes %q lack %q", line, c.Notes, want)
		}
	}
	if c := tcpcopy(t, "-x 10.0.0.1:80-10.1.2.101,80-10.1.2.100 -s 10.1.2.30"); c.Notes != nil {
		t.Errorf("one address before all others is no mistake: %q", c.Notes)
	}
}

func TestHelpAndVersionWinOverMistakes(t *testing.T) {
	var out strings.Builder
	if _, err := ParseTcpcopy(words("-m 1 -h"), &out); !errors.Is(err, ErrHelp) {
		t.Error(err)
	}
	for _, want := range []string{"Usage: tcpcopy", "-x, --transfer ONLINE-TARGET", "(default 2GiB)", "-h, --help   "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "default true") {
		t.Error("the help shows itself as a default")
	}
	if _, err := ParseIntercept(words("-v"), io.Discard); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
}

func TestSecretIsReadFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	line := "-x 80-10.1.2.100 -s 10.1.2.30 --link.secret-file " + path
	if c := tcpcopy(t, line); c.Secret != "open sesame" || c.Notes != nil {
		t.Errorf("%q, notes %q", c.Secret, c.Notes)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if c := tcpcopy(t, line); len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "chmod") {
		t.Errorf("notes %q", c.Notes)
	}
	var out strings.Builder
	if _, err := ParseTcpcopy(append(words(line), "--print-config"), &out); !errors.Is(err, ErrPrinted) || strings.Contains(out.String(), "sesame") {
		t.Errorf("%v, printed %s", err, out.String())
	}
	if err := os.WriteFile(path, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseTcpcopy(words(line), io.Discard); err == nil {
		t.Error("an empty secret was taken")
	}
}
