package conf

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

// value is the place of a setting in the configuration, with its type.
type value interface {
	set(text string) error // from the command line
	load(v any) error      // from the file, as package toml decodes
	dump() any             // for the file, as package toml encodes
}

// scalar is a value that the file writes as a string.
type scalar[T any] struct {
	p     *T
	parse func(string) (T, error)
	print func(T) string
	unit  string // joined to a bare number of the command line, where the C tools' flags have none
}

func (v scalar[T]) set(text string) (err error) {
	if _, bare := strconv.ParseFloat(text, 64); bare == nil {
		text += v.unit
	}
	return v.store(text)
}

func (v scalar[T]) load(x any) error {
	s, ok := x.(string)
	switch {
	case ok:
		return v.store(s)
	case v.unit != "":
		return fmt.Errorf("%v is no string with a unit; write \"%v%s\"", x, x, v.unit)
	default:
		return fmt.Errorf("%v is no string; write it in quotes", x)
	}
}

func (v scalar[T]) store(s string) error {
	t, err := v.parse(s)
	if err == nil {
		*v.p = t
	}
	return err
}

func (v scalar[T]) dump() any { return v.print(*v.p) }

// text is a string on one line.
func text(p *string) value { return checked(p, func(string) error { return nil }) }

// checked is a text that check accepts.
func checked(p *string, check func(string) error) value {
	return scalar[string]{p: p, print: func(s string) string { return s }, parse: func(s string) (string, error) {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return s, fmt.Errorf("%q has characters that cannot be printed; leave them out", s)
		}
		return s, check(s)
	}}
}

// filterText is a filter that package filter compiles. It may have lines, as
// tcpdump -ddd writes them.
func filterText(p *string) value {
	return scalar[string]{p: p, print: func(s string) string { return s }, parse: func(s string) (string, error) {
		if !utf8.ValidString(s) {
			return s, fmt.Errorf("%q is not UTF-8", s)
		}
		if s == "" {
			return s, nil
		}
		_, err := filter.Compile(s)
		return s, err
	}}
}

// oneOf is a text that is one of a few.
type oneOf struct {
	value
	list []string
}

func (v oneOf) choices() []string { return v.list }

// choice is one of a few words.
func choice(p *string, list ...string) value {
	return oneOf{list: list, value: checked(p, func(s string) error {
		if !slices.Contains(list, s) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(list, ", "))
		}
		return nil
	})}
}

// span is a duration. unit is that of a bare number on the command line.
func span(p *time.Duration, unit string, lo, hi time.Duration) value {
	return scalar[time.Duration]{p: p, unit: unit, print: printSpan, parse: func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return d, fmt.Errorf("%q is not a duration such as 500ms, 30s or 2m", s)
		}
		if d < lo || d > hi {
			return d, fmt.Errorf("%s is not within %s and %s", printSpan(d), printSpan(lo), printSpan(hi))
		}
		return d, nil
	}}
}

// printSpan writes 2m where Duration.String writes 2m0s.
func printSpan(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// units are the names of sizes, largest binary ones first: what printSize
// prefers.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// size is a number of bytes. A bare number on the command line counts MiB, as
// the C tools' -m and -B do.
func size(p *int64, lo, hi int64) value {
	return scalar[int64]{p: p, unit: "MiB", print: printSize, parse: func(s string) (int64, error) {
		n, err := parseSize(s)
		if err == nil && (n < lo || n > hi) {
			err = fmt.Errorf("%s is not within %s and %s", s, printSize(lo), printSize(hi))
		}
		return n, err
	}}
}

func parseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n > uint64(math.MaxInt64/u.bytes) {
			break
		}
		return int64(n) * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size such as 64MiB or 2GiB", s)
}

func printSize(n int64) string {
	for _, u := range units[:4] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// boolean is a switch.
type boolean struct{ p *bool }

func (v boolean) set(text string) error {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	*v.p = b
	return nil
}

func (v boolean) load(x any) error {
	b, ok := x.(bool)
	if !ok {
		return fmt.Errorf("%v is neither true nor false", quoted(x))
	}
	*v.p = b
	return nil
}

func (v boolean) dump() any { return *v.p }

// whole is a number without fraction.
type whole struct {
	p      *int
	lo, hi int
}

func (v whole) set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a whole number from %d to %d", text, v.lo, v.hi)
	}
	return v.load(n)
}

