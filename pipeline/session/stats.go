package session

import "github.com/tcpcopy-go/tcpcopy/pipeline/histogram"

// Reason says why a session, or payload of it, ended without being delivered.
type Reason uint8

const (
	Finished         Reason = iota // as production ended: FIN or RST of the client, copied
	Duplicate                      // payload that the client had sent before
	FastOpen                       // payload in a SYN
	Midstream                      // before the first turn boundary of a connection that began earlier
	CaptureHole                    // bytes that the ring never saw
	Truncated                      // bytes that the capture cut off
	ReassemblyLimit                // too many segments ahead of a hole
	MemoryLimit                    // over the bound of buffered bytes
	NoEndpoint                     // the pool of addresses and ports is used up
	HandshakeTimeout               // no SYN-ACK
	HandshakeRefused               // RST to the SYN
	ResetByTarget                  // RST later, and again after reopening
	ClosedByTarget                 // FIN before the request was answered, and again after reopening
	TargetTimeout                  // no acknowledgment, or no response, for too long
	ClientSilent                   // nothing from the client for the keepalive timeout
	TLS                            // cannot be replayed as bytes
	SSH                            // the same
	NotJoinable                    // a connection of a protocol that cannot be joined midway
	ReopenRate                     // over the bound of connections opened again
	Shutdown                       // tcpcopy ends
	numReasons
)

// NumReasons is the number of reasons, for tables by Reason.
const NumReasons = int(numReasons)

var reasonNames = [NumReasons]string{
	"finished", "duplicate", "fast_open", "midstream", "capture_hole", "truncated", "reassembly_limit", "memory_limit",
	"no_endpoint", "handshake_timeout", "handshake_refused", "reset_by_target", "closed_by_target",
	"target_timeout", "client_silent", "tls", "ssh", "not_joinable", "reopen_rate", "shutdown",
}

func (r Reason) String() string { return reasonNames[r] }

// Kind sorts segments in the counters of both directions. A segment with
// payload is Payload whatever else it carries, except on SYN.
type Kind uint8

const (
	KindSYN Kind = iota // SYN out, SYN-ACK in
	KindPayload
	KindACK
	KindFIN
	KindRST
	numKinds
)

// NumKinds is the number of kinds, for tables by Kind.
const NumKinds = int(numKinds)

func (k Kind) String() string { return [...]string{"syn", "payload", "ack", "fin", "rst"}[k] }

// Stats counts what the sessions of one Core did; bytes are payload bytes.
// At every moment Accepted = Delivered + Buffered + the sum of Dropped.
type Stats struct {
	Accepted  uint64
	Delivered uint64 // acknowledged by the target
	Buffered  uint64
	Dropped   [NumReasons]uint64

	Sent          [NumKinds]uint64 // segments, retransmissions included
	SentBytes     uint64
	Retransmitted [NumKinds]uint64
	Responses     [NumKinds]uint64
	ResponseBytes uint64

	Opened      uint64 // SYNs of new connections to the target, retries excluded
	Established uint64
	Refused     uint64 // RSTs to SYNs
	Midstream   uint64 // sessions that began without their SYN
	Reopened    uint64
	Closed      [NumReasons]uint64 // sessions

	TurnsCopied     uint64 // answered, or the last before a proper end
	TurnsUnanswered uint64 // acknowledged; given up waiting for a response
	TurnsLost       uint64 // dropped before the target acknowledged them

	Connect   histogram.Histogram // from the first SYN to the SYN-ACK
	FirstByte histogram.Histogram // from the release of a turn's last piece to the first byte of the response
}

// Reproduced is the event reproduction ratio: the share of the turns that ended
// which the target was sent and answered as production had. It is 1 as long as
// none has ended.
func (s *Stats) Reproduced() float64 {
	all := s.TurnsCopied + s.TurnsUnanswered + s.TurnsLost
	if all == 0 {
		return 1
	}
	return float64(s.TurnsCopied) / float64(all)
}
