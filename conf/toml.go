package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile is far above any configuration; what is larger is another file.
const maxFile = 1 << 20

// load reads the file at path into the settings.
func (p *parser) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	if len(data) > maxFile {
		return fmt.Errorf("--config: %s is larger than %s; name a configuration", path, printSize(maxFile))
	}
	return p.decode(path, data)
}

func (p *parser) decode(path string, data []byte) error {
	var root map[string]any
	md, err := toml.Decode(string(data), &root)
	if err != nil {
		if pe := (toml.ParseError{}); errors.As(err, &pe) {
			return fmt.Errorf("%s:%d: %s", path, pe.Position.Line, pe.Message)
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	f := &file{parser: p, path: path, root: root}
	lines := locate(data, md.Keys())
	for i, key := range md.Keys() {
		f.line = lines[i]
		if err := f.key(key); err != nil {
			return err
		}
	}
	return f.close()
}

// file walks through the keys of a TOML file in their order, so that the first
// mistake is the one that is told.
type file struct {
	*parser
	path string
	root map[string]any
	line int

	open *setting // the rows whose last row is not complete
	row  map[string]any
	seen map[*setting]int // rows read
}

func (f *file) key(key toml.Key) error {
	name := key.String()
	s := f.find(name)
	if s != nil && s.key == "" {
		s = nil // flags without a key
	}
	if len(key) == 1 {
		if _, ok := f.root[key[0]].(map[string]any); ok && f.hasTable(key[0]) {
			return nil
		}
		if s == nil {
			return f.unknown(name)
		}
		return f.begin(s)
	}
	if f.open != nil && len(key) == 2 && key[0] == f.open.key {
		t := f.open.value.(table)
		if !slices.Contains(t.names(), key[1]) {
			return f.unknown(name)
		}
		if err := t.put(key[1], f.row[key[1]]); err != nil {
			return f.errorAt(name, err)
		}
		return nil
	}
	if s == nil || len(key) != 2 {
		return f.unknown(name)
	}
	group, _ := f.root[key[0]].(map[string]any)
	s.from = f.place(name)
	if err := s.load(group[key[1]]); err != nil {
		return f.errorAt(name, err)
	}
	return nil
}

// begin starts the next [[row]] of s.
func (f *file) begin(s *setting) error {
	if err := f.close(); err != nil {
		return err
	}
	all, ok := f.root[s.key].([]map[string]any)
	if !ok {
		return f.errorAt(s.key, fmt.Errorf("is no array of tables; write [[%s]]", s.key))
	}
	t := s.value.(table)
	if f.seen == nil {
		f.seen = make(map[*setting]int)
	}
	if f.seen[s] == 0 {
		t.reset()
	}
	s.from = f.place(s.key)
	f.open, f.row = s, all[f.seen[s]]
	f.seen[s]++
	t.begin()
	return nil
}

func (f *file) close() error {
	if f.open == nil {
		return nil
	}
	s := f.open
	f.open = nil
	if err := s.value.(table).end(); err != nil {
		return fmt.Errorf("%s: %w", s.from, err)
	}
	return nil
}

func (f *file) place(name string) string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, name) }

func (f *file) errorAt(name string, err error) error { return fmt.Errorf("%s: %w", f.place(name), err) }

func (f *file) unknown(name string) error {
	msg := "is not a key"
	if near := nearestKey(name, f.keys()); near != "" {
		msg += "; did you mean " + near + "?"
	} else {
		msg += " of " + f.tool + "; --print-config shows them all"
	}
	return f.errorAt(name, errors.New(msg))
}

// hasTable reports whether a table [name] holds settings.
func (p *parser) hasTable(name string) bool {
	return slices.ContainsFunc(p.settings, func(s *setting) bool { return strings.HasPrefix(s.key, name+".") })
}

// keys are all keys that the file may have.
func (p *parser) keys() (out []string) {
	for _, s := range p.settings {
		if t, ok := s.value.(table); ok {
			for _, name := range t.names() {
				out = append(out, s.key+"."+name)
			}
		} else if s.key != "" {
			out = append(out, s.key)
		}
	}
	return out
}

// locate returns the lines of keys, which come in the order of the file.
// Package toml knows no lines of tables in arrays. Only messages depend on it.
func locate(data []byte, keys []toml.Key) []int {
	text := withoutComments(data)
	lines := make([]int, len(keys))
	line, at := 1, 0
	for i, key := range keys {
		last := regexp.QuoteMeta(key[len(key)-1])
		re := regexp.MustCompile(`(?m)(?:^|[\[{,.])[ \t]*["']?` + last + `["']?[ \t]*[\].=]`)
		if m := re.FindIndex(text[at:]); m != nil {
			end := at + m[1] - 1 // before what ends the key, where the next one may begin
			line += bytes.Count(text[at:end], []byte("\n"))
			at = end
		}
		lines[i] = line
	}
	return lines
}

// withoutComments blanks the comments of a TOML file.
func withoutComments(data []byte) []byte {
	out := bytes.Clone(data)
	var quote byte
	for i, c := range out {
		switch {
		case c == '\n':
			quote = 0
		case quote == '#':
			out[i] = ' '
		case c == '#' && quote == 0:
			quote = '#'
			out[i] = ' '
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		}
	}
	return out
}

// dump writes the settings as a file that load reads.
func (p *parser) dump(w io.Writer) error {
	var b bytes.Buffer
	var done []string
	line := func(key string, v any) error {
		return toml.NewEncoder(&b).Encode(map[string]any{key: v})
	}
	for _, s := range p.settings {
		if t, ok := s.value.(table); ok {
			for _, cells := range t.cells() {
				fmt.Fprintf(&b, "[[%s]]\n", s.key)
				for i, name := range t.names() {
					if cells[i] == "" {
						continue
					}
					if err := line(name, cells[i]); err != nil {
						return err
					}
				}
				b.WriteByte('\n')
			}
			continue
		}
		group, _, _ := strings.Cut(s.key, ".")
		if group == "" || slices.Contains(done, group) {
			continue
		}
		done = append(done, group)
		fmt.Fprintf(&b, "[%s]\n", group)
		for _, o := range p.settings {
			if name, ok := strings.CutPrefix(o.key, group+"."); ok {
				if err := line(name, o.dump()); err != nil {
					return err
				}
			}
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return err
}

// nearestKey is the key that name was probably meant to be: one of the same
// name in another table, or the name of a key of its table, or of a table, with
// a few letters' difference.
func nearestKey(name string, keys []string) string {
	table, last, ok := strings.Cut(name, ".")
	if !ok {
		table, last = "", name
	}
	var names, tables []string
	for _, k := range keys {
		t, n, _ := strings.Cut(k, ".")
		if n == last {
			return k
		}
		if t == table {
			names = append(names, n)
		}
		tables = append(tables, t)
	}
	if near := nearest(last, names); near != "" {
		return table + "." + near
	}
	if near := nearest(last, tables); near != "" && !ok {
		return near
	}
	return ""
}

// nearest returns the word that differs from s in the fewest letters, "" if
// all differ in more than a third.
func nearest(s string, words []string) (best string) {
	least := min(len(s)/3, 4) + 1
	for _, w := range words {
		if d := distance(s, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is Levenshtein's: the letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
