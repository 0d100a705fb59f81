package recording

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

const (
	syn  = packet.SYN
	ack  = packet.ACK
	data = packet.ACK | packet.PSH
	fin  = packet.ACK | packet.FIN
	rst  = packet.RST
)

// seen is a client's segment: milliseconds, port, flags, sequence number,
// payload, acknowledgment.
type seen struct {
	ms   int
	port uint16
	flag packet.Flags
	seq  uint32
	text string
	ack  uint32
}

func survey(segments []seen) *Survey {
	s := new(Survey)
	for _, g := range segments {
		t := epoch + int64(g.ms)*1e6
		s.Note(t)
		s.Match(&packet.Segment{
			Src: packet.Endpoint{Port: g.port}, Dst: packet.Endpoint{Port: 80}, Flags: g.flag, Seq: g.seq, Ack: g.ack,
			Payload: []byte(g.text), Len: len(g.text), Time: t,
		})
	}
	s.Finish()
	return s
}

func TestWhatARecordingHoldsIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		in   []seen
		want Survey
	}{
		"complete": {
			[]seen{{0, 1, syn, 9, "", 0}, {1, 1, ack, 10, "", 1}, {2, 1, data, 10, "one", 1}, {3, 1, data, 13, "two", 50}, {4, 1, fin, 16, "", 90}, {5, 1, ack, 17, "", 91}},
			Survey{Matching: 6, Sessions: 1, Complete: 1, Requests: 2, Bytes: 6, Largest: 3, Concurrent: 1, PeakSessions: 1, PeakRequests: 2, PeakBytes: 6},
		},
		"a request in two segments, out of order, sent again": {
			[]seen{{0, 1, syn, 9, "", 0}, {2, 1, data, 13, "two", 1}, {3, 1, data, 10, "one", 1}, {4, 1, data, 10, "onetwo", 1}, {5, 1, rst, 16, "", 0}},
			Survey{Matching: 5, Sessions: 1, Complete: 1, Requests: 1, Bytes: 6, Largest: 6, Concurrent: 1, PeakSessions: 1, PeakRequests: 1, PeakBytes: 6},
		},
		"mid-stream, not ended": {
			[]seen{{0, 1, ack, 10, "", 1}, {2, 1, data, 100, "one", 1}, {3, 1, data, 103, "two", 9}},
			Survey{Matching: 3, Sessions: 1, Midstream: 1, Open: 1, Requests: 2, Bytes: 6, Largest: 3, Concurrent: 1, PeakSessions: 1, PeakRequests: 2, PeakBytes: 6},
		},
		"hole": {
			[]seen{{0, 1, syn, 9, "", 0}, {2, 1, data, 20, "two", 1}, {3, 1, data, 12, "x", 1}, {4, 1, fin, 23, "", 0}},
			Survey{Matching: 4, Sessions: 1, Holed: 1, Requests: 1, Bytes: 4, Missing: 9, Largest: 3, Concurrent: 1, PeakSessions: 1, PeakRequests: 1, PeakBytes: 4},
		},
		"one port, two connections": {
			[]seen{{0, 1, syn, 9, "", 0}, {1, 1, data, 10, "a", 1}, {2, 1, fin, 11, "", 1}, {3, 1, syn, 500, "", 0}, {4, 1, syn, 500, "", 0}, {5, 1, data, 501, "a", 1}, {6, 1, fin, 502, "", 1}},
			Survey{Matching: 7, Sessions: 2, Complete: 2, Requests: 2, Bytes: 2, Largest: 1, Concurrent: 1, PeakSessions: 2, PeakRequests: 2, PeakBytes: 2},
		},
		"two at a time, in two seconds": {
			[]seen{{0, 1, syn, 9, "", 0}, {1, 2, syn, 9, "", 0}, {2000, 1, fin, 10, "", 1}, {2001, 2, fin, 10, "", 1}, {2002, 3, syn, 9, "", 0}, {2003, 3, rst, 10, "", 0}},
			Survey{Matching: 6, Sessions: 3, Complete: 3, Concurrent: 2, PeakSessions: 2},
		},
		"late packets of what is over": {
			[]seen{{0, 1, syn, 9, "", 0}, {1, 1, fin, 10, "", 1}, {2, 1, ack, 11, "", 2}, {60_000, 2, rst, 10, "", 0}, {60_001, 1, rst, 11, "", 0}},
			Survey{Matching: 5, Sessions: 1, Complete: 1, Concurrent: 1, PeakSessions: 1},
		},
		"TLS and SSH": {
			[]seen{{0, 1, syn, 9, "", 0}, {1, 1, data, 10, "\x16\x03\x01\x00\x05\x01", 1}, {2, 2, syn, 9, "", 0}, {3, 2, data, 10, "SSH-2.0-x", 1}},
			Survey{Matching: 4, Sessions: 2, Open: 2, TLS: 1, SSH: 1, Requests: 2, Bytes: 15, Largest: 9, Concurrent: 2, PeakSessions: 2, PeakRequests: 2, PeakBytes: 15},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := survey(c.in)
			c.want.Packets = uint64(len(c.in))
			if d := cmp.Diff(&c.want, got, cmpopts.IgnoreUnexported(Survey{}), cmpopts.IgnoreFields(Survey{}, "First", "Last")); d != "" {
				t.Error(d)
			}
			var text strings.Builder
			if err := got.Print(&text); err != nil || !strings.Contains(text.String(), "sessions         ") {
				t.Errorf("%v\n%s", err, text.String())
			}
		})
	}
}

func TestACutPacketIsTold(t *testing.T) {
	s := new(Survey)
	s.Match(&packet.Segment{Flags: data, Payload: []byte("ab"), Len: 100, Time: epoch})
	s.Finish()
	if s.Truncated != 1 || s.Complete != 0 || s.Largest != 100 {
		t.Errorf("%+v", s)
	}
}

func TestASurveyForgetsConnectionsThatAreOver(t *testing.T) {
	s := new(Survey)
	for i := range 100_000 {
		e := packet.Endpoint{Port: uint16(i)}
		at := epoch + int64(i)*100e6
		s.Match(&packet.Segment{Src: e, Flags: syn, Time: at})
		s.Match(&packet.Segment{Src: e, Flags: rst, Seq: 1, Time: at})
	}
	if n := len(s.flows); n > 1000 {
		t.Errorf("%d connections are remembered", n)
	}
	if s.Finish(); s.Complete != 100_000 {
		t.Errorf("%d are complete", s.Complete)
	}
}

func TestProgressIsALineOfItsTerminal(t *testing.T) {
	p := Progress{Read: 50, Size: 100, Runs: 1, Elapsed: 10e9, Recorded: 63e9, Sessions: 12, Turns: 5000, Reproduced: 0.9998}
	if got, want := p.Line(120), "[####################--------------------]  50 % 1m3s recorded  12 sessions  500 requests/s  99.98 % copied  10s left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for width := range 200 {
		if n := len(p.Line(width)); n > max(width-1, 0) {
			t.Errorf("%d columns in a terminal of %d", n, width)
		}
	}
	p = Progress{Read: 50, Runs: 0, Run: 3, Elapsed: 1e9}
	if got := p.Line(120); strings.Contains(got, "left") || strings.Contains(got, "%%") || !strings.Contains(got, "run 4") {
		t.Errorf("without an end: %q", got)
	}
}
