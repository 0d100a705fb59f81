// Package session replays one client's TCP connection to a target: a TCP
// sender (RFC 9293) that takes its payload from a capture of the client's
// packets, and whose receiver sees only the headers of the target's replies.
//
// A Session is a pure state machine. Events go in (Client, Reply, Timer), and
// at the end of a batch of events Output sends what they made possible through
// a Sink. When the batch has left the process, FreeSent frees the payload that
// was only kept for it. A Session owns no socket, goroutine or clock, so a test
// drives it through a simulated network with a seed.
//
// It has five parts:
//
//   - online (client.go, hole.go): what the client was seen to do. Its payload
//     is reassembled by sequence number into pieces (pieces.go).
//   - turns: the stream is followed by a message.Framer, and pieces are cut where
//     messages begin (framing.go). A message is a turn; where the protocol is not
//     known, a piece whose acknowledgment has risen begins one, because the client
//     had read a response in between. A turn is released (turns.go) when the
//     target has given the answers that the client had read; where they end
//     (answers.go) is known from production's lengths and from what was found out
//     about the target (target.go).
//   - snd (send.go, timer.go): released bytes are sent within the target's
//     window and a congestion window.
//   - rec (recovery.go): what the target does not acknowledge is sent again.
//   - rcv (receive.go): how far the target has sent, and what acknowledgment it
//     is owed.
//
// reply.go hands a reply of the target to these parts, and reopen.go goes on in
// a new connection where the target has closed the old one.
//
// Sequence numbers are the client's own on both sides; acknowledgments,
// timestamps and windows belong to the target's connection.
//
// The package knows how TCP works, when a client speaks, and what the target
// has answered by number of bytes. It does not know where packets come from or
// how they leave, which sessions exist and how one is found, how an endpoint is
// chosen for it, what the messages mean, or what the answers say.
package session
