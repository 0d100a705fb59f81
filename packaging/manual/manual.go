// Package manual writes the manual pages and the shells' completions of
// tcpcopy and intercept. What the programs can be told comes from package
// conf, and what their files may say from the annotated samples, which tests
// of package conf compare with the code: nothing is written twice.
package manual

import (
	"embed"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

//go:embed *.tmpl
var sources embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"text": text, "literal": literal, "argument": argument, "upper": strings.ToUpper,
	"live": live, "kind": kind, "brief": brief, "join": join, "bracket": bracket.Replace, "quote": quote.Replace,
}).ParseFS(sources, "*.tmpl"))

// Tool is one of the two programs.
type Tool struct {
	Name    string
	About   string // one line, as apropos(1) shows it
	Options []conf.Option
	Sample  string // path of its annotated configuration in the repository
	Unit    string // its systemd service
	File    string // what that reads
}

// Tools are both programs.
func Tools() []Tool {
	return []Tool{
		{"tcpcopy", "copy live TCP sessions to a system under test", conf.TcpcopyOptions(), "tcpcopy.toml",
			"tcpcopy@online", "/etc/tcpcopy/online.toml"},
		{"intercept", "send the headers of replies back to tcpcopy", conf.InterceptOptions(), "packaging/intercept.toml",
			"intercept", "/etc/tcpcopy/intercept.toml"},
	}
}

// Files returns everything that this package writes for t, by file name:
// pages, and completions named as the shells look for them. sample is the text
// of the annotated configuration; date is that of the pages, "January 2, 2006".
func Files(t Tool, sample, date string) (map[string]string, error) {
	page := struct {
		Tool
		Date   string
		Tables []Table
	}{t, date, ParseSample(sample)}
	files := make(map[string]string)
	for name, tmpl := range map[string]string{
		t.Name + ".8":      t.Name + ".8.tmpl",
		t.Name + ".toml.5": "toml.5.tmpl",
		t.Name:             "bash.tmpl",
		"_" + t.Name:       "zsh.tmpl",
		t.Name + ".fish":   "fish.tmpl",
	} {
		var b strings.Builder
		if err := templates.ExecuteTemplate(&b, filepath.Base(tmpl), page); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = b.String()
	}
	return files, nil
}

// live lists the keys that a reload can change.
func live(options []conf.Option) (keys []string) {
	for _, o := range options {
		if o.Reload {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

var sentence = regexp.MustCompile(`\. ([A-Z])`)

// text makes prose of s in roff(7): sentences begin lines, and dashes that
// begin a word are those of flags, to be copied as such.
func text(s string) string {
	s = sentence.ReplaceAllString(strings.ReplaceAll(s, `\`, `\e`), ".\n$1")
	for _, before := range []string{" ", "(", "\n"} {
		s = strings.ReplaceAll(s, before+"-", before+`\-`)
	}
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if l != "" && strings.ContainsRune(".'-", rune(l[0])) {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// literal is s to be copied as it stands.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}

// argument is s as one argument of a macro.
func argument(s string) string {
	return `"` + strings.ReplaceAll(literal(s), `"`, `\(dq`) + `"`
}
