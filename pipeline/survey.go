package pipeline

import (
	"io"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/replay"
	"github.com/tcpcopy-go/tcpcopy/ring"
	"github.com/tcpcopy-go/tcpcopy/ring/filter"
	"github.com/tcpcopy-go/tcpcopy/ring/pcapfile"
)

// recordings are the files of a replay, with the filter of -F.
type recordings struct {
	*pcapfile.Set
	filter *filter.Filter // nil: none
}

// openRecordings opens cfg's. The error is of type *pcapfile.Error, unless it
// is of the filter.
func openRecordings(cfg *conf.Tcpcopy) (r recordings, err error) {
	if cfg.Filter != "" {
		if r.filter, err = filter.Compile(cfg.Filter); err != nil {
			return r, err
		}
	}
	r.Set, err = pcapfile.OpenSet(cfg.Replay.Files)
	return r, err
}

// passes asks the filter about the packet that Next returned.
func (r *recordings) passes(f *ring.Frame) bool {
	if r.filter == nil {
		return true
	}
	if tci, ok := r.Tag(); ok {
		return r.filter.MatchTagged(f.Data, tci)
	}
	return r.filter.Match(f.Data)
}

// Survey reads cfg's recordings and tells what a replay would find. With an
// error, which is a *pcapfile.Error where a recording is broken, it is of what
// could be read.
func Survey(cfg *conf.Tcpcopy) (s *replay.Survey, err error) {
	s = new(replay.Survey)
	r := newRecognizer(cfg)
	in, err := openRecordings(cfg)
	if err != nil {
		return s, err
	}
	defer in.Close()
	defer s.Finish()
	part := replay.Schedule{From: cfg.Replay.From, To: cfg.Replay.To}
	var f ring.Frame
	for {
		switch e := in.Next(&f); {
		case e == io.EOF:
			return s, err
		case e != nil:
			err = e
			continue
		}
		switch part.Locate(f.Time) {
		case replay.Before:
			continue
		case replay.Behind:
			return s, err
		}
		s.Note(f.Time)
		var g packet.Segment
		switch _, d, ok := r.take(&f, &g); {
		case ok && in.passes(&f):
			s.Match(&g)
		case d == Fragment:
			s.Fragments++
		case d == ShortHeader:
			s.Malformed++
		}
	}
}
