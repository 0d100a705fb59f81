package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// MaxPieces is how many runs of payload one Out carries at most.
const MaxPieces = 16

// MaxPayload is the payload of one Out at most; with its headers it stays
// below the 64 KB of an IP packet.
const MaxPayload = 60 << 10

// Config is what the sessions of a Core have in common. Zero values take the
// defaults where one is named.
type Config struct {
	NoWait       bool  // release turns as they come (-W)
	Encrypted    bool  // copy TLS and SSH too, although no target can make sense of it
	OnlyComplete bool  // leave connections alone whose SYN was not seen (-O)
	NoResponse   Time  // the target is given up after this silence (-t); default 120 s
	Keepalive    Time  // the client is given up after this silence (-k); default 240 s
	RTT          Time  // of the path to the target, where it is not to be measured (-R)
	SynMSS       int   // bound of the MSS option in SYNs (-D); default from the MTU
	Memory       int64 // bound of what sessions take, in bytes: Held and SetOverhead; 0: none
	// ReopenRate bounds the connections a second that are opened again to a
	// target which ended them; 0: none.
	ReopenRate float64
	// Replayed: the clients are recorded. Their time is not the target's, but
	// what ClientTime says.
	Replayed bool
}

// Out is a segment to be sent. It is valid during the call of Send; what
// Payload refers to is valid until FreeSent.
type Out struct {
	Seq, Ack   uint32
	Flags      packet.Flags
	Window     uint16
	MSS        int // payload is to be cut into segments of this size
	Options    []byte
	Payload    [][]byte
	Len        int // of Payload together
	Kind       Kind
	Retransmit bool
}

// Sink takes the segments that sessions send.
type Sink interface {
	Send(s *Session, o *Out)
}

// Core is what the sessions of one worker share. It is not safe for
// concurrent use.
type Core struct {
	Stats Stats

	cfg     Config
	sink    Sink
	clients Time // Replayed: the clients' time
	pieces  pieces
	targets [numTargets]target
	out     Out
	payload [MaxPieces][]byte
	options [40]byte
}

// New makes a Core that sends through sink.
func New(cfg Config, sink Sink) *Core {
	c := &Core{sink: sink}
	c.Configure(cfg)
	c.pieces.init()
	return c
}

// Configure makes cfg that of all sessions from now on. Replayed stays what it
// was for New.
func (c *Core) Configure(cfg Config) {
	if cfg.NoResponse == 0 {
		cfg.NoResponse = 120 * Second
	}
	if cfg.Keepalive == 0 {
		cfg.Keepalive = cfg.NoResponse + 120*Second
	}
	c.cfg = cfg
	c.pieces.limit = cfg.Memory
}

// Held is the memory in use for what sessions hold beside themselves: payload,
// and what is known of it.
func (c *Core) Held() int64 { return c.pieces.held() }

// Used is the memory that sessions take in all: Held, and what their owner said
// by SetOverhead.
func (c *Core) Used() int64 { return c.pieces.held() + c.pieces.overhead }

// SetOverhead says how much memory the owner uses for sessions: for the Sessions
// themselves, and to find them. It counts against the bound.
func (c *Core) SetOverhead(bytes int64) { c.pieces.account(bytes) }

// FreeSent frees payload that is no longer needed. Call it when all that was
// sent is out of the process.
func (c *Core) FreeSent() { c.pieces.freeSent() }

// Begin makes s ready for its first event. Its exported fields are set.
func (c *Core) Begin(s *Session, now Time) {
	s.state = Watching
	s.online.cut = whole
	s.online.seenAt = c.clientTime(now)
	s.snd.rtoAt, s.rcv.ackAt, s.online.holeAt, s.turns.waitAt, s.endAt = never, never, never, never, never
	s.rec.timerAt = never
}

// Connect opens a connection to the target for a session that is Opening. Its
// Endpoint is one that the target does not know.
func (c *Core) Connect(s *Session, now Time) {
	s.state = SynSent
	s.snd.una, s.snd.nxt = s.snd.iss, s.snd.iss+1
	s.snd.rto, s.snd.srtt, s.snd.rttvar, s.snd.backoff = Second, 0, 0, 0
	s.snd.synTries = 1
	c.resetRecovery(s)
	s.snd.finFirst = false
	s.snd.finSent, s.snd.parking, s.rcv.fin, s.turns.pushed = false, false, false, false
	s.rcv.unacked, s.rcv.ackNow, s.rcv.ackAt = 0, false, never
	s.turns.open, s.turns.due, s.turns.waitAt = 0, false, never
	s.turns.asked, s.turns.depth, s.turns.behind, s.turns.pause = 0, 0, 0, 0
	s.turns.begunAt, s.turns.gap, s.turns.guessed = s.snd.iss, 0, false
	s.snd.rttSeq, s.snd.rttAt = s.snd.nxt, now
	s.snd.progressAt, s.rcv.heardAt = now, now
	s.snd.rtoAt = now + s.snd.rto
	s.endAt = never
	c.Stats.Opened++
	c.sendSYN(s, now, false)
}

