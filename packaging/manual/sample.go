package manual

import (
	"regexp"
	"strings"
)

// Table is a table of a configuration file.
type Table struct {
	Name  string // as it is written: [session] or [[transfer]]
	About string
	Keys  []Key
}

// Key is a line of a table.
type Key struct {
	Name  string
	Value string // as the sample has it
	About string
}

var (
	tableLine = regexp.MustCompile(`^\[+[\w.]+\]+$`)
	keyLine   = regexp.MustCompile(`^(?:# )?(\w+) = (".*?"|\[.*?\]|\S+)(?:\s+# (.*))?$`)
)

// ParseSample reads an annotated configuration: what stands above a table, or
// above or behind a key, is about it. A key in a comment is one like others.
// What stands above the first table and is not next to it is about the file,
// and left out.
func ParseSample(sample string) (tables []Table) {
	var above []string
	take := func(behind string) string {
		s := append(above, behind)
		above = nil
		return strings.TrimSpace(strings.Join(s, "\n"))
	}
	for line := range strings.Lines(sample) {
		line = strings.TrimSpace(line)
		m := keyLine.FindStringSubmatch(line)
		switch {
		case line == "":
			above = nil
		case tableLine.MatchString(line):
			tables = append(tables, Table{Name: line, About: take("")})
		case m != nil && len(tables) > 0:
			t := &tables[len(tables)-1]
			t.Keys = append(t.Keys, Key{m[1], m[2], take(m[3])})
		default:
			above = append(above, strings.TrimSpace(strings.TrimPrefix(line, "#")))
		}
	}
	return tables
}
