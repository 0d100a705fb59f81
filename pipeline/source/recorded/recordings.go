package recorded

import (
	"io"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
	"github.com/tcpcopy-go/tcpcopy/pipeline/match"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/recording"
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
func Survey(cfg *conf.Tcpcopy) (s *recording.Survey, err error) {
	s = new(recording.Survey)
	m, err := match.New(cfg)
	if err != nil {
		return s, err
	}
	in, err := openRecordings(cfg)
	if err != nil {
		return s, err
	}
	defer in.Close()
	defer s.Finish()
	part := recording.Schedule{From: cfg.Replay.From, To: cfg.Replay.To}
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
		case recording.Before:
			continue
		case recording.Behind:
			return s, err
		}
		s.Note(f.Time)
		var g packet.Segment
		switch _, d, ok := m.Classify(&f, &g); {
		case ok && in.passes(&f):
			s.Match(&g)
		case d == account.Fragment:
			s.Fragments++
		case d == account.ShortHeader:
			s.Malformed++
		}
	}
}
