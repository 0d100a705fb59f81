// Package lab builds networks of hosts on one machine: each host is a network
// namespace, each wire a veth pair into a bridge. It needs root and leaves
// nothing behind: what a killed run could not remove, the next one does.
package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Prefix begins the name of every namespace that a lab makes:
// tcl-<run>-<host>.
const Prefix = "tcl-"

// stateDir holds one file per run, named after it: the owner holds a lock on
// the file as long as it lives, and the file's text is the run's directory.
const stateDir = "/run/tcpcopy-lab"

// A Lab is one run: its hosts, its processes and a directory for their files.
type Lab struct {
	Run string // four hexadecimal digits
	Dir string // logs, configurations, documents; removed by Close

	lock *os.File
	mu   sync.Mutex
	host []*Host
	proc []*Process // in starting order
}

// Open removes what dead runs left and begins a new one.
func Open() (*Lab, error) {
	if _, err := Clean(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, fmt.Errorf("lab: %w: the lab needs root and a writable /run", err)
	}
	var id [2]byte
	rand.Read(id[:])
	l := &Lab{Run: hex.EncodeToString(id[:])}
	if err := l.claim(); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return l, nil
}

// claim makes the directory and the locked state file. The file appears under
// its final name only when locked and filled, so a Clean at the same moment
// never takes it for a dead run's.
func (l *Lab) claim() (err error) {
	if l.Dir, err = os.MkdirTemp("", Prefix+l.Run+"-"); err != nil {
		return err
	}
	// Other users' processes, such as nginx workers, read documents here.
	if err = os.Chmod(l.Dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(stateDir, ".new-")
	if err != nil {
		return err
	}
	if _, err = f.WriteString(l.Dir); err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		err = os.Link(f.Name(), l.state())
	}
	os.Remove(f.Name())
	if err != nil {
		f.Close()
		return err
	}
	l.lock = f
	return nil
}

func (l *Lab) state() string { return filepath.Join(stateDir, l.Run) }

// Hosts lists the hosts in the order in which they were made.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Host(nil), l.host...)
}

// Close ends the processes, latest first, and removes the namespaces and the
// directory. It may be called again.
func (l *Lab) Close() error {
	l.mu.Lock()
	procs, hosts := l.proc, l.host
	l.proc, l.host = nil, nil
	l.mu.Unlock()
	for i := len(procs) - 1; i >= 0; i-- {
		procs[i].Kill()
	}
	for _, h := range hosts {
		h.close()
	}
	if l.lock == nil {
		return nil
	}
	err := remove(l.Run, l.Dir)
	l.lock.Close()
	l.lock = nil
	return err
}

// Clean removes what runs left that no longer live, and returns their names.
// It touches neither running labs nor namespaces that no state file tells of.
func Clean() (runs []string, err error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		path := filepath.Join(stateDir, e.Name())
		f, openErr := os.Open(path)
		if openErr != nil || strings.HasPrefix(e.Name(), ".") {
			f.Close()
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			dir, _ := os.ReadFile(path)
			err = errors.Join(err, remove(e.Name(), string(dir)))
			runs = append(runs, e.Name())
		}
		f.Close()
	}
	return runs, err
}

// remove deletes everything of a run, its state file last. dir is trusted only
// where it looks like a lab's.
func remove(run, dir string) error {
	names, _ := filepath.Glob(filepath.Join(netnsDir, Prefix+run+"-*"))
	var err error
	for _, path := range names {
		killInside(path)
		err = errors.Join(err, removeName(path))
	}
	if strings.HasPrefix(filepath.Base(dir), Prefix+run+"-") {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return fmt.Errorf("lab: remove run %s: %w", run, err)
	}
	err = os.Remove(filepath.Join(stateDir, run))
	if errors.Is(err, os.ErrNotExist) { // another Clean was faster
		return nil
	}
	return err
}
