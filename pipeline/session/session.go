package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/packet"

// Time is a moment on the worker's clock, in microseconds.
type Time int64

const (
	Millisecond Time = 1000
	Second      Time = 1000 * Millisecond
)

// never is a timer that is not armed.
const never Time = 1<<63 - 1

// State is where a session stands towards the target.
type State uint8

const (
	Watching    State = iota // mid-stream, before a turn boundary: not connected
	Opening                  // wants an endpoint and a Connect from its owner
	SynSent                  // RFC 9293, 3.3.2
	Established              // or CLOSE-WAIT: see peerFIN
	Closing                  // our FIN is sent: FIN-WAIT, CLOSING or LAST-ACK
	TimeWait                 // both FINs are acknowledged; a repeated FIN is answered
	Parked                   // the target closed early; reopened when the client goes on
	Skipping                 // encrypted: the rest of it is passed over
	Closed                   // over: the owner removes it
	numStates
)

// NumStates is the number of states, for tables by State.
const NumStates = int(numStates)

func (s State) String() string {
	return [...]string{"watching", "opening", "syn_sent", "established", "closing", "time_wait", "parked", "skipping", "closed"}[s]
}

// connected reports whether replies can belong to the session.
func (s State) connected() bool { return s >= SynSent && s <= TimeWait }

// Session is the state of one replayed connection. It holds no pointers. The
// owner fills in the exported fields and nothing else.
type Session struct {
	ClientEnd packet.Endpoint // the online client
	OnlineEnd packet.Endpoint // what the client talks to in production
	Endpoint  packet.Endpoint // what the target sees; set anew before each Connect
	Target    packet.Endpoint
	MTU       uint16 // of the path to the target
	Transfer  uint16 // the owner's

	state State
	// Dirty is the owner's: the session waits for its Output.
	Dirty bool

	// From the client's SYN, or chosen where it was not seen.
	sawSYN    bool
	clientISN uint32
	synMSS    uint16
	synScale  uint8
	synSACK   bool
	synTS     bool

	// The online side.
	inNext  uint32 // next byte expected from the client
	ackSeen uint32 // highest acknowledgment of the client: what it has read of production
	ackLast uint32 // acknowledgment of the last piece queued
	base    uint32 // acknowledgment that stands for no response byte read
	hasBase bool
	inEnded bool // the client's FIN or RST is queued
	endFIN  bool // it is a FIN
	first   uint32
	last    uint32
	ahead   uint32 // pieces beyond a hole, sorted
	aheadN  uint16
	holeAt  Time // when the hole is given up

	// Turns.
	released   uint32 // sequence number up to which pieces are released
	nextPiece  uint32 // first piece not released
	keep       uint32 // payload from here on belongs to the unanswered turn
	partial    bool   // the front of the unanswered turn is freed
	peerBase   uint32 // target's sequence number that stands for no response byte
	turnHave   uint32 // response bytes when the running turn was released
	turnAt     Time   // when the waiting turn came to wait
	patience   Time
	turnOpen   bool // a released turn has not been answered
	askedAt    Time // the last piece of the running turn was released
	peerPushed bool
	peerAt     Time // last segment from the target

	// The sender (RFC 9293, 3.3.1).
	iss      uint32
	una      uint32
	nxt      uint32
	cursor   uint32 // piece that holds nxt, or one before
	credited uint32 // delivered bytes are counted up to here
	wnd      uint32 // scaled
	wndScale uint8  // the target's
	mss      uint16 // payload bytes a segment, options deducted
	sackOK   bool
	tsOK     bool
	finSent  bool
	finFirst bool // our FIN went before the target's came
	parking  bool // our FIN answers the target's early close
	tsRecent uint32
	cwnd     uint32
	ssthresh uint32
	dupAcks  uint8
	rtxNext  uint32 // next byte to retransmit; rtxNext == rtxEnd: none
	rtxEnd   uint32
	recover  uint32 // RFC 6582; loss recovery ends here
	inRecov  bool
	lossRTO  bool // recovery began by timeout: everything up to recover is resent
	sacked   [packet.MaxSACK]packet.SACKBlock
	sackedN  uint8

	srtt, rttvar Time
	rto          Time
	backoff      uint8
	rttSeq       uint32 // timed segment, when rttAt is set (Karn)
	rttAt        Time
	rtoAt        Time
	progressAt   Time // una moved, or the connection opened

	// The receiver.
	rcvNxt   uint32
	unacked  uint32 // bytes received since the last acknowledgment was sent
	ackNow   bool
	ackAt    Time
	peerFIN  bool
	synTries uint8
	refused  bool  // the last SYN was answered by RST
	reopens  uint8 // without progress

	skipping bool   // ends as Skipping
	skipped  Reason // what it is encrypted with
	clientAt Time   // last packet of the client
	endAt    Time   // TimeWait, Closing: give up
}

// State says where the session stands.
func (s *Session) State() State { return s.state }

// TargetWaits reports whether the target keeps the connection in TIME-WAIT: it
// closed first. Its Endpoint should rest (RFC 9293, 3.6.1).
func (s *Session) TargetWaits() bool { return s.peerFIN && !s.finFirst }

// before compares sequence numbers (RFC 9293, 3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }

func seqMax(a, b uint32) uint32 {
	if before(a, b) {
		return b
	}
	return a
}

func seqMin(a, b uint32) uint32 {
	if before(a, b) {
		return a
	}
	return b
}