// Output sends what the events since the last Output made possible. Its owner
// looks at the state afterwards: Opening wants an endpoint and Connect, Closed
// is over, and an endpoint is in use as long as Connected says so.
func (c *Core) Output(s *Session, now Time) {
	if s.state == Established {
		c.release(s, now)
	}
	switch s.state {
	case Established, Closing, TimeWait:
	default:
		return
	}
	c.transmit(s, now)
	if s.rcv.ackNow && s.state.connected() {
		c.sendACK(s, now)
	}
}

// Connected reports whether the session's endpoint is in use at the target.
func (s *Session) Connected() bool { return s.state.connected() }

// Abort ends a session: its payload is dropped for the reason, its connection
// reset.
func (c *Core) Abort(s *Session, why Reason, now Time) {
	if s.state == Closed {
		return
	}
	if s.state.connected() && s.state != TimeWait {
		c.sendRST(s, now)
	}
	c.end(s, why)
}

// Drain asks a session to end by itself: an idle connection is closed with a
// FIN, one that still has payload on its way goes on. Abort follows after a
// grace.
func (c *Core) Drain(s *Session, now Time) {
	switch {
	case s.state == Watching || s.state == Parked || s.state == TimeWait || s.state == Skipping:
		c.end(s, Shutdown)
	case s.state == Established && !s.online.ended && s.snd.una == s.online.next:
		c.dropAll(s, Shutdown)
		s.online.ended = true
		c.sendFIN(s, now)
	}
}

// end drops what the session holds and closes it.
func (c *Core) end(s *Session, why Reason) {
	if n := uint64(s.turns.open) + uint64(s.turns.behind); n > 0 {
		switch {
		case s.wasAnswered():
			c.closed(s)
		case why == Finished && !s.owed():
			c.Stats.TurnsCopied += n
		case s.snd.una == s.snd.nxt:
			c.Stats.TurnsUnanswered += n
		default:
			c.Stats.TurnsLost += n
		}
		s.turns.open, s.turns.behind, s.turns.due = 0, 0, false
	}
	if why == Finished {
		c.dropAll(s, TargetTimeout) // what is left was never acknowledged
	} else {
		c.dropAll(s, why)
	}
	c.resetRecovery(s)
	s.state = Closed
	s.snd.rtoAt, s.rcv.ackAt, s.online.holeAt, s.turns.waitAt, s.endAt = never, never, never, never, never
	if s.skipping && why == Finished {
		why = s.skipped
	}
	c.Stats.Closed[why]++
	if s.skipping && why != Shutdown && why != ClientSilent {
		c.passOver(s)
	}
}

// dropAll frees every piece; what was not delivered is counted.
func (c *Core) dropAll(s *Session, why Reason) {
	for s.online.first != 0 {
		if p := c.pieces.at(s.online.first); !p.seq.Before(s.turns.released) {
			c.Stats.TurnsLost += uint64(p.turns)
		}
		c.dropFirst(s, why)
	}
	c.dropAhead(s, why)
	s.turns.nextPiece = 0
}

// dropFirst frees the first piece; the part of it that was not delivered is
// counted.
func (c *Core) dropFirst(s *Session, why Reason) {
	i := s.online.first
	p := c.pieces.at(i)
	if lost := s.undelivered(p); lost > 0 {
		c.Stats.Dropped[why] += lost
		c.Stats.Buffered -= lost
		s.snd.credited = p.seq.Add(p.len)
	}
	s.unpoint(i)
	if s.turns.nextPiece == i {
		s.turns.nextPiece = p.next
	}
	s.online.first = p.next
	if s.online.first == 0 {
		s.online.last = 0
	}
	c.pieces.freePiece(i)
}

// undelivered is how many bytes of p no connection has delivered.
func (s *Session) undelivered(p *piece) uint64 {
	end := p.seq.Add(p.len)
	return uint64(end.Sub(p.seq.Max(s.snd.credited).Min(end)))
}

// dropAhead frees the pieces beyond a hole.
func (c *Core) dropAhead(s *Session, why Reason) {
	for s.online.ahead != 0 {
		i := c.takeAhead(s)
		p := c.pieces.at(i)
		c.Stats.Dropped[why] += uint64(p.len)
		c.Stats.Buffered -= uint64(p.len)
		c.pieces.freePiece(i)
	}
	s.online.holeAt = never
}
