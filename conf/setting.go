package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// setting is one thing that can be configured.
type setting struct {
	key   string // table.name in the file; the table's name for rows; "": command line only
	flag  string // long flag
	short string // letter, as in the C tools
	bare  string // what the flag means without a value; "": it needs one, unless it is a switch
	usage string // one line; the value's name in back quotes, none for a switch
	live  bool   // a reload can change it
	value
	from string // where the value came from, for messages; "": the default
}

// where names s in a message about its value.
func (s *setting) where() string {
	if s.from != "" {
		return s.from
	}
	return s.spelling()
}

// spelling is how the command line says s.
func (s *setting) spelling() string {
	if s.short != "" {
		return "-" + s.short + ", --" + s.flag
	}
	return "--" + s.flag
}

// parser reads the command line and the file of one tool into its settings.
type parser struct {
	tool     string
	synopsis string
	process  *Process
	settings []*setting

	help, version, print bool
}

func newParser(tool, synopsis string, process *Process, settings []*setting) *parser {
	p := &parser{tool: tool, synopsis: synopsis, process: process}
	p.settings = append(settings, processSettings(process)...)
	p.settings = append(p.settings,
		&setting{flag: "config", usage: "`FILE` in TOML to read; flags override it", value: text(&process.Config)},
		&setting{flag: "check-config", usage: "check the configuration and what it needs of this host, and exit", value: boolean{&process.Check}},
		&setting{flag: "print-config", usage: "print the configuration that results as TOML and exit", value: boolean{&p.print}},
		&setting{flag: "help", short: "h", usage: "print this help and exit", value: boolean{&p.help}},
		&setting{flag: "version", short: "v", usage: "print the version and exit", value: boolean{&p.version}},
	)
	return p
}

// processSettings are those of both tools.
func processSettings(p *Process) []*setting {
	*p = Process{LogLevel: "info", LogFormat: "text"}
	return []*setting{
		{key: "link.name", flag: "name", usage: "`NAME` of this process for the other side of the link (default the host's name)", value: text(&p.Name)},
		{key: "link.secret_file", flag: "link.secret-file", usage: "`FILE` with the secret that both sides of the link share", value: text(&p.SecretFile)},
		{key: "metrics.listen", flag: "web.listen-address", usage: "`[HOST]:PORT` for /metrics; without a host 127.0.0.1", value: webAddress(&p.WebListen)},
		{key: "metrics.config_file", flag: "web.config.file", usage: "`FILE` with TLS and passwords for the metrics, as Prometheus's exporters take it", value: webConfig(&p.WebConfig)},
		{key: "debug.pprof", flag: "debug.pprof", usage: "serve profiles of this process beside the metrics, below /debug/pprof/", value: boolean{&p.Pprof}},
		{key: "log.file", flag: "log-file", short: "l", usage: "`FILE` to log to (default standard error)", value: text(&p.LogFile)},
		{key: "log.level", flag: "log-level", usage: "least `LEVEL` that is logged: debug, info, warn or error", value: choice(&p.LogLevel, "debug", "info", "warn", "error"), live: true},
		{key: "log.format", flag: "log-format", usage: "`FORMAT` of the log: text, logfmt or json", value: choice(&p.LogFormat, "text", "logfmt", "json")},
		{key: "process.pid_file", flag: "pid-file", short: "P", usage: "`FILE` for the process id", value: text(&p.PidFile)},
		{key: "process.daemon", flag: "daemon", short: "d", usage: "run in the background", value: boolean{&p.Daemon}},
	}
}

// find returns the setting of a key or, for those that have none, of a flag.
func (p *parser) find(name string) *setting {
	for _, s := range p.settings {
		if s.key == name || s.key == "" && s.flag == name {
			return s
		}
	}
	return nil
}

// errorf is an error about the value of a setting.
func (p *parser) errorf(name, format string, args ...any) error {
	return fmt.Errorf("%s: %s", p.find(name).where(), fmt.Sprintf(format, args...))
}

func (p *parser) note(format string, args ...any) {
	p.process.Notes = append(p.process.Notes, fmt.Sprintf(format, args...))
}

// run reads everything and has finish understand it as a whole. Its errors are
// one line, whatever they quote.
func (p *parser) run(args []string, out io.Writer, finish func(*parser) error) error {
	err := p.parse(args, out)
	for _, step := range []func() error{p.finish, func() error { return finish(p) }, func() error { return p.answer(out) }} {
		if err != nil {
			break
		}
		err = step()
	}
	p.process.shown = p.show()
	if err != nil && printable(err.Error()) != err.Error() {
		return errors.New(printable(err.Error()))
	}
	return err
}

// parse fills the settings: the file first, then the flags over it.
func (p *parser) parse(args []string, out io.Writer) error {
	given, err := p.split(args)
	if err != nil {
		return err
	}
	// These decide about all others, wherever they stand.
	for _, name := range []string{"help", "version", "config"} {
		for _, g := range given {
			if g.flag == name {
				if err := p.assign(g); err != nil {
					return err
				}
			}
		}
	}
	switch {
	case p.help:
		p.usage(out)
		return ErrHelp
	case p.version:
		return ErrVersion
	}
	if path := p.process.Config; path != "" {
		if err := p.load(path); err != nil {
			return err
		}
	}
	for _, g := range given {
		if err := p.assign(g); err != nil {
			return err
		}
	}
	return nil
}

