package appliance

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells the service manager how the process is (sd_notify(3)). The
// nil one, of a process without such a manager, tells nobody.
type notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration // within which the manager wants to hear feed; 0: it does not
}

// newNotifier takes the manager's address from the environment, so that no
// other process inherits it.
func newNotifier() *notifier {
	path, usec, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name)
	}
	if path == "" {
		return nil
	}
	// A leading @ stands for the abstract namespace for both sides.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil // the manager, missing READY, says what there is to say
	}
	n := &notifier{conn: conn}
	if us, err := strconv.ParseUint(usec, 10, 62); err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n
}

// tell sends lines of NAME=VALUE. What a manager does not take is lost: it has
// timeouts of its own.
func (n *notifier) tell(format string, args ...any) {
	if n != nil {
		_, _ = fmt.Fprintf(n.conn, format, args...)
	}
}

func (n *notifier) ready()          { n.tell("READY=1") }
func (n *notifier) stopping()       { n.tell("STOPPING=1\nSTATUS=ending") }
func (n *notifier) status(s string) { n.tell("STATUS=%s", s) }
func (n *notifier) feed()           { n.tell("WATCHDOG=1") }
func (n *notifier) reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // there always is one
	n.tell("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}

// statusEvery is how often the manager gets a status.
const statusEvery = 10 * time.Second

// watch tells the manager about the tool as long as the process lives. One
// that does not come round any more is restarted by the manager.
func (n *notifier) watch(beat func(), status func() string) {
	every := statusEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog/3)
	}
	for ; ; time.Sleep(every) {
		beat()
		n.status(status())
		n.feed()
	}
}
