package appliance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// hangup is what SIGHUP asks for: the log file and the configuration are read
// anew.
func (a *Appliance) hangup() {
	if !a.ready.Load() {
		a.reopen()
		a.Log.Warn("still starting: the configuration is not reloaded; send the signal again")
		return
	}
	a.manager.reloading()
	defer a.manager.ready()
	a.reopen()
	changes, err := a.reload()
	a.reloads.ended(err)
	if err != nil {
		a.Log.Error("the configuration is not reloaded, the old one stays", "error", err)
	} else {
		a.Log.Info("configuration reloaded", "changes", changes)
	}
	a.manager.status(a.status())
}

func (a *Appliance) reopen() {
	if err := a.out.Reopen(); err != nil {
		a.Log.Error("cannot reopen the log file, going on with the old one", "error", err)
	}
}

// reload takes on what command line and file say now, all of it or nothing,
// and returns how many settings have changed.
func (a *Appliance) reload() (changed int, err error) {
	tool, err := a.parse(os.Args[1:], io.Discard)
	if err != nil {
		return 0, err
	}
	next := tool.Process()
	changes := a.tool.Process().Changes(next)
	if err := needRestart(changes); err != nil {
		return 0, err
	}
	for _, n := range next.Notes {
		a.Log.Warn(n)
	}
	if err := a.tool.Reload(tool); err != nil {
		return 0, err
	}
	for _, c := range changes {
		a.Log.Info("setting changed", "key", c.Key, "old", c.Old, "new", c.New)
	}
	setLevel(a.level, next)
	return len(changes), nil
}

// needRestart names the changes that a running tool cannot take on.
func needRestart(changes []conf.Change) error {
	var keys []string
	for _, c := range changes {
		if !c.Live {
			keys = append(keys, fmt.Sprintf("%s (%s -> %s)", c.Key, c.Old, c.New))
		}
	}
	if keys == nil {
		return nil
	}
	return errors.New("needs a restart: " + strings.Join(keys, ", "))
}