// given is a flag of the command line with its value.
type given struct {
	*setting
	text string
}

func (p *parser) split(args []string) (all []given, err error) {
	for _, a := range args {
		if a == "--" {
			break
		}
		if strings.HasPrefix(a, "-test.") {
			// pflag would skip it, for the sake of Go's test binaries.
			return nil, fmt.Errorf("%q is no flag; see %s --help", a, p.tool)
		}
	}
	flags := p.flags()
	err = flags.ParseAll(args, func(f *pflag.Flag, text string) error {
		all = append(all, given{f.Value.(flagValue).setting, text})
		return nil
	})
	if err != nil {
		return nil, p.flagError(err)
	}
	if flags.NArg() > 0 {
		for _, g := range all {
			if g.bare != "" && g.text == g.bare {
				return nil, fmt.Errorf("%q stands alone; a value of --%s is joined to it, as in --%s=%s", flags.Arg(0), g.flag, g.flag, g.bare)
			}
		}
		return nil, fmt.Errorf("%q stands alone; put the flag that it belongs to before it, see %s --help", flags.Arg(0), p.tool)
	}
	return all, nil
}

// flags describes the settings to pflag, which splits the command line and
// writes the help; values are set later, by assign.
func (p *parser) flags() *pflag.FlagSet {
	flags := pflag.NewFlagSet(p.tool, pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(io.Discard)
	for _, s := range p.settings {
		f := flags.VarPF(flagValue{s}, s.flag, s.short, s.usage)
		f.NoOptDefVal = s.bare
		if !strings.Contains(s.usage, "`") {
			f.NoOptDefVal = "true"
		}
	}
	return flags
}

func (p *parser) flagError(err error) error {
	msg := err.Error()
	if e, ok := err.(*pflag.NotExistError); ok && e.GetSpecifiedShortnames() == "" {
		var names []string
		for _, s := range p.settings {
			names = append(names, s.flag)
		}
		if near := nearest(e.GetSpecifiedName(), names); near != "" {
			return fmt.Errorf("%s; did you mean --%s?", msg, near)
		}
	}
	return fmt.Errorf("%s; see %s --help", msg, p.tool)
}

// printable keeps a message on one line whatever it quotes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// assign sets a flag's value. The first use of a list on the command line
// replaces what the file says, others add to it.
func (p *parser) assign(g given) error {
	s := g.setting
	if l, ok := s.value.(interface{ reset() }); ok && s.from != s.spelling() {
		l.reset()
	}
	s.from = s.spelling()
	if err := s.set(g.text); err != nil {
		return fmt.Errorf("%s: %w", s.from, err)
	}
	return nil
}

// answer ends a run that was to print the configuration only.
func (p *parser) answer(out io.Writer) error {
	if !p.print {
		return nil
	}
	if err := p.dump(out); err != nil {
		return fmt.Errorf("--print-config: %w", err)
	}
	return ErrPrinted
}

func (p *parser) usage(out io.Writer) {
	p.help = false // the help shows the defaults
	fmt.Fprintf(out, "%s\n\n%s", p.synopsis, p.flags().FlagUsages())
}

// finish completes what both tools share.
func (p *parser) finish() error {
	c := p.process
	if c.Name == "" {
		name, err := os.Hostname()
		if err != nil || name == "" {
			name = p.tool
		}
		c.Name = name
	}
	if len(c.Name) > 64 {
		return p.errorf("link.name", "%q is longer than 64 bytes; shorten it", c.Name)
	}
	if c.Pprof && c.WebListen == "" {
		return p.errorf("debug.pprof", "profiles are served where the metrics are; say where with --web.listen-address")
	}
	if c.SecretFile == "" {
		return nil
	}
	b, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return p.errorf("link.secret_file", "%v", err)
	}
	c.Secret = strings.TrimSpace(string(b))
	if c.Secret == "" || len(c.Secret) > 256 {
		return p.errorf("link.secret_file", "%s holds %d bytes; write a secret of 1 to 256", c.SecretFile, len(c.Secret))
	}
	if info, err := os.Stat(c.SecretFile); err == nil && info.Mode()&0o004 != 0 {
		p.note("%s can be read by everybody: chmod o-r %s", c.SecretFile, c.SecretFile)
	}
	return nil
}

// flagValue shows a setting to pflag.
type flagValue struct{ *setting }

func (v flagValue) Set(string) error { return nil }

// Type keeps pflag from inventing a name for a switch's value.
func (v flagValue) Type() string { return "bool" }

// String is the default as the help shows it; pflag leaves out false, 0 and "".
func (v flagValue) String() string {
	switch d := v.dump().(type) {
	case []string:
		return strings.Join(d, ",")
	case string:
		if d == "0s" || d == "0B" {
			return ""
		}
		return d
	default:
		return fmt.Sprint(d)
	}
}
