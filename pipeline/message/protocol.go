package message

// Protocol is an application protocol over TCP.
type Protocol uint8

const (
	Unknown Protocol = iota
	HTTP1
	HTTP2
	WebSocket
	RESP
	MQTT
	PostgreSQL
	MySQL
	DNS
	Memcached
	numProtocols
)

// NumProtocols is the number of protocols, for tables by Protocol.
const NumProtocols = int(numProtocols)

// Verdict is what is known from the bytes at hand.
type Verdict uint8

const (
	No    Verdict = iota
	Maybe         // more bytes are needed
	Yes
)

// Answer says whether the server answers a message.
type Answer uint8

const (
	AnswerUnknown Answer = iota // both sides speak when they want
	Answered                    // one is due
	Unanswered                  // none is sent
	Farewell                    // none is sent to this, and not to what is still due
)

// Reaction is a message that only a server that spoke of its own accord gets.
// The later ones are the stricter: what they name must have come from it.
type Reaction uint8

const (
	NoReaction Reaction = iota
	Pubcomp             // MQTT 5, 3.7: to a PUBREL, which the client's PUBREC drew
	Puback              // 3.4: to a PUBLISH
	Pubrec              // 3.5: to a PUBLISH
)

// rules are what a protocol's file supplies.
type rules struct {
	name string
	// joinable protocols keep no state that a new connection lacks.
	joinable bool
	// first judges the first bytes that a client sends on a connection.
	first func(b []byte, port uint16) Verdict
	// begins judges bytes in the middle of a connection.
	begins func(b []byte) Verdict
	// midway is Framer.own behind what comes first on a connection.
	midway uint8
}

var protocols = [NumProtocols]rules{
	Unknown:    {name: "unknown"},
	HTTP1:      http1,
	HTTP2:      http2,
	WebSocket:  webSocket,
	RESP:       resp,
	MQTT:       mqtt,
	PostgreSQL: postgreSQL,
	MySQL:      mySQL,
	DNS:        dns,
	Memcached:  memcached,
}

// follow takes bytes of a message outside of bodies of known length: at least
// one, or it enters a body. It reports whether the message ends behind them.
// A switch, unlike the table, lets a Framer stay on the stack.
func (f *Framer) follow(b []byte) (n int, end bool) {
	switch f.protocol {
	case HTTP1:
		if f.flags&server != 0 {
			return http1Response(f, b)
		}
		return http1Request(f, b)
	case HTTP2:
		return http2Request(f, b)
	case WebSocket:
		return webSocketRequest(f, b)
	case RESP:
		if f.flags&server != 0 {
			return respResponse(f, b)
		}
		return respRequest(f, b)
	case MQTT:
		return mqttRequest(f, b)
	case PostgreSQL:
		return postgresRequest(f, b)
	case MySQL:
		return mysqlRequest(f, b)
	case DNS:
		return dnsMessage(f, b)
	case Memcached:
		return memcachedRequest(f, b)
	}
	return len(b), false
}

func (p Protocol) String() string { return protocols[p].name }

// Joinable reports whether a new connection to another server can begin with
// any message of a client's connection. Where it cannot, because a login, a
// CONNECT or a preface must come first, a connection has to be followed from
// its beginning.
func (p Protocol) Joinable() bool { return protocols[p].joinable }

// Recognize names the protocol from the first bytes that a client sends on a
// connection to port, which decides where protocols look alike. With Maybe it
// is the one that may turn out.
func Recognize(b []byte, port uint16) (Protocol, Verdict) {
	candidate := Unknown
	for p := Unknown + 1; p < numProtocols; p++ {
		if protocols[p].first == nil {
			continue
		}
		switch protocols[p].first(b, port) {
		case Yes:
			return p, Yes
		case Maybe:
			if candidate == Unknown {
				candidate = p
			}
		}
	}
	if candidate == Unknown {
		return Unknown, No
	}
	return candidate, Maybe
}

// RecognizeMidway names the protocol of a connection to port whose beginning
// was not seen, from bytes that its client sends behind a pause. Since binary frames
// are easily mistaken, all of b has to be whole messages of a protocol that is
// not joinable; of one that is, a message has to begin.
func RecognizeMidway(b []byte, port uint16) (Protocol, Verdict) {
	candidate := Unknown
	for p := Unknown + 1; p < numProtocols; p++ {
		var v Verdict
		if p.Joinable() {
			v = protocols[p].first(b, port)
		} else if v = Begins(p, b); v == Yes && !whole(p, b) {
			v = No
		}
		switch {
		case v == Yes:
			return p, Yes
		case v == Maybe && candidate == Unknown:
			candidate = p
		}
	}
	if candidate == Unknown {
		return Unknown, No
	}
	return candidate, Maybe
}

// whole reports whether b consists of whole messages of p.
func whole(p Protocol, b []byte) bool {
	f := Resume(p)
	for len(b) > 0 {
		if Begins(p, b) != Yes {
			return false
		}
		n, end := f.Next(b)
		if !end {
			return false
		}
		b = b[n:]
	}
	return true
}

// Begins judges whether a message of p begins with b, in the middle of a
// connection. It is strict enough that the bytes of a body rarely pass.
func Begins(p Protocol, b []byte) Verdict {
	if protocols[p].begins == nil {
		return No
	}
	return protocols[p].begins(b)
}
