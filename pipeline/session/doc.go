// Package session replays one client's TCP connection to a target: a TCP
// sender (RFC 9293) that takes its payload from a capture of the client's
// packets, and whose receiver sees only the headers of the target's replies.
//
// A Session is a pure state machine. Events go in (Client, Reply, Timer), and
// at the end of a batch of events Output sends what they made possible through
// a Sink. It owns no socket, goroutine or clock, so a test drives it through a
// simulated network with a seed.
//
// The client's half is reassembled by sequence number into pieces
// (client.go), which are grouped into turns: a piece whose acknowledgment is
// above the piece's before it begins a new turn, because the client had read a
// response in between. A turn is released (turns.go) when the target has
// answered the one before. Released bytes are sent (send.go) within the
// target's window and a congestion window, and retransmitted until the target
// acknowledges them (reply.go, timer.go).
//
// Sequence numbers are the client's own on both sides; acknowledgments,
// timestamps and windows belong to the target's connection.
package session
