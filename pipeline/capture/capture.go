// Package capture keeps the packets of one interface coming. It opens the
// rings, and opens them again when the interface was deleted and has come
// back, whatever its type and index are then. It knows rings, their filter and
// the interface's state. It does not know what the packets are for.
package capture

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// lookInterval is how often the interface is looked at, and how often opening it
// is tried while it is away. Two of them, and what opening takes, stay well below
// the 2 s within which packets are to come again. Tests have a shorter one.
var lookInterval = 400 * time.Millisecond

// handInterval is how often a reader is woken that has not yet given its ring
// away or taken its new one up: it may have been about to sleep.
const handInterval = 10 * time.Millisecond

// Config says what is captured, and what is said of it.
type Config struct {
	Ring    ring.Config // Interface "": all of the namespace
	Readers int         // rings that share the packets
	Memory  int64       // that the rings take together, which share packets by their port (ring.OpenShards); 0: one ring, as Ring says
	Name    string      // what it is in messages, such as "capture of replies"
	Log     *slog.Logger
}

// Capture is the capture at one interface. Each of its readers belongs to a
// goroutine; Run has one of its own, and the other methods are for any.
type Capture struct {
	log       *slog.Logger
	name      string
	memory    int64
	namespace *namespace
	link      *link
	readers   []*Reader

	err      atomic.Pointer[error]
	reopened atomic.Uint64

	mu     sync.Mutex   // guards what follows; rings change in Run only
	config ring.Config  // with the filter that holds now
	rings  []*ring.Ring // of the readers
	past   []ring.Stats // of the rings that each reader had before
}

// Open begins to capture, in the network namespace of the calling thread. Its
// errors are those of package ring.
func Open(c Config) (*Capture, error) {
	o := &Capture{log: c.Log, name: c.Name, memory: c.Memory, config: c.Ring, past: make([]ring.Stats, c.Readers)}
	var err error
	if o.rings, err = o.open(); err != nil {
		return nil, err
	}
	for _, r := range o.rings {
		o.readers = append(o.readers, &Reader{ring: r, holds: true})
	}
	o.namespace = thisNamespace()
	if o.link, err = openLink(c.Ring.Interface); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	o.report(o.look())
	return o, nil
}

// open opens a ring for each reader.
func (c *Capture) open() ([]*ring.Ring, error) {
	n := len(c.past)
	if c.memory > 0 {
		return ring.OpenShards(c.config, n, c.memory)
	}
	r, err := ring.Open(c.config)
	return []*ring.Ring{r}, err
}

// Run keeps the capture going until ctx is done.
func (c *Capture) Run(ctx context.Context) {
	for pause(ctx, lookInterval) {
		err := c.look()
		c.report(err)
		if errors.Is(err, ring.ErrGone) && c.reopen(ctx) {
			c.reopened.Add(1)
			c.report(nil)
			c.report(c.look()) // it may have come back down
		}
	}
}

// look tells why no packets come at present.
func (c *Capture) look() error {
	for _, r := range c.rings {
		if err := r.Err(); err != nil {
			return err
		}
	}
	return c.link.err()
}

// reopen gives each reader a new ring. It reports false when ctx is done. The
// old rings go first, so that there is never memory for two of them.
func (c *Capture) reopen(ctx context.Context) bool {
	// What a block holds that is not full is handed over by its timer.
	if !pause(ctx, handInterval+2*c.config.RetireTimeout) || !c.hand(ctx, reading, leaving, left) {
		return false
	}
	for {
		err := c.link.find()
		if err == nil {
			err = c.openAgain()
		}
		if err == nil {
			return c.hand(ctx, left, arriving, reading)
		}
		c.report(err)
		if !pause(ctx, lookInterval) {
			return false
		}
	}
}

// openAgain opens rings in the namespace in which Open did.
func (c *Capture) openAgain() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rings []*ring.Ring
	err := c.namespace.do(func() (err error) {
		rings, err = c.open()
		return err
	})
	if err != nil {
		return err
	}
	for i, r := range c.rings {
		last, _ := r.Stats() // it is closed; these are its last counts
		c.past[i] = sum(c.past[i], last)
		c.readers[i].next = rings[i]
	}
	c.rings = rings
	return nil
}

// hand puts the readers, which are in the state from, into the state ask and
// waits until each of them has moved on to the state done.
func (c *Capture) hand(ctx context.Context, from, ask, done uint32) bool {
	for _, r := range c.readers {
		r.state.CompareAndSwap(from, ask)
	}
	for {
		all := true
		for _, r := range c.readers {
			if r.state.Load() != done {
				all = false
				r.wake()
			}
		}
		if all {
			return true
		}
		if !pause(ctx, handInterval) {
			return false
		}
	}
}

// report keeps the state for Err and logs what has changed.
func (c *Capture) report(err error) {
	was := c.Err()
	c.err.Store(&err)
	switch {
	case err == nil && was == nil, err != nil && was != nil && err.Error() == was.Error():
	case err == nil:
		c.log.Info(c.name+" goes on", "interface", c.shown())
	case errors.Is(err, ring.ErrGone):
		c.log.Error(c.name+" ended, opening it again", "interface", c.shown(), "error", err)
	default:
		c.log.Error(c.name+" stands still", "interface", c.shown(), "error", err)
	}
}

// shown is the interface's name in messages.
func (c *Capture) shown() string {
	if c.config.Interface == "" {
		return "all"
	}
	return c.config.Interface
}

// Reader is the reader of ring i.
func (c *Capture) Reader(i int) *Reader { return c.readers[i] }

// Interface is the interface's name, empty for all.
func (c *Capture) Interface() string { return c.config.Interface }

// Err tells why no packets are captured at present: the interface was deleted
// or is down. It is nil while they are.
func (c *Capture) Err() error {
	if err := c.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Reopened is how often the capture went on with new rings.
func (c *Capture) Reopened() uint64 { return c.reopened.Load() }

// SetFilter replaces the filter of all rings, or of none. Later rings have it,
// too.
func (c *Capture) SetFilter(filter []bpf.RawInstruction) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.rings {
		if err := r.SetFilter(filter); err != nil && !errors.Is(err, net.ErrClosed) {
			for _, r := range c.rings[:i] {
				_ = r.SetFilter(c.config.Filter) // it was the filter before
			}
			return err
		}
	}
	c.config.Filter = filter
	return nil
}

// Stats are the counts of all rings that reader i had so far.
func (c *Capture) Stats(i int) ring.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, _ := c.rings[i].Stats() // an error leaves the last counts, which are the best there is
	return sum(c.past[i], now)
}

func sum(a, b ring.Stats) ring.Stats {
	return ring.Stats{
		Packets:   a.Packets + b.Packets,
		Drops:     a.Drops + b.Drops,
		Freezes:   a.Freezes + b.Freezes,
		Outgoing:  a.Outgoing + b.Outgoing,
		Malformed: a.Malformed + b.Malformed,
		Downs:     a.Downs + b.Downs,
	}
}

// Close ends the capture, after Run and all that read have ended.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs := []error{c.namespace.close(), c.link.close()}
	for _, r := range c.rings {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// pause waits for d. It reports false when ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
