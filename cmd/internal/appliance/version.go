package appliance

import "runtime/debug"

// version is set by the build:
// -ldflags "-X github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance.version=v1.2.3".
var version string

// Version names this build: what the build set, else what the Go tool knows of
// the module or of the commit.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
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
		return "unknown"
	}
	return "commit " + revision + modified
}
