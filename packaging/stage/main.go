// Stage writes what the packages contain and the repository does not: manual
// pages, completions, configurations, changelogs, copyrights and maintainer
// scripts.
//
//	go run ./packaging/stage DIR VERSION DATE
//
// DATE is of the version, in seconds since 1970; the same arguments make the
// same files. It runs at the top of the repository. packaging/build calls it.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tcpcopy-go/tcpcopy/packaging/manual"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: stage DIR VERSION DATE")
		os.Exit(2)
	}
	seconds, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err == nil {
		err = stage(os.Args[1], os.Args[2], time.Unix(seconds, 0).UTC())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		os.Exit(1)
	}
}

// services are the configurations that the services read, by tool.
var services = map[string]string{"tcpcopy": "online.toml", "intercept": "intercept.toml"}

// units are the services that a tool's scripts care for, as systemctl takes
// them: it passes over patterns that nothing matches.
var units = map[string]string{
	"tcpcopy":   "'tcpcopy@*.service'",
	"intercept": "intercept.service 'intercept@*.service'",
}

// stage writes everything into dir, a folder for each tool.
func stage(dir, version string, date time.Time) error {
	notices, err := licenses()
	if err != nil {
		return err
	}
	for _, t := range manual.Tools() {
		sample, err := os.ReadFile(t.Sample)
		if err != nil {
			return err
		}
		files, err := manual.Files(t, string(sample), date.Format("January 2, 2006"))
		if err != nil {
			return err
		}
		for name, text := range files {
			if ext := filepath.Ext(name); ext == ".8" || ext == ".5" {
				delete(files, name)
				files[name+".gz"] = compress(text)
			}
		}
		files[services[t.Name]] = configuration(t.Name, string(sample))
		files["copyright"] = notices
		files["changelog.Debian.gz"] = compress(changelog(t.Name, version, date))
		for _, name := range []string{"postinstall.sh", "preremove.sh", "postremove.sh"} {
			script, err := os.ReadFile(filepath.Join("packaging/scripts", name))
			if err != nil {
				return err
			}
			files[name] = strings.NewReplacer("@TOOL@", t.Name, "@UNITS@", units[t.Name]).Replace(string(script))
		}
		if err := write(filepath.Join(dir, t.Name), files); err != nil {
			return err
		}
	}
	return nil
}

func write(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compress is gzip -9n.
func compress(text string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is right
	_, _ = w.Write([]byte(text))                          // a buffer takes everything
	_ = w.Close()
	return b.String()
}

// changelog is Debian's (deb-changelog(5)), with one entry.
func changelog(tool, version string, date time.Time) string {
	return fmt.Sprintf(`%s (%s-1) unstable; urgency=medium

  * See the history of https://github.com/tcpcopy-go/tcpcopy

 -- tcpcopy <tcpcopy-go@users.noreply.github.com>  %s
`, tool, version, date.Format(time.RFC1123Z))
}
