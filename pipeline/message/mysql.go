package message

// MySQL's client/server protocol, the client's side: packets of up to 16 MB
// with a sequence number, which is 0 for commands. The server speaks first.
var mySQL = rules{
	name:   "mysql",
	first:  func(b []byte, _ uint16) Verdict { return mysqlFirst(b) },
	begins: mysqlBegins,
	midway: mysqlGreeted,
}

// What is known of the connection (Framer.own).
const (
	mysqlGreeted    = 1 << iota // the first packet was seen
	mysqlCommands               // a command was seen: the login is over
	mysqlChangeUser             // which is the last command
	mysqlCompressed             // packets are, from the first command on
	mysqlTLS                    // everything is, from the next packet on
)

const (
	mysqlMaxPacket = 1<<24 - 1 // another packet follows
	mysqlSSL       = 32        // bytes of a SSLRequest

	mysqlClientCompress = 1 << 5
	mysqlClient41       = 1 << 9
	mysqlClientSSL      = 1 << 11
	mysqlClientZstd     = 1 << 26
)

func mysqlRequest(f *Framer, b []byte) (int, bool) {
	n, ok := f.collect(b, 4)
	if !ok {
		return n, false
	}
	head := f.acc
	if f.state > 4 {
		head >>= 8 * (f.state - 4)
	}
	length, seq := head>>24&0xff|head>>8&0xff00|head<<8&0xff0000, byte(head)
	switch {
	case f.own&mysqlGreeted == 0:
		return f.mysqlGreeting(b, n, length, seq)
	case f.own&mysqlTLS != 0 && head>>16&0xffff == 22<<8|3, // a record of a handshake
		f.own&mysqlCompressed != 0 && seq == 0:
		f.become(Unknown, 0)
		return n, false
	case f.flags&open != 0: // the last packet had no room for more
		return n, f.mysqlBody(length, length)
	case seq != 0:
		switch {
		case f.own&mysqlCommands != 0 && f.own&mysqlChangeUser == 0 && length > 0:
			f.answer(Unanswered) // data of LOAD DATA LOCAL INFILE, up to an empty packet
		default:
			f.answer(Answered)
		}
		return n, f.mysqlBody(length, length)
	case length == 0:
		f.lose()
		return n, false
	}
	k, ok := f.collect(b[n:], 5)
	if n += k; !ok {
		return n, false
	}
	f.mysqlCommand(byte(f.acc))
	return n, f.mysqlBody(length, length-1)
}

// mysqlBody passes over the rest of a packet of the given length.
func (f *Framer) mysqlBody(length, rest uint64) (end bool) {
	f.state, f.acc = 0, 0
	if length < mysqlMaxPacket {
		return f.body(rest, true)
	}
	f.flags |= open
	return f.body(rest, false)
}

// mysqlGreeting takes the client's first packet, which tells what follows.
func (f *Framer) mysqlGreeting(b []byte, n int, length uint64, seq byte) (int, bool) {
	if seq != 1 || length < mysqlSSL || length == mysqlMaxPacket {
		f.lose()
		return n, false
	}
	k, ok := f.collect(b[n:], 8)
	if n += k; !ok {
		return n, false
	}
	capabilities := mysqlUint32(uint32(f.acc))
	f.own |= mysqlGreeted
	f.answer(Answered)
	if capabilities&(mysqlClientCompress|mysqlClientZstd) != 0 {
		f.own |= mysqlCompressed
	}
	if capabilities&mysqlClientSSL != 0 && length == mysqlSSL {
		f.own |= mysqlTLS
		f.answer(Unanswered) // the server waits for a ClientHello
	}
	return n, f.body(length-4, true)
}

// mysqlUint32 reads a number whose bytes were collected the wrong way round.
func mysqlUint32(v uint32) uint32 {
	return v>>24 | v>>8&0xff00 | v<<8&0xff0000 | v<<24
}

func (f *Framer) mysqlCommand(command byte) {
	const quit, changeUser, binlogDump, sendLongData, closeStatement, binlogDumpGTID = 0x01, 0x11, 0x12, 0x18, 0x19, 0x1e
	f.own = f.own&^mysqlChangeUser | mysqlCommands
	f.answer(Answered)
	switch command {
	case quit, sendLongData, closeStatement:
		f.answer(Unanswered)
	case binlogDump, binlogDumpGTID:
		f.answer(AnswerUnknown)
	case changeUser:
		f.own |= mysqlChangeUser
	}
}

// mysqlFirst expects a HandshakeResponse41 or a SSLRequest.
func mysqlFirst(b []byte) Verdict {
	if len(b) >= 4 && (b[3] != 1 || b[2] != 0 || b[1] == 0 && b[0] < mysqlSSL) {
		return No
	}
	if len(b) >= 8 && (uint32(b[4])|uint32(b[5])<<8)&mysqlClient41 == 0 {
		return No
	}
	// After the capabilities, the largest packet and a character set there are
	// 19 bytes of zero.
	for i := 13; i < 32 && i < len(b); i++ {
		if b[i] != 0 {
			return No
		}
	}
	if len(b) < 32 {
		return Maybe
	}
	return Yes
}

// mysqlBegins expects a command.
func mysqlBegins(b []byte) Verdict {
	const lastCommand = 0x1f
	switch {
	case len(b) >= 4 && (b[3] != 0 || b[0]|b[1]|b[2] == 0):
		return No
	case len(b) < 5:
		return Maybe
	case b[4] == 0 || b[4] > lastCommand:
		return No
	}
	return Yes
}
