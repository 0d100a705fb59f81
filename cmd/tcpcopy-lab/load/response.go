package load

import (
	"bytes"
	"errors"
	"strconv"
)

// response reads the answers of a connection as their bytes come.
type response struct {
	head []byte // as much as has come of it
	left int    // bytes of body to come
	body []byte // of short bodies, for comparison
	in   bool   // within the body
}

// maxHead bounds an answer's header, maxKept a body that is kept.
const (
	maxHead = 16 << 10
	maxKept = 64
)

var (
	errHead   = errors.New("bad header")
	errStatus = errors.New("status")
	blankLine = []byte("\r\n\r\n")
)

// read takes b and calls done after each complete answer with its body, where
// that is short.
func (r *response) read(b []byte, done func(body []byte) error) error {
	for len(b) > 0 || r.in && r.left == 0 {
		if !r.in {
			had := len(r.head)
			r.head = append(r.head, b[:min(len(b), maxHead)]...)
			end := bytes.Index(r.head[max(0, had-3):], blankLine)
			if end < 0 {
				if len(r.head) >= maxHead {
					return errHead
				}
				return nil
			}
			end += max(0, had-3) + len(blankLine)
			b = b[end-had:]
			if err := r.begin(r.head[:end]); err != nil {
				return err
			}
			continue
		}
		n := min(r.left, len(b))
		if len(r.body) < maxKept {
			r.body = append(r.body, b[:min(n, maxKept-len(r.body))]...)
		}
		r.left -= n
		b = b[n:]
		if r.left == 0 {
			r.in = false
			if err := done(r.body); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin reads a whole header: status 200 and a Content-Length.
func (r *response) begin(head []byte) error {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return errHead
	}
	if !bytes.HasPrefix(head[9:], []byte("200")) {
		return errStatus
	}
	const name = "content-length:"
	for line := range bytes.Lines(head) {
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(line[len(name):])))
			if err != nil || n < 0 {
				return errHead
			}
			r.left, r.in, r.head, r.body = n, true, r.head[:0], r.body[:0]
			return nil
		}
	}
	return errHead
}
