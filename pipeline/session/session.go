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
// owner fills in the exported fields and nothing else. Each part is described
// where its behaviour is.
type Session struct {
	ClientEnd packet.Endpoint // the online client
	OnlineEnd packet.Endpoint // what the client talks to in production
	Endpoint  packet.Endpoint // what the target sees; set anew before each Connect
	Target    packet.Endpoint
	MTU       uint16 // of the path to the target
	Transfer  uint16 // the owner's
	// Dirty is the owner's: the session waits for its Output.
	Dirty bool

	state    State
	skipping bool   // ends as Skipping
	skipped  Reason // what it is encrypted with
	endAt    Time   // TimeWait, Closing, Skipping: give up

	online online   // what the client was seen to do
	turns  turns    // which of it the target may get
	snd    sender   // what the target has got
	rec    recovery // what was lost on the way to it
	rcv    receiver // what the target has sent
}

// State says where the session stands.
func (s *Session) State() State { return s.state }

// TargetWaits reports whether the target keeps the connection in TIME-WAIT: it
// closed first. Its Endpoint should rest (RFC 9293, 3.6.1).
func (s *Session) TargetWaits() bool { return s.rcv.fin && !s.snd.finFirst }
