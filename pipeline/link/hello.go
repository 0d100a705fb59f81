package link

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// magic opens every hello, so that a stranger is told apart from a fault.
var magic = [4]byte{'T', 'C', 'P', 'Y'}

// hello is who speaks.
type hello struct {
	Secret   bool     // this end was given a secret
	Instance [16]byte // one run of the program
	Nonce    [32]byte // fresh for each connection
	Index    uint8    // which of Count connections; 0 of 0 from the server
	Count    uint8
	Name     string
}

const (
	helloLen   = 4 + 2 + 1 + 16 + 32 + 1 + 1 + 1 // without the name
	helloPlain = 0
	helloAuth  = 1
)

func appendHello(b []byte, h *hello) []byte {
	b, at := beginFrame(b, TypeHello)
	b = append(b, magic[:]...)
	b = binary.BigEndian.AppendUint16(b, Version)
	if h.Secret {
		b = append(b, helloAuth)
	} else {
		b = append(b, helloPlain)
	}
	b = append(b, h.Instance[:]...)
	b = append(b, h.Nonce[:]...)
	name := cutText(h.Name, MaxName)
	b = append(b, h.Index, h.Count, byte(len(name)))
	return endFrame(append(b, name...), at)
}

// decodeHello reads a hello. What follows the version is looked at in this
// version only.
func decodeHello(p []byte, h *hello) error {
	switch {
	case len(p) < 6:
		return ErrTruncated
	case [4]byte(p[:4]) != magic:
		return ErrMagic
	case binary.BigEndian.Uint16(p[4:]) != Version:
		return ErrVersion
	case len(p) < helloLen:
		return ErrTruncated
	case p[6] > helloAuth:
		return ErrReserved
	}
	h.Secret = p[6] == helloAuth
	h.Instance = [16]byte(p[7:])
	h.Nonce = [32]byte(p[23:])
	h.Index, h.Count = p[55], p[56]
	n := int(p[57])
	switch {
	case h.Count > MaxConns || h.Index > h.Count || (h.Index == h.Count && h.Count > 0):
		return ErrValue
	case n > MaxName:
		return ErrValue
	case len(p) < helloLen+n:
		return ErrTruncated
	case len(p) > helloLen+n:
		return ErrTrailing
	}
	h.Name = cleanText(p[helloLen:])
	return nil
}

// nonce is drawn from the system's generator, which does not fail (Go 1.24).
func nonce() (n [32]byte) {
	rand.Read(n[:])
	return n
}

// The labels keep one end's proof from being sent back as the other's.
const (
	proofClient = "tcpcopy link client"
	proofServer = "tcpcopy link server"
)

// proof is HMAC-SHA256 (RFC 2104) of the label and of both hellos' payloads
// under the shared secret. Both nonces are in it, so it is good once.
func proof(secret, label string, client, server []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(label))
	for _, h := range [][]byte{client, server} {
		m.Write(binary.BigEndian.AppendUint16(nil, uint16(len(h))))
		m.Write(h)
	}
	return m.Sum(nil)
}

// cutText cuts s to n bytes without splitting a character.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// cleanText makes a peer's bytes fit for a log: valid UTF-8 without control
// characters.
func cleanText(p []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(p), "?"))
}
