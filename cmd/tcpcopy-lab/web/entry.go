// Package web has the servers of the lab, nginx and one of its own, and reads
// the access log that both write.
package web

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// An Entry is one request as a server saw it. The log has one line for each,
// written when the response is complete:
//
//	msec connection sequence uri remote length status [sha256]
type Entry struct {
	Time   float64 // seconds since the epoch, to the millisecond
	Conn   uint64  // serial number of the connection at this server
	Seq    int     // the request's place on its connection, from 1
	URI    string
	Remote string // the client's address and port
	Length int64  // bytes of the request: header and body from nginx, body only from the lab's server
	Status int
	SHA256 string // of the body, hexadecimal; empty where the server does not tell
}

// ReadLog reads an access log from a byte offset, where a line begins. A last
// line without its end is left out: its writer is not done with it.
func ReadLog(path string, offset int64) ([]Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	var log []Entry
	r := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, err := r.ReadString('\n')
		if err != nil {
			return log, nil
		}
		e, err := parseEntry(line)
		if err != nil {
			return nil, fmt.Errorf("web: %s:%d: %w", path, n, err)
		}
		log = append(log, e)
	}
}

func parseEntry(line string) (e Entry, err error) {
	f := strings.Fields(line)
	if len(f) < 7 || len(f) > 8 {
		return e, fmt.Errorf("%d fields, want 7 or 8", len(f))
	}
	field := func(i int, parse func(string) error) {
		if err == nil {
			if err = parse(f[i]); err != nil {
				err = fmt.Errorf("field %d: %w", i+1, err)
			}
		}
	}
	field(0, func(s string) (err error) { e.Time, err = strconv.ParseFloat(s, 64); return })
	field(1, func(s string) (err error) { e.Conn, err = strconv.ParseUint(s, 10, 64); return })
	field(2, func(s string) (err error) { e.Seq, err = strconv.Atoi(s); return })
	field(5, func(s string) (err error) { e.Length, err = strconv.ParseInt(s, 10, 64); return })
	field(6, func(s string) (err error) { e.Status, err = strconv.Atoi(s); return })
	e.URI, e.Remote = f[3], f[4]
	if len(f) == 8 {
		e.SHA256 = f[7]
	}
	return e, err
}
