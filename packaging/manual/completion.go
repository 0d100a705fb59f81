package manual

import (
	"strings"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// kind says what a shell can offer for the value of o: switch, words, file,
// device or, where it knows nothing, free.
func kind(o conf.Option) string {
	switch {
	case o.Value == "":
		return "switch"
	case o.Words != nil:
		return "words"
	case strings.HasPrefix(o.Value, "FILE"):
		return "file"
	case strings.HasPrefix(o.Value, "DEVICE"):
		return "device"
	}
	return "free"
}

// brief is the first clause of a usage.
func brief(usage string) string {
	s, _, _ := strings.Cut(usage, "; ")
	return s
}

func join(words []string) string { return strings.Join(words, " ") }

// What has a meaning in single quotes, for zsh in a description of _arguments
// as well.
var (
	bracket = strings.NewReplacer(`'`, `'\''`, `[`, `\[`, `]`, `\]`, `:`, `\:`)
	quote   = strings.NewReplacer(`\`, `\\`, `'`, `\'`)
)
