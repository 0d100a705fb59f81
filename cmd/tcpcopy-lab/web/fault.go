package web

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// A Fault is a way in which a server treats its clients unlike production.
type Fault string

// The faults, named by the values of the flag --manner.
const (
	NoFault       Fault = ""
	NeverAnswers  Fault = "mute"  // takes requests, never answers
	ResetsFifth   Fault = "reset" // RST in place of the answer to each connection's fifth request
	AnswersLate   Fault = "late"  // answers 50 ms later
	ReadsSlowly   Fault = "slow"  // reads 800 KB a second of a connection
	AcceptsSlowly Fault = "shy"   // accepts 200 connections a second
)

var faults = []Fault{NoFault, NeverAnswers, ResetsFifth, AnswersLate, ReadsSlowly, AcceptsSlowly}

// serveWithFault serves the connection of r, in s.fault's way, until it closes.
func (s *Server) serveWithFault(w http.ResponseWriter, r *http.Request, c *conn) {
	var nc net.Conn
	var in *bufio.ReadWriter
	remote := r.RemoteAddr
	for {
		if s.fault == ResetsFifth && c.seq == 5 {
			nc.(*net.TCPConn).SetLinger(0)
			return // not logged: it was not served
		}
		sum := sha256.New()
		length, err := io.Copy(sum, s.body(r))
		if err != nil {
			return
		}
		if nc == nil {
			if nc, in, err = http.NewResponseController(w).Hijack(); err != nil {
				return
			}
			defer nc.Close()
		}
		s.record(r, c, length, http.StatusOK, sum)
		if s.fault == AnswersLate {
			time.Sleep(50 * time.Millisecond)
		}
		if s.fault != NeverAnswers {
			text := "ok"
			if length > 0 {
				text = fmt.Sprintf("%x", sum.Sum(nil))
			}
			fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
		if r.Close {
			return
		}
		if r, err = next(in.Reader, remote); err != nil {
			return
		}
		c.seq++
	}
}

func next(b *bufio.Reader, remote string) (*http.Request, error) {
	r, err := http.ReadRequest(b)
	if err == nil {
		r.RemoteAddr = remote
	}
	return r, err
}

func (s *Server) body(r *http.Request) io.Reader {
	if s.fault == ReadsSlowly {
		return slowReader{r.Body}
	}
	return r.Body
}

// A slowListener accepts one connection each 5 ms.
type slowListener struct{ net.Listener }

func (s slowListener) Accept() (net.Conn, error) {
	time.Sleep(5 * time.Millisecond)
	return s.Listener.Accept()
}

// A slowReader reads at most 8 KB each 10 ms.
type slowReader struct{ io.Reader }

func (s slowReader) Read(b []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return s.Reader.Read(b[:min(len(b), 8<<10)])
}
