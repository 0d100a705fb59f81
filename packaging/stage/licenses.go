package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// licenses is the license of tcpcopy, and those of everything that is linked
// into the binaries.
func licenses() (string, error) {
	own, err := os.ReadFile("LICENSE")
	if err != nil {
		return "", err
	}
	goroot, err := run("go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	modules, err := run("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/tcpcopy", "./cmd/intercept")
	if err != nil {
		return "", err
	}
	list := strings.Split(modules, "\n")
	slices.Sort(list)
	list = slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
	var b strings.Builder
	fmt.Fprintf(&b, "tcpcopy and intercept, https://github.com/tcpcopy-go/tcpcopy\n\n%s\nThe binaries contain the following, under the licenses that are given.\n", own)
	for _, m := range append([]string{"The standard library of Go\t" + goroot}, list...) {
		name, dir, _ := strings.Cut(m, "\t")
		texts, err := filepath.Glob(filepath.Join(dir, "[LNC][IO][CTP][EIY]*")) // LICENSE, NOTICE, COPYING
		if err != nil {
			return "", err
		}
		if len(texts) == 0 {
			return "", fmt.Errorf("%s has no license in %s", name, dir)
		}
		fmt.Fprintf(&b, "\n%s\n%s\n", name, strings.Repeat("-", len(name)))
		for _, path := range texts {
			text, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(string(text)))
		}
	}
	return b.String(), nil
}

func run(name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
