// Package live takes clients' segments from this host's interfaces: one ring for
// each worker at each of them.
//
// It knows captures and which packets are clients'. It does not know sessions:
// what it finds it gives to the worker that owns the source.
package live

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/bpf"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/capture"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

const (
	// blockSize is the least power of two that holds a super-packet of 64 KB
	// whole. The kernel hands a block over after retire however little is in
	// it, so a ring of n blocks lasts n times that while its worker does not
	// run. What comes then goes to the spare of the group (ring.OpenShards).
	blockSize = 128 << 10
	retire    = 2 * time.Millisecond
)

// Captures are the captures at all interfaces.
type Captures struct {
	captures []*capture.Capture
	sources  []*Source
	program  []bpf.RawInstruction
}

// Open begins to capture what program lets pass, for a worker for each of
// counters, at the interfaces of cfg.
func Open(cfg *conf.Tcpcopy, m *match.Matcher, counters []*account.Counters, log *slog.Logger) (_ *Captures, err error) {
	c := &Captures{}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.program, err = m.Program(cfg); err != nil {
		return nil, err
	}
	n := len(counters)
	names := cfg.Interfaces
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		x, err := capture.Open(capture.Config{
			Ring: ring.Config{
				Interface:     name,
				BlockSize:     blockSize,
				RetireTimeout: retire,
				Filter:        c.program,
				Promiscuous:   cfg.Promiscuous,
			},
			Readers: n,
			Memory:  memory(cfg) / int64(len(names)),
			Name:    "capture",
			Log:     log,
		})
		if err != nil {
			return nil, err
		}
		c.captures = append(c.captures, x)
	}
	for i, counter := range counters {
		s := NewSource(m, counter, cfg.CatchUp)
		for _, x := range c.captures {
			s.read(x.Reader(i))
		}
		c.sources = append(c.sources, s)
	}
	return c, nil
}

// memory is what the rings of clients' packets take together; what is left is for
// replies, if they come to this host.
func memory(cfg *conf.Tcpcopy) int64 {
	if len(cfg.Intercepts) > 0 {
		return cfg.RingBytes
	}
	return cfg.RingBytes - cfg.ReplyRingBytes()
}

// Source is that of worker i.
func (c *Captures) Source(i int) source.Source { return c.sources[i] }

// Run keeps the captures going until ctx is done.
func (c *Captures) Run(ctx context.Context, host source.Host) error {
	var running sync.WaitGroup
	defer running.Wait()
	for _, x := range c.captures {
		running.Go(func() { x.Run(ctx) })
	}
	t := time.NewTicker(source.SummaryEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			host.Summarize()
		}
	}
}

// Conclude returns err: a live copy ends when it is told to.
func (c *Captures) Conclude(err error, _ *account.Counters) error { return err }

// Err says at which interfaces nothing is captured at present, and why.
func (c *Captures) Err() error {
	var errs []error
	for _, x := range c.captures {
		errs = append(errs, x.Err())
	}
	return errors.Join(errs...)
}

// Prepare compiles the filter of m and next. commit gives it to all rings, or on an
// error to none.
func (c *Captures) Prepare(m *match.Matcher, _, next *conf.Tcpcopy) (commit func() error, err error) {
	program, err := m.Program(next)
	return func() error { return c.setProgram(program) }, err
}

func (c *Captures) setProgram(program []bpf.RawInstruction) error {
	for i, x := range c.captures {
		if err := x.SetFilter(program); err != nil {
			for _, x := range c.captures[:i] {
				err = errors.Join(err, x.SetFilter(c.program))
			}
			return err
		}
	}
	c.program = program
	return nil
}

// AddTo adds nothing: workers count what rings bring.
func (c *Captures) AddTo(*account.Counters) {}

// Attrs has nothing to add to a line of totals in the log.
func (c *Captures) Attrs(*account.Counters) []any { return nil }

// Lost is how many packets the kernel dropped.
func (c *Captures) Lost() (n uint64) {
	for _, x := range c.captures {
		for i := range c.sources {
			n += x.Stats(i).Drops
		}
	}
	return n
}

// Close ends the captures. No source may be read any more.
func (c *Captures) Close() {
	for _, x := range c.captures {
		_ = x.Close() // nothing is written through a capture
	}
}

var (
	descPackets  = account.Desc("capture_packets_total", "Packets that passed the kernel's filter into a ring.", "interface", "ring")
	descDrops    = account.Desc("capture_kernel_drops_total", "Packets that the kernel dropped because a ring was full.", "interface", "ring")
	descFreezes  = account.Desc("capture_ring_freezes_total", "Times that a ring became full.", "interface", "ring")
	descBytes    = account.Desc("capture_bytes_total", "Bytes of the packets that a worker took from a ring, from the network header.", "interface", "ring")
	descUp       = account.Desc("capture_up", "Whether packets are captured: 0 while the interface is deleted or down.", "interface")
	descReopened = account.Desc("capture_reopened_total", "Times that the capture went on with new rings, because its interface had been deleted and was there again.", "interface")
)

// Collect gives the captures' metrics.
func (c *Captures) Collect(m account.Metrics, _ *account.Counters) {
	for k, x := range c.captures {
		name := x.Interface()
		if name == "" {
			name = "any"
		}
		m.Bool(descUp, x.Err() == nil, name)
		m.Count(descReopened, x.Reopened(), name)
		for i, s := range c.sources {
			st := x.Stats(i)
			m.Count(descPackets, st.Packets, name, strconv.Itoa(i))
			m.Count(descBytes, s.readers[k].bytes.Load(), name, strconv.Itoa(i))
			m.Count(descDrops, st.Drops, name, strconv.Itoa(i))
			m.Count(descFreezes, st.Freezes, name, strconv.Itoa(i))
		}
	}
}
