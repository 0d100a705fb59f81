package conf

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Stdin among the items of -i is standard input.
const Stdin = "-"

// inputs is what -i names: interfaces of this host, or recordings. finishInputs
// tells them apart.
func inputs(p *[]string) value {
	return list[string]{p: p, parse: parseInput, print: func(s string) string { return s }}
}

// parseInput reads an item of -i: an interface, any, a file, a pattern of
// files, or Stdin.
func parseInput(s string) (string, error) {
	word, err := text(new(string)).(scalar[string]).parse(s)
	if err != nil || word == "any" || isInterface(word) {
		return word, err
	}
	_, err = expand(word)
	return word, err
}

// expand returns the files that an item of -i stands for.
func expand(s string) ([]string, error) {
	if s == Stdin {
		return []string{s}, nil
	}
	if info, err := os.Stat(s); err == nil {
		if info.IsDir() {
			return nil, fmt.Errorf("%q is a directory; name the recordings in it, as in %s", s, filepath.Join(s, "*.pcap"))
		}
		return []string{s}, nil
	}
	if strings.ContainsAny(s, "*?[") {
		found, err := filepath.Glob(s)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("%q matches no file", s)
		}
		return found, err
	}
	return nil, fmt.Errorf("%q is neither an interface of this host nor a file; see ip link, ls", s)
}

// finishInputs finds out whether -i names interfaces or files.
func (c *rawTcpcopy) finishInputs(p *parser) error {
	c.Interfaces, c.Replay.Files = nil, nil
	for _, s := range c.inputs {
		if s == "any" || isInterface(s) {
			c.Interfaces = append(c.Interfaces, s)
			if _, err := os.Stat(s); err == nil {
				p.note("%s is an interface, and a file too: the interface is captured; write ./%s to replay the file", s, s)
			}
			continue
		}
		files, err := expand(s)
		if err != nil {
			return p.errorf("capture.interfaces", "%v", err)
		}
		for _, f := range files {
			if slices.Contains(c.Replay.Files, f) {
				return p.errorf("capture.interfaces", "%q is named twice; use -T to replay it again", f)
			}
			c.Replay.Files = append(c.Replay.Files, f)
		}
	}
	switch {
	case len(c.Interfaces) > 0 && len(c.Replay.Files) > 0:
		return p.errorf("capture.interfaces", "%s is an interface and %q a file; capture or replay", c.Interfaces[0], c.Replay.Files[0])
	case slices.Contains(c.Interfaces, "any"):
		if len(c.Interfaces) > 1 {
			return p.errorf("capture.interfaces", "any is every interface; leave the others out")
		}
		c.Interfaces = nil
	}
	return nil
}

// finishReplay checks how recordings are replayed.
func (c *rawTcpcopy) finishReplay(p *parser) error {
	r := &c.Replay
	if len(r.Files) == 0 {
		for _, s := range p.settings {
			if strings.HasPrefix(s.key, "replay.") && s.from == s.spelling() {
				p.note("--%s has no effect: no recording is replayed; name one with -i", s.flag)
			}
		}
	}
	switch {
	case r.To > 0 && r.To <= r.From:
		return p.errorf("replay.to", "%s is not behind the beginning, %s", printSpan(r.To), printSpan(r.From))
	case r.Times != 1 && slices.Contains(r.Files, Stdin):
		return p.errorf("replay.times", "standard input can be read once only; name a file")
	case c.Daemon && slices.Contains(r.Files, Stdin):
		return p.errorf("process.daemon", "a process in the background has no standard input; name a file")
	case c.ReplyInterface != "" && len(c.Intercepts) > 0:
		return p.errorf("capture.reply_interface", "the replies come by the intercepts of -s; leave one of the two out")
	}
	return nil
}

// speed is a factor, or max.
type speed struct{ p *float64 }

func (v speed) set(text string) error {
	if text == "max" {
		*v.p = math.Inf(1)
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return v.load(text)
	}
	return v.load(f)
}

func (v speed) load(x any) error {
	switch f := x.(type) {
	case int64:
		return v.load(float64(f))
	case float64:
		if f >= 1e-3 && f <= 1e6 {
			*v.p = f
			return nil
		}
	case string:
		if f == "max" {
			return v.set(f)
		}
	}
	return fmt.Errorf("%v is neither max nor a factor from 0.001 to 1000000", quoted(x))
}

func (v speed) dump() any {
	if math.IsInf(*v.p, 1) {
		return "max"
	}
	return *v.p
}
