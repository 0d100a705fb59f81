package appliance

import (
	"cmp"
	"runtime/debug"
)

// version is what this tree is, or with -dev what it is on the way to: semantic
// versioning below 1.0, where the second number changes when users have to
// adapt something. This line is the only place: the Makefile reads it. The
// build of packages may set another one, by -ldflags -X.
var version = "0.1.0-dev"

// commit is set by the Makefile, -ldflags "-X …appliance.commit=59ea04d5bb1c".
var commit string

// Version names this build: its version, and its commit as far as it is known.
func Version() string {
	if c := Commit(); c != "" {
		return version + " (commit " + c + ")"
	}
	return version
}

// Commit is what the build set, else what the Go tool knows of the repository
// that it built in; with -modified where files differ from it.
func Commit() string {
	info, _ := debug.ReadBuildInfo()
	return cmp.Or(commit, stamped(info))
}

// stamped is the commit of `go build` and `go install` without the Makefile.
func stamped(info *debug.BuildInfo) string {
	if info == nil {
		return ""
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + modified
}