func (v whole) load(x any) error {
	n, ok := x.(int64)
	if !ok || n < int64(v.lo) || n > int64(v.hi) {
		return fmt.Errorf("%v is not a whole number from %d to %d", quoted(x), v.lo, v.hi)
	}
	*v.p = int(n)
	return nil
}

func (v whole) dump() any { return *v.p }

// number is one with fraction.
type number struct {
	p    *float64
	what string // what it is, with its bounds
	ok   func(float64) bool
	unit string // allowed behind it on the command line
}

func percent(p *float64) value {
	return number{p, "a percentage above 0 and up to 100", func(f float64) bool { return f > 0 && f <= 100 }, "%"}
}

// rate is how often a second something may happen; 0 is without limit.
func rate(p *float64) value {
	return number{p, "0 or a number a second from 0.001 to 1000000", func(f float64) bool { return f == 0 || f >= 1e-3 && f <= 1e6 }, ""}
}

func catchUp(p *float64) value {
	return number{p, "0 or a factor from 1.1 to 1000", func(f float64) bool { return f == 0 || f >= 1.1 && f <= 1000 }, ""}
}

func (v number) set(text string) error {
	f, err := strconv.ParseFloat(strings.TrimSuffix(text, v.unit), 64)
	if err != nil {
		return fmt.Errorf("%q is not %s", text, v.what)
	}
	return v.load(f)
}

func (v number) load(x any) error {
	f, ok := x.(float64)
	if n, isInt := x.(int64); isInt {
		f, ok = float64(n), true
	}
	if !ok || !v.ok(f) {
		return fmt.Errorf("%v is not %s", quoted(x), v.what)
	}
	*v.p = f
	return nil
}

func (v number) dump() any { return *v.p }

// quoted shows strings with quotes, so that a message tells "1" from 1.
func quoted(x any) any {
	if s, ok := x.(string); ok {
		return strconv.Quote(s)
	}
	return x
}

// list is several of the same: separated by commas on the command line, where
// a trailing comma is allowed as in the C tools, an array of strings in the
// file.
type list[T any] struct {
	p     *[]T
	parse func(string) (T, error)
	print func(T) string
}

// texts is a list of words that are understood later.
func texts(p *[]string) list[string] {
	word := text(new(string)).(scalar[string])
	return list[string]{p: p, parse: word.parse, print: word.print}
}

// reset empties the list; flags then add to it.
func (v list[T]) reset() { *v.p = nil }

func (v list[T]) set(text string) error {
	for _, s := range strings.Split(strings.TrimSuffix(text, ","), ",") {
		if err := v.add(s); err != nil {
			return err
		}
	}
	return nil
}

func (v list[T]) load(x any) error {
	items, ok := x.([]any)
	if !ok {
		return fmt.Errorf("%v is not an array; write [%v]", quoted(x), quoted(x))
	}
	v.reset()
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return fmt.Errorf("%v is no string; write it in quotes", item)
		}
		if err := v.add(s); err != nil {
			return err
		}
	}
	return nil
}

func (v list[T]) add(s string) error {
	s = strings.TrimSpace(s)
	if s == "" {
		return fmt.Errorf("an item of the list is empty; leave it out")
	}
	t, err := v.parse(s)
	if err == nil {
		*v.p = append(*v.p, t)
	}
	return err
}

func (v list[T]) dump() any {
	out := make([]string, len(*v.p))
	for i, t := range *v.p {
		out[i] = v.print(t)
	}
	return out
}

// refused is a flag that is known and cannot be served.
type refused string

func (v refused) set(string) error { return fmt.Errorf("%s", string(v)) }
func (v refused) load(any) error   { return v.set("") }
func (v refused) dump() any        { return "" }

// noted is a flag that is accepted for the sake of old scripts, with a note
// that says why it has no effect.
type noted struct {
	notes *[]string
	note  string
}

func (v noted) set(string) error { *v.notes = append(*v.notes, v.note); return nil }
func (v noted) load(any) error   { return v.set("") }
func (v noted) dump() any        { return "" }
