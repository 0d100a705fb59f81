package conf

import (
	"slices"
	"strings"
)

// Option is a setting as manuals and shells' completions show it.
type Option struct {
	Key     string   // in the file, as session.percent; "": on the command line only
	Flag    string   // long name, without dashes
	Short   string   // letter; "": none
	Value   string   // what it is called, as FILE or NUMBER; "": a switch
	Bare    bool     // may stand without its value, which is joined by = otherwise
	Words   []string // that the value is one of; nil: free
	Usage   string   // one line, with Value in it
	Default string   // as the file writes it; "": none, or Usage says it
	Reload  bool     // a reload can change it
}

// TcpcopyOptions lists what tcpcopy can be told, in the order of its help.
func TcpcopyOptions() []Option {
	c := tcpcopyDefaults()
	return newParser("tcpcopy", "", &c.Process, c.settings()).options()
}

// InterceptOptions lists what intercept can be told, in the order of its help.
func InterceptOptions() []Option {
	c := interceptDefaults()
	return newParser("intercept", "", &c.Process, c.settings()).options()
}

func (p *parser) options() []Option {
	out := make([]Option, len(p.settings))
	for i, s := range p.settings {
		o := Option{Key: s.key, Flag: s.flag, Short: s.short, Bare: s.bare != "", Reload: s.live, Usage: strings.ReplaceAll(s.usage, "`", "")}
		if _, name, ok := strings.Cut(s.usage, "`"); ok {
			o.Value, _, _ = strings.Cut(name, "`")
			// What a switch has without being told is no news, and zeros stand
			// for what the usage says.
			if d := (flagValue{s}).String(); !slices.Contains([]string{"0", "false"}, d) {
				o.Default = d
			}
		}
		if w, ok := s.value.(interface{ choices() []string }); ok {
			o.Words = w.choices()
		}
		out[i] = o
	}
	return out
}
