package thread

import (
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/clock"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Config makes threads.
type Config struct {
	Conf  *conf.Tcpcopy
	Clock clock.Clock
	// PassSize is how much a pass of a worker takes of one queue at most: a round
	// with so much to do is followed by another one at once.
	PassSize int
	// OnChange is called whenever another number of threads runs the workers.
	OnChange func(running int)
	Log      *slog.Logger
}

// Threads run all workers.
type Threads struct {
	threads  []*Thread
	captures []*borrowed // all that the first thread may do the passes of
	passSize int
	onChange func(int)
	yield    bool // other goroutines have a turn in each round of a thread that is alone
	done     chan struct{}

	// together is whether the first thread is to run all workers and to do the
	// captures' passes, as it has decided.
	together atomic.Bool
}

// New gives each worker a thread. The first one runs them all.
func New(c Config, workers []Worker) (_ *Threads, err error) {
	ts := &Threads{passSize: c.PassSize, onChange: c.OnChange, yield: OneP(c.Conf), done: make(chan struct{})}
	mode := ring.Link
	if c.Conf.SendMode == conf.SendRaw {
		mode = ring.Raw
	}
	defer func() {
		if err != nil {
			ts.Close()
		}
	}()
	for i, w := range workers {
		t := &Thread{all: ts, own: w, index: i, cpu: anyCPU, clock: c.Clock, log: c.Log, returned: make(chan struct{}, 1), longestRest: ring.MaxRest}
		ts.threads = append(ts.threads, t)
		if cpus := c.Conf.CPUs; len(cpus) > 0 {
			t.cpu = cpus[i%len(cpus)]
		}
		if Relaxed(c.Conf) {
			t.longestRest = replayRest
		}
		if t.tx, err = ring.NewTx(mode); err != nil {
			return nil, err
		}
		if t.poller, err = ring.NewPoller(); err != nil {
			return nil, err
		}
	}
	for _, t := range ts.threads {
		ts.threads[0].add(t.own)
	}
	ts.together.Store(true)
	return ts, nil
}

// Run works until Stop.
func (ts *Threads) Run() {
	ts.changed()
	var running sync.WaitGroup
	for _, t := range ts.threads {
		running.Go(t.run)
	}
	running.Wait()
}

// Stop has Run return when each worker has done its last pass.
func (ts *Threads) Stop() {
	close(ts.done)
	for _, t := range ts.threads {
		t.own.Wake()
	}
}

// ending reports whether the work is over.
func (ts *Threads) ending() bool {
	select {
	case <-ts.done:
		return true
	default:
		return false
	}
}

// changed tells how many threads run the workers.
func (ts *Threads) changed() { ts.onChange(ts.running()) }

func (ts *Threads) running() int {
	if ts.together.Load() {
		return 1
	}
	return len(ts.threads)
}

// Close frees what the threads use. Run is over.
func (ts *Threads) Close() {
	for _, t := range ts.threads {
		t.close()
	}
}

// SendErrors are the packets that could not be sent.
func (ts *Threads) SendErrors() (n uint64) {
	for _, t := range ts.threads {
		for _, e := range t.tx.Stats().Errors {
			n += e.Count
		}
	}
	return n
}

var (
	descThreads    = account.Desc("worker_threads", "Threads that run the workers: one while it has the time, then one each.")
	descBusy       = account.Desc("worker_busy_seconds_total", "Time that a worker's thread was at work, and not asleep.", "worker")
	descSegments   = account.Desc("sent_segments_total", "TCP segments sent to targets, as they go on the wire.")
	descSendErrors = account.Desc("send_errors_total", "Packets that could not be sent.", "errno")
)

// Collect gives the threads' metrics.
func (ts *Threads) Collect(m account.Metrics) {
	var segments uint64
	failed := map[unix.Errno]uint64{}
	for i, t := range ts.threads {
		m.Seconds(descBusy, time.Duration(t.busy.Load())*time.Microsecond, strconv.Itoa(i))
		st := t.tx.Stats()
		segments += st.Segments
		for _, e := range st.Errors {
			failed[e.Errno] += e.Count
		}
	}
	m.Gauge(descThreads, float64(ts.running()))
	m.Count(descSegments, segments)
	for errno, n := range failed {
		name := unix.ErrnoName(errno)
		if name == "" {
			name = strconv.Itoa(int(errno))
		}
		m.Count(descSendErrors, n, name)
	}
}
