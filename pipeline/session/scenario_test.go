package session

import (
	"encoding/binary"
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

var (
	oneSeed  = flag.Uint64("seed", 0, "run the simulations with this seed only, and log each event with -v")
	numSeeds = flag.Int("seeds", 16, "seeds for each scenario")
)

// scenario is what a world is made of. Times are bounds.
type scenario struct {
	name string
	cfg  Config

	// Online.
	clients     int
	requests    int // for each connection
	big         float64
	http        bool
	early       float64 // of requests with a body, answered before it
	pipeline    int
	greeting    int
	gro         float64
	onlineRTT   Time
	onlineLoss  float64
	serviceTime Time
	think       Time
	endings     []ending
	reuse       float64 // of connections whose client's port is used again
	midstream   bool
	known       bool // connections to the target were recognised before

	// Capture.
	captureLoss, captureDup float64
	onlineJitter            Time

	// Network to the target and back.
	lossOut, lossIn, dup, reorder float64
	latency, jitter               Time
	burst                         float64 // chance that the next 100 packets to the target are lost

	// Target.
	copies                        int // -n
	mtu, peerMSS                  int
	noTimestamps, noSACK, noScale bool
	receiveBuffer                 int
	readDelay                     Time
	acceptDelay                   Time
	refuse, reset, hangUp         float64
	rejectLarge                   float64
	leaves                        bool // drops what is not answered when the client's FIN comes
	restart                       Time // the target is down for a second
	targetTime                    Time
	delayedACK                    Time
	keepalive                     int
	answer                        func(w *world, online int) int

	// What is to be expected.
	inexact bool // requests may be missing or repeated, which is counted
	within  Time // sessions are closed this long after their client's end
}

func base() scenario {
	return scenario{
		clients: 12, requests: 12, big: 0.02, gro: 0.3,
		onlineRTT: 400, serviceTime: 3 * Millisecond, think: 20 * Millisecond, onlineJitter: 0,
		endings: []ending{clientFIN, serverFIN, halfClose, clientRST, silent},
		latency: 150, jitter: 2 * Millisecond,
		mtu: 1500, peerMSS: 1460, receiveBuffer: 256 << 10, targetTime: 3 * Millisecond, delayedACK: 40 * Millisecond,
		answer: func(_ *world, n int) int { return n },
		within: 30 * Second,
	}
}

// scenarios are the simulation's worlds.
func scenarios() []scenario {
	var all []scenario
	add := func(name string, change func(sc *scenario)) {
		sc := base()
		sc.name = name
		change(&sc)
		all = append(all, sc)
	}
	lossy := func(p float64) func(*scenario) {
		return func(sc *scenario) { sc.lossOut, sc.lossIn, sc.within = p, p, 230*Second }
	}
	add("clean", func(sc *scenario) {})
	add("loss-1", lossy(0.01))
	add("loss-5", lossy(0.05))
	add("loss-10", lossy(0.1))
	add("bursts", func(sc *scenario) { sc.burst, sc.big, sc.requests, sc.within = 0.002, 0.2, 6, 230*Second })
	add("loss-20", func(sc *scenario) { lossy(0.2)(sc); sc.requests, sc.big = 6, 0.005; sc.inexact = true })
	add("loss-out-only", func(sc *scenario) { lossy(0.05)(sc); sc.lossIn = 0 })
	add("loss-in-only", func(sc *scenario) { lossy(0.05)(sc); sc.lossOut = 0 })
	add("reordering", func(sc *scenario) { sc.reorder, sc.dup = 0.2, 0.02 })
	add("delay-and-loss", func(sc *scenario) { lossy(0.01)(sc); sc.latency, sc.reorder = 10*Millisecond, 0.05 })
	add("no-sack-loss", func(sc *scenario) { lossy(0.05)(sc); sc.noSACK = true })
	add("plain-tcp-loss", func(sc *scenario) {
		lossy(0.03)(sc)
		sc.noSACK, sc.noTimestamps, sc.noScale, sc.receiveBuffer = true, true, true, 60000
	})
	add("small-mss", func(sc *scenario) { lossy(0.01)(sc); sc.peerMSS, sc.mtu = 536, 576 })
	add("online-loss", func(sc *scenario) {
		sc.onlineLoss, sc.captureDup, sc.onlineJitter = 0.05, 0.05, 100
	})
	add("everything-lossy", func(sc *scenario) {
		lossy(0.02)(sc)
		sc.onlineLoss, sc.captureDup, sc.onlineJitter, sc.reorder, sc.dup = 0.03, 0.03, 100, 0.1, 0.02
	})
	add("shorter-responses", func(sc *scenario) {
		sc.answer = func(w *world, n int) int { return 1 + n*w.between(1, 9)/10 }
		sc.within = 60 * Second
	})
	add("longer-responses", func(sc *scenario) {
		sc.answer = func(w *world, n int) int { return n + w.between(0, n) + w.between(0, 300) }
	})
	add("silent-target", func(sc *scenario) {
		sc.answer = func(w *world, n int) int { return n * w.rng.IntN(2) }
		sc.within = 120 * Second
	})
	add("keepalive-limit", func(sc *scenario) { sc.keepalive = 3 })
	add("keepalive-limit-idle", func(sc *scenario) {
		sc.keepalive, sc.think, sc.latency, sc.requests = 2, 1200*Millisecond, 20*Millisecond, 20
	})
	add("keepalive-limit-loss", func(sc *scenario) { lossy(0.03)(sc); sc.keepalive = 2 })
	add("small-window", func(sc *scenario) { sc.receiveBuffer, sc.readDelay, sc.within = 8000, 2*Millisecond, 60*Second })
	add("zero-window-loss", func(sc *scenario) {
		lossy(0.02)(sc)
		sc.receiveBuffer, sc.readDelay, sc.big, sc.clients = 4096, 300*Millisecond, 0.005, 6
		sc.endings = []ending{clientFIN, serverFIN, halfClose, silent}
	})
	add("slow-target", func(sc *scenario) { sc.targetTime, sc.acceptDelay = 300*Millisecond, 2500*Millisecond })
	add("starting-target", func(sc *scenario) { sc.refuse, sc.within = 0.5, 200*Second; sc.inexact = true })
	add("resetting-target", func(sc *scenario) { sc.reset, sc.inexact = 0.1, true })
	add("target-hangs-up", func(sc *scenario) {
		sc.hangUp, sc.endings = 0.03, []ending{clientFIN, serverFIN, silent}
		sc.think, sc.big = 700*Millisecond, 0 // a turn longer than maxKept is not sent again
	})
	add("target-rejects-large", func(sc *scenario) { sc.rejectLarge, sc.big, sc.inexact = 0.6, 0.3, true })
	add("restarted-target", func(sc *scenario) { sc.restart, sc.think, sc.inexact = 1200*Millisecond, 200*Millisecond, true })
	add("pipelined", func(sc *scenario) { sc.pipeline = 8 })
	add("pipelined-loss", func(sc *scenario) { lossy(0.02)(sc); sc.pipeline = 8 })
	add("pipelined-no-wait", func(sc *scenario) { lossy(0.01)(sc); sc.pipeline, sc.cfg.NoWait = 8, true })
	add("server-first", func(sc *scenario) { sc.greeting = 400 })
	add("mid-stream", func(sc *scenario) { sc.midstream, sc.within = true, 250*Second })
	add("mid-stream-online-loss", func(sc *scenario) {
		sc.midstream, sc.within, sc.onlineLoss, sc.onlineJitter = true, 250*Second, 0.05, 100
	})
	add("capture-loss", func(sc *scenario) { sc.captureLoss, sc.inexact, sc.within = 0.03, true, 250*Second })
	add("short-connections", func(sc *scenario) { sc.requests, sc.clients, sc.reuse = 1, 40, 0.7 })
	add("copies", func(sc *scenario) { sc.copies, sc.clients = 4, 5 })
	add("copies-everything-lossy", func(sc *scenario) {
		lossy(0.03)(sc)
		sc.copies, sc.clients, sc.keepalive, sc.onlineLoss, sc.onlineJitter = 3, 5, 4, 0.03, 100
	})
	add("large-bodies", func(sc *scenario) { sc.big, sc.clients, sc.requests = 0.5, 4, 5 })
	add("http", func(sc *scenario) { sc.http, sc.early = true, 0.3 })
	add("http-loss", func(sc *scenario) { lossy(0.03)(sc); sc.http, sc.early = true, 0.3 })
	add("http-pipelined", func(sc *scenario) { sc.http, sc.pipeline = true, 8 })
	// A gateway behind which each answer has another length, or all of them.
	for name, answer := range map[string]func(w *world, n int) int{
		"equal":   func(_ *world, n int) int { return n },
		"shorter": func(_ *world, n int) int { return max(1, n-19) },
		"longer":  func(_ *world, n int) int { return n + 19 },
		"other":   func(w *world, n int) int { return w.between(1, 2*n) },
	} {
		add("http-pipelined-gateway-"+name, func(sc *scenario) {
			sc.http, sc.pipeline, sc.requests, sc.leaves, sc.answer = true, 8, 40, true, answer
			sc.targetTime, sc.think, sc.within = 300*Millisecond, 2*Millisecond, 60*Second
			sc.endings = []ending{clientFIN, serverFIN, clientRST}
		})
	}
	add("http-shorter", func(sc *scenario) {
		sc.http, sc.early = true, 0.3
		sc.answer = func(_ *world, n int) int { return max(1, n-19) }
	})
	add("http-longer", func(sc *scenario) {
		sc.http, sc.early = true, 0.3
		sc.answer = func(_ *world, n int) int { return n + 19 }
	})
	add("http-slow-target", func(sc *scenario) {
		sc.http, sc.targetTime, sc.within, sc.clients = true, 12*Second, 300*Second, 6
	})
	add("http-keepalive-limit", func(sc *scenario) { sc.http, sc.early, sc.keepalive = true, 0.3, 3 })
	add("http-mid-stream", func(sc *scenario) {
		sc.http, sc.early, sc.midstream, sc.within, sc.inexact, sc.known = true, 0.3, true, 250*Second, true, true
	})
	// Whatever was captured and whatever the target does: see world.harmless.
	add("http-harm", func(sc *scenario) {
		lossy(0.01)(sc)
		sc.http, sc.early, sc.big, sc.inexact, sc.within = true, 0.3, 0.2, true, 400*Second
		sc.captureLoss, sc.reset, sc.hangUp, sc.rejectLarge, sc.refuse = 0.03, 0.1, 0.05, 0.3, 0.1
		sc.onlineLoss, sc.onlineJitter, sc.captureDup = 0.02, 100, 0.02
	})
	add("http-harm-always", func(sc *scenario) {
		sc.http, sc.inexact, sc.within, sc.reset = true, true, 400*Second, 1
	})
	add("memory-limit", func(sc *scenario) {
		sc.cfg.Memory, sc.big, sc.inexact, sc.within = 200_000, 0.2, true, 250*Second
	})
	return all
}

// synOptions are a client's: those of common systems.
func (sc *scenario) synOptions(w *world) []byte {
	mss := []uint16{1460, 1460, 1380, 8960, 65495}[w.rng.IntN(5)]
	o := binary.BigEndian.AppendUint16([]byte{2, 4}, mss)
	switch w.rng.IntN(5) {
	case 0:
		return o
	case 1:
		return append(o, 1, 3, 3, 8, 1, 1, 4, 2)
	case 2:
		return append(o, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0)
	}
	return append(o, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7)
}

// populate makes the world's clients.
func (w *world) populate() {
	var last Time
	for i := range w.sc.clients {
		start := w.span(0, 2*Second)
		f, end := newFlow(w, len(w.flows), start)
		w.flows = append(w.flows, f)
		w.play(f)
		for w.chance(w.sc.reuse) {
			g, e := newFlow(w, len(w.flows), end+w.span(2*w.sc.onlineRTT, 20*Millisecond))
			g.follows, f, end = f, g, e
			w.flows = append(w.flows, g)
			w.play(g)
		}
		last = max(last, end)
		_ = i
	}
	if w.sc.restart > 0 {
		w.at(w.sc.restart, func() {
			w.downUntil = w.now + Second
			for _, p := range w.order {
				if p.state != closed && p.state != listening {
					p.reset()
				}
			}
		})
	}
	w.at(last+w.sc.within, func() {
		for _, c := range w.all {
			if c.fl.end != silent && c.state != Watching {
				w.fail("%v: state %v %v after its end: %+v", c.fl, c.state, w.sc.within/Second, c.Session)
			}
		}
	})
}

// verify looks at the world after all has come to rest.
func (w *world) verify() {
	st := &w.core.Stats
	for _, c := range w.all {
		w.fail("%v: state %v at rest", c.fl, c.state)
	}
	w.harmless()
	if w.core.Held() != 0 || st.Buffered != 0 {
		w.fail("%d bytes are held, %d buffered, with all sessions closed", w.core.Held(), st.Buffered)
	}
	missing, repeated := 0, 0
	for _, f := range w.flows {
		m, r := f.verdict()
		missing, repeated = missing+m, repeated+r
		if *oneSeed != 0 && m+r > 0 {
			w.log("%v (%d requests, %d sure, %d before the capture, end %d): the target executed %v", f, len(f.requests), f.sure, f.skipped, f.end, f.executed)
		}
		if (m > 0 || r > 0) && !w.sc.inexact {
			w.fail("%v (%d requests, %d sure, %d before the capture, end %d): the target executed %v", f, len(f.requests), f.sure, f.skipped, f.end, f.executed)
		}
	}
	var ended uint64
	for why, n := range st.Closed {
		if r := Reason(why); r != Finished && r != ClientSilent && r != Midstream {
			ended += n
		}
	}
	if w.sc.captureLoss > 0 {
		damaged := 0
		for _, f := range w.flows {
			damaged += f.damaged
		}
		if missing > 4*damaged || repeated > 0 {
			w.fail("%d segments were not captured: %d requests are missing, %d repeated", damaged, missing, repeated)
		}
	}
	for why, n := range st.Dropped {
		if r := Reason(why); r != Duplicate && r != FastOpen {
			ended += n
		}
	}
	if missing > 0 && st.TurnsLost+ended == 0 {
		w.fail("%d requests are missing and nothing is counted", missing)
	}
}

// harmless looks at how many connections the target was given: the clients',
// others in place of those that it ended, and one for each hole. That no request
// is sent too often, and that each connection begins with one, is looked at as
// they go.
func (w *world) harmless() {
	bound := len(w.flows) + w.closes + int(w.core.Stats.Closed[MemoryLimit])
	for _, f := range w.flows {
		bound += f.damaged
	}
	if n := int(w.core.Stats.Opened); n > bound {
		w.fail("%d connections were opened, for %d of clients; the target ended %d", n, len(w.flows), w.closes)
	}
}

// verdict compares what the target executed with what production received
// while the capture ran.
func (f *flow) verdict() (missing, repeated int) {
	seen := make([]int, len(f.requests))
	for _, i := range f.executed {
		seen[i]++
	}
	skip := f.skipped
	if skip > 0 || len(f.segments) > 0 && f.segments[0].flags&packet.SYN == 0 {
		// Copied from the first boundary that the capture shows in order.
		for skip < len(seen) && seen[skip] == 0 && (f.disordered || skip <= f.skipped+2) {
			skip++
		}
	}
	for i, n := range seen[skip:] {
		if n == 0 && skip+i < f.sure {
			missing++
		}
		repeated += max(0, n-1)
	}
	if repeated == 0 && !slices.IsSorted(f.executed) {
		repeated++
	}
	return missing, repeated
}

func TestSimulation(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			first, last := uint64(1), uint64(*numSeeds)
			if *oneSeed != 0 {
				first, last = *oneSeed, *oneSeed
			}
			for seed := first; seed <= last; seed++ {
				w := newWorld(&sc, seed)
				if *oneSeed != 0 && testing.Verbose() {
					w.trace = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
				}
				w.populate()
				if err := w.run(); err != nil {
					t.Fatalf("%v\nreplay: go test ./pipeline/session -run 'TestSimulation/^%s$' -seed %d -v", err, sc.name, seed)
				}
			}
		})
	}
}
