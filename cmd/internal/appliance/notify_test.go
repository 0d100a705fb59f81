package appliance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// managed makes c a service whose manager hears what the channel yields.
func managed(t *testing.T, c *exec.Cmd, env ...string) <-chan string {
	t.Helper()
	// Short, for the length of such a path is limited.
	dir, err := os.MkdirTemp("", "n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	heard := make(chan string, 1000)
	go func() {
		defer close(heard)
		b := make([]byte, 4096)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			heard <- string(b[:n])
		}
	}()
	c.Env = append(append(c.Env, "NOTIFY_SOCKET="+path), env...)
	return heard
}

// hears waits for a message that matches.
func hears(t *testing.T, heard <-chan string, pattern string) {
	t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(30*time.Second)
	for {
		select {
		case s := <-heard:
			if re.MatchString(s) {
				return
			}
		case <-late:
			t.Fatalf("the manager never heard %s", pattern)
		}
	}
}

func TestManagerHearsOfTheToolsLife(t *testing.T) {
	t.Parallel()
	c := tool(t, "waits")
	heard := managed(t, c, "WATCHDOG_USEC=30000")
	start(t, c, "ready")
	hears(t, heard, `^READY=1$`)
	hears(t, heard, `^STATUS=all is well$`)
	hears(t, heard, `^WATCHDOG=1$`)
	hears(t, heard, `^WATCHDOG=1$`)
	_ = c.Process.Signal(syscall.SIGHUP)
	hears(t, heard, `^RELOADING=1\nMONOTONIC_USEC=\d+$`)
	hears(t, heard, `^READY=1$`)
	_ = c.Process.Signal(syscall.SIGTERM)
	hears(t, heard, `^STOPPING=1\nSTATUS=ending$`)
	if got := exitStatus(c.Wait()); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
}

func TestWatchdogIsNotFedByAToolThatHangs(t *testing.T) {
	t.Parallel()
	c := tool(t, "hangs")
	heard := managed(t, c, "WATCHDOG_USEC=30000")
	start(t, c, "ready")
	hears(t, heard, `^READY=1$`)
	for wait := time.After(200 * time.Millisecond); ; {
		select {
		case s := <-heard:
			if strings.Contains(s, "WATCHDOG") {
				t.Fatal("the watchdog is fed")
			}
			continue
		case <-wait:
		}
		return
	}
}

func TestTheManagerHearsThreeTimesWithinTheWatchdogsTimeAndEveryTenSeconds(t *testing.T) {
	for watchdog, every := range map[time.Duration]time.Duration{
		0: 10 * time.Second, 3 * time.Second: time.Second, 30 * time.Second: 10 * time.Second, time.Hour: 10 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &notifier{conn: new(net.UnixConn), watchdog: watchdog} // what it tells is lost
			start, rounds := time.Now(), 0
			var watch sync.WaitGroup
			watch.Go(func() {
				n.watch(func() {
					if at := time.Since(start); at != time.Duration(rounds)*every {
						t.Errorf("watchdog %v: round %d is at %v", watchdog, rounds, at)
					}
					if rounds++; rounds == 5 {
						runtime.Goexit()
					}
				}, func() string { return "" })
			})
			watch.Wait()
		})
	}
}

func TestManagerIsLeftAloneWhereItIsOrWantsNone(t *testing.T) {
	for _, env := range [][]string{
		{"NOTIFY_SOCKET="},
		{"NOTIFY_SOCKET=/nowhere/socket"},
		{"NOTIFY_SOCKET=@nobody/listens", "WATCHDOG_USEC=x"},
	} {
		c := tool(t, "quits")
		c.Env = append(c.Env, env...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", env, err, out)
		}
	}
}

func TestJournalGetsLevelsAndNoTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for format, want := range map[string]string{
		"text": "<6>level=INFO msg=a time=b\n<4>level=WARN msg=a x.time=b\n<3>level=ERROR msg=a\n<7>level=DEBUG msg=a\n",
		"json": `<6>{"level":"INFO","msg":"a","time":"b"}`,
	} {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		log, _ := newLogger(&conf.Process{LogLevel: "debug", LogFormat: format}, f, true)
		log.Info("a", "time", "b")
		log.WithGroup("x").Warn("a", "time", "b")
		log.Error("a")
		log.Debug("a")
		f.Close()
		if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

func TestJournalIsKnownByItsStream(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	for env, want := range map[string]bool{
		"":                                   false,
		"1:2":                                false,
		"8:22:1":                             false,
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true,
	} {
		t.Setenv("JOURNAL_STREAM", env)
		if got := toJournal(f); got != want {
			t.Errorf("JOURNAL_STREAM=%s: %v", env, got)
		}
	}
}
