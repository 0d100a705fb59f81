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

// A Manner is how a server treats its clients.
type Manner string

// The manners. All but Good are for targets that behave unlike production.
const (
	Good  Manner = ""
	Mute  Manner = "mute"  // takes requests, never answers
	Reset Manner = "reset" // RST in place of the answer to each connection's fifth request
	Late  Manner = "late"  // answers 50 ms later
	Slow  Manner = "slow"  // reads 800 KB a second of a connection
	Shy   Manner = "shy"   // accepts 200 connections a second
)

var manners = []Manner{Good, Mute, Reset, Late, Slow, Shy}

// misbehave serves the connection of r to its end.
func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, c *conn) {
	var nc net.Conn
	var in *bufio.ReadWriter
	remote := r.RemoteAddr
	for {
		if s.manner == Reset && c.seq == 5 {
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
		if s.manner == Late {
			time.Sleep(50 * time.Millisecond)
		}
		if s.manner != Mute {
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
	if s.manner == Slow {
		return slow{r.Body}
	}
	return r.Body
}

// shy takes its time with each connection.
type shy struct{ net.Listener }

func (s shy) Accept() (net.Conn, error) {
	time.Sleep(5 * time.Millisecond)
	return s.Listener.Accept()
}

// slow reads 8 KB each 10 ms.
type slow struct{ io.Reader }

func (s slow) Read(b []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return s.Reader.Read(b[:min(len(b), 8<<10)])
}
