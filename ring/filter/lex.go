package filter

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	end     kind = iota
	word         // begins with a letter
	quoted       // a word after a backslash, never a keyword
	number       // its value is in n
	address      // dotted, or with two colons or more
	symbol
)

type token struct {
	kind kind
	text string
	col  int // bytes, from 1
	n    uint32
}

func (t token) is(texts ...string) bool {
	if t.kind != word && t.kind != symbol {
		return false
	}
	for _, s := range texts {
		if t.text == s {
			return true
		}
	}
	return false
}

// fail makes the error for t.
func (t token) fail(format string, args ...any) error {
	at := strconv.Quote(t.text)
	if t.kind == end {
		at = "the end"
	}
	return fmt.Errorf("filter: column %d, %s: %s", t.col, at, fmt.Sprintf(format, args...))
}

const (
	digits  = "0123456789"
	hex     = digits + "abcdefABCDEF"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
)

// lex cuts text into tokens; the last is end.
func lex(text string) ([]token, error) {
	var toks []token
	for i := 0; ; {
		i += span(text[i:], " \t\r\n")
		if i == len(text) {
			return append(toks, token{kind: end, col: i + 1}), nil
		}
		t, err := next(text[i:], i+1)
		if err != nil {
			return nil, err
		}
		toks = append(toks, t)
		i += len(t.text)
		if t.kind == quoted {
			i++ // the backslash
		}
	}
}

// next reads the token that s, not empty, begins with.
func next(s string, col int) (token, error) {
	t := token{col: col}
	if n := span(s, hex+":."); strings.Count(s[:n], ":") >= 2 {
		t.kind, t.text = address, s[:n]
		return t, nil
	}
	switch {
	case s[0] == '\\':
		t.kind, t.text = quoted, s[1:1+span(s[1:], letters+digits+".-")]
		if t.text == "" {
			return t, token{kind: symbol, text: s[:1], col: col}.fail("a name must follow")
		}
		return t, nil
	case strings.IndexByte(letters, s[0]) >= 0:
		t.kind, t.text = word, s[:span(s, letters+digits+".-")]
		return t, nil
	case strings.IndexByte(digits, s[0]) >= 0:
		t.text = s[:span(s, letters+digits+".")]
		if strings.Contains(t.text, ".") {
			t.kind = address
			return t, nil
		}
		t.kind = number
		n, err := strconv.ParseUint(t.text, 0, 32)
		if err != nil || strings.ContainsAny(t.text, "_oO") || len(t.text) > 1 && (t.text[1] == 'b' || t.text[1] == 'B') {
			return t, t.fail("not a number of 32 bits: write 80, 0x50 or 0120")
		}
		t.n = uint32(n)
		return t, nil
	}
	t.kind = symbol
	for _, sym := range [...]string{"&&", "||", "<<", ">>", "<=", ">=", "==", "!="} {
		if strings.HasPrefix(s, sym) {
			t.text = sym
			return t, nil
		}
	}
	if strings.IndexByte("()[]:+-*/&|=<>!", s[0]) < 0 {
		_, n := utf8.DecodeRuneInString(s)
		t.text = s[:n]
		return t, t.fail("not part of the language: see docs/filters.md")
	}
	t.text = s[:1]
	return t, nil
}

// span is the length of the prefix of s made of the bytes in set.
func span(s, set string) int {
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return i
		}
	}
	return len(s)
}
