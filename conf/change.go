package conf

import (
	"fmt"
	"strings"
)

// Change is a setting that differs between two configurations.
type Change struct {
	Key      string
	Old, New string // as --print-config writes them; lists with commas
	Live     bool   // a running tool can take it on
}

// Changes lists in which settings next, of the same tool, differs from p, in
// the order of the help.
func (p *Process) Changes(next *Process) (changes []Change) {
	for i, s := range p.shown {
		if n := next.shown[i]; n.value != s.value {
			changes = append(changes, Change{s.key, s.value, n.value, s.live})
		}
	}
	if p.SecretFile == next.SecretFile && p.Secret != next.Secret {
		changes = append(changes, Change{Key: "link.secret_file", Old: "its old content", New: "its new content"})
	}
	return changes
}

// shown is the value of a setting once the configuration is understood.
type shown struct {
	key, value string
	live       bool
}

func (p *parser) show() (all []shown) {
	for _, s := range p.settings {
		if s.key != "" {
			all = append(all, shown{s.key, s.show(), s.live})
		}
	}
	return all
}

func (s *setting) show() string {
	if list, ok := s.dump().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(s.dump())
}
