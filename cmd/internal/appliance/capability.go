package appliance

import (
	"fmt"
	"slices"
	"strings"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// files are the capabilities that root reads and writes other users' files by:
// a log that is opened anew, a configuration that is reloaded, the pid file. A
// service with a user of its own has none of them.
var files = []cap.Value{cap.DAC_OVERRIDE, cap.DAC_READ_SEARCH}

// Keep gives up the process's capabilities (capabilities(7)), in all threads,
// but for those named and for those of root about files. Call it when the
// sockets are open. A process that may not give them up keeps them and says so
// in the log.
func (a *Appliance) Keep(names ...string) {
	kept, err := keep(names)
	if err != nil {
		a.Log.Warn("capabilities are kept", "error", err)
		return
	}
	a.Log.Info("capabilities that are not needed any more are given up", "kept", strings.Join(kept, ","))
}

// keep returns the names of what is left.
func keep(names []string) (kept []string, err error) {
	wanted := slices.Clone(files)
	for _, n := range names {
		v, err := cap.FromName(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		wanted = append(wanted, v)
	}
	now, next := cap.GetProc(), cap.NewSet()
	for _, v := range wanted {
		has, err := now.GetFlag(cap.Permitted, v)
		if err != nil {
			return nil, err
		}
		if !has {
			continue
		}
		if err := next.SetFlag(cap.Permitted, true, v); err != nil {
			return nil, err
		}
		if err := next.SetFlag(cap.Effective, true, v); err != nil {
			return nil, err
		}
		kept = append(kept, v.String())
	}
	return kept, next.SetProc()
}
