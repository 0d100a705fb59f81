package appliance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// pidFile holds the process id on a line, and a lock as long as the process
// lives, so that a file left behind is told from one in use.
type pidFile struct {
	f    *os.File
	path string
	once sync.Once
}

// lockPidFile writes the pid file at path; with "" there is none.
func lockPidFile(path string) (*pidFile, error) {
	if path == "" {
		return &pidFile{}, nil
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("pid file: %w; name another with -P", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				b, _ := io.ReadAll(io.LimitReader(f, 20))
				return nil, fmt.Errorf("pid file %s belongs to process %s, which runs; stop it or name another file with -P", path, strings.TrimSpace(string(b)))
			}
			return nil, fmt.Errorf("pid file %s: cannot lock it: %w; name one on another file system with -P", path, err)
		}
		if !same(f, path) {
			// Its owner removed it between our opening and our lock.
			f.Close()
			continue
		}
		p := &pidFile{f: f, path: path}
		if err := p.write(); err != nil {
			p.Close()
			return nil, fmt.Errorf("pid file: %w; name another with -P", err)
		}
		return p, nil
	}
}

func same(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

func (p *pidFile) write() error {
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	_, err := p.f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// Close removes the file. It may be called more than once.
func (p *pidFile) Close() {
	p.once.Do(func() {
		if p.f != nil {
			os.Remove(p.path)
			p.f.Close()
		}
	})
}
