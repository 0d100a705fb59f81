package message

import "bytes"

// MQTT 3.1, 3.1.1 and 5: a type, a length of one to four bytes, and a body.
var mqtt = rules{
	name:   "mqtt",
	first:  func(b []byte, _ uint16) Verdict { return mqttFirst(b) },
	begins: mqttBegins,
	midway: mqttConnected,
}

// Framer.own
const (
	mqttConnected = 1 // CONNECT was seen
	mqttKind      = 4 // bits from here on: the packet at hand, or the last one
)

// Control packets that a client sends (MQTT 5, 2.1.2).
const (
	mqttConnect     = 1
	mqttPublish     = 3
	mqttPuback      = 4
	mqttPubrec      = 5
	mqttPubrel      = 6
	mqttPubcomp     = 7
	mqttSubscribe   = 8
	mqttUnsubscribe = 10
	mqttPingreq     = 12
	mqttDisconnect  = 14
	mqttAuth        = 15
)

// mqttRequest has the length in Framer.acc.
func mqttRequest(f *Framer, b []byte) (int, bool) {
	for i, c := range b {
		if f.state == 0 {
			f.mqttType(c)
			if f.Lost() {
				return i, false
			}
			f.state = 1
			continue
		}
		f.acc |= uint64(c&0x7f) << (7 * (f.state - 1))
		switch {
		case c&0x80 == 0:
			return i + 1, f.body(f.acc, true)
		case f.state == 4:
			f.lose()
			return i, false
		}
		f.state++
	}
	return len(b), false
}

// mqttType takes the first byte of a packet.
func (f *Framer) mqttType(c byte) {
	kind, qos := c>>4, c>>1&3
	if (kind == mqttConnect) == (f.own&mqttConnected != 0) {
		f.lose() // MQTT 5, 3.1: the first packet is CONNECT, and only that
		return
	}
	f.own = mqttConnected | kind<<mqttKind
	switch kind {
	case mqttPublish:
		switch qos {
		case 0:
			f.answer(Unanswered)
		case 3:
			f.lose()
		default:
			f.answer(Answered)
		}
	case mqttConnect, mqttPubrel, mqttSubscribe, mqttUnsubscribe, mqttPingreq, mqttAuth:
		f.answer(Answered)
	case mqttPuback, mqttPubcomp, mqttDisconnect:
		f.answer(Unanswered)
	case mqttPubrec: // PUBREL follows
		f.answer(Answered)
	default:
		f.lose()
	}
}

func mqttReaction(kind uint8) Reaction {
	switch kind {
	case mqttPuback:
		return Puback
	case mqttPubrec:
		return Pubrec
	case mqttPubcomp:
		return Pubcomp
	}
	return NoReaction
}

// mqttFirst expects CONNECT with the name of the protocol.
func mqttFirst(b []byte) Verdict {
	if len(b) > 0 && b[0] != mqttConnect<<4 {
		return No
	}
	n, _, ok := mqttLength(b)
	if !ok {
		return No
	}
	if n == 0 {
		return Maybe
	}
	for _, name := range [...]string{"\x00\x04MQTT", "\x00\x06MQIsdp"} {
		switch k := min(len(name), len(b)-n); {
		case string(b[n:n+k]) != name[:k]:
		case k == len(name):
			return Yes
		default:
			return Maybe
		}
	}
	return No
}

// mqttLength returns the size of the fixed header, 0 while it is not whole,
// and the length of the rest.
func mqttLength(b []byte) (header, length int, ok bool) {
	for i := 1; i < len(b); i++ {
		length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			return i + 1, length, true
		}
		if i == 4 {
			return 0, 0, false
		}
	}
	return 0, 0, true
}

// mqttBegins judges the fixed header, and the topic of PUBLISH.
func mqttBegins(b []byte) Verdict {
	if len(b) == 0 {
		return Maybe
	}
	kind, flag := b[0]>>4, b[0]&0xf
	n, length, ok := mqttLength(b)
	if !ok {
		return No
	}
	switch kind {
	case mqttPublish:
		if flag>>1&3 == 3 {
			return No
		}
		if n == 0 || len(b) < n+2 {
			return Maybe
		}
		topic := int(b[n])<<8 | int(b[n+1])
		if topic+2 > length || topic == 0 {
			return No
		}
		if bytes.ContainsAny(b[n+2:min(len(b), n+2+topic)], "\x00#+") {
			return No
		}
		return Yes
	case mqttPuback, mqttPubrec, mqttPubcomp:
		ok = flag == 0 && (n == 0 || length >= 2)
	case mqttPubrel:
		ok = flag&^8 == 2 && (n == 0 || length >= 2)
	case mqttSubscribe, mqttUnsubscribe:
		ok = flag&^8 == 2 && (n == 0 || length >= 5)
	case mqttPingreq, mqttDisconnect:
		ok = flag == 0 && (n == 0 || length == 0)
	default:
		ok = false
	}
	switch {
	case !ok:
		return No
	case n == 0:
		return Maybe
	}
	return Yes
}
