package message

import (
	"encoding/binary"
	"strings"
)

// PostgreSQL's protocol 3: a startup packet without a type, then typed
// messages. A message here is what the server answers as one: of the extended
// query protocol, everything up to Sync or Flush.
var postgreSQL = rules{
	name:   "postgresql",
	first:  func(b []byte, _ uint16) Verdict { return postgresFirst(b) },
	begins: postgresBegins,
	midway: postgresTyped,
}

const (
	postgresTyped = 1 << iota // Framer.own: the startup is over
	postgresAsked             // encryption was asked for
)

// Codes in place of a version.
const (
	postgresCancel = 80877102
	postgresSSL    = 80877103
	postgresGSS    = 80877104
)

func postgresRequest(f *Framer, b []byte) (int, bool) {
	if f.own&postgresTyped == 0 {
		return postgresStartup(f, b)
	}
	n, ok := f.collect(b, 5)
	if !ok {
		return n, false
	}
	kind, length := byte(f.acc>>32), f.acc&0xffffffff
	if !postgresHead(kind, length) {
		f.lose()
		return n, false
	}
	last := true
	switch kind {
	case 'P', 'B', 'D', 'E', 'C': // Parse, Bind, Describe, Execute, Close
		f.state, f.acc = 0, 0
		f.flags |= open
		last = false
	case 'X', 'd': // Terminate, CopyData
		f.answer(Unanswered)
	default:
		f.answer(Answered)
	}
	return n, f.body(length-4, last)
}

func postgresStartup(f *Framer, b []byte) (int, bool) {
	const tls = 22 // a record of the type handshake
	if f.own&postgresAsked != 0 && f.state == 0 && b[0] == tls {
		f.become(Unknown, 0)
		return 0, false
	}
	n, ok := f.collect(b, 8)
	if !ok {
		return n, false
	}
	length, code := f.acc>>32, uint32(f.acc)
	if length < 8 || length > postgresMaxStartup {
		f.lose()
		return n, false
	}
	f.answer(Answered)
	switch {
	case code == postgresSSL, code == postgresGSS:
		f.own |= postgresAsked
	case code == postgresCancel:
		f.answer(Unanswered)
	case code>>16 == 3:
		f.own = postgresTyped
	case f.own&postgresAsked != 0:
		f.become(Unknown, 0)
		return n, false
	default:
		f.lose()
		return n, false
	}
	return n, f.body(length-8, true)
}

const postgresMaxStartup = 10000 // MAX_STARTUP_PACKET_LENGTH

// postgresHead judges the type and the length of a typed message.
func postgresHead(kind byte, length uint64) bool {
	switch kind {
	case 'S', 'H', 'X', 'c':
		return length == 4
	}
	return length >= 4 && length <= 1<<30 && strings.IndexByte("QPBDECFdfp", kind) >= 0
}

func postgresFirst(b []byte) Verdict {
	if len(b) < 8 {
		if len(b) > 0 && b[0] != 0 || len(b) > 1 && b[1] != 0 {
			return No
		}
		return Maybe
	}
	length, code := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	switch {
	case length < 8 || length > postgresMaxStartup:
		return No
	case code >= postgresCancel && code <= postgresGSS, code>>16 == 3:
		return Yes
	}
	return No
}

func postgresBegins(b []byte) Verdict {
	switch {
	case len(b) > 0 && strings.IndexByte("QPBDECFdfpSHXc", b[0]) < 0:
		return No
	case len(b) < 5:
		return Maybe
	case postgresHead(b[0], uint64(binary.BigEndian.Uint32(b[1:]))):
		return Yes
	}
	return No
}
