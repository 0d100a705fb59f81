package testbed

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// A Recorder writes a recording, a packet each millisecond.
type Recorder struct {
	t    testing.TB
	b    bytes.Buffer
	w    *pcapgo.Writer
	At   time.Time // of the last packet
	path string
}

// NewRecorder begins one.
func NewRecorder(t testing.TB) *Recorder {
	r := &Recorder{t: t, At: time.Unix(1_700_000_000, 0), path: filepath.Join(t.TempDir(), "a.pcap")}
	r.w = pcapgo.NewWriter(&r.b)
	Must(t, r.w.WriteFileHeader(65536, layers.LinkTypeRaw))
	return r
}

// Add writes a packet, a millisecond behind the last one.
func (r *Recorder) Add(f *ring.Frame) {
	r.At = r.At.Add(time.Millisecond)
	Must(r.t, r.w.WritePacket(gopacket.CaptureInfo{Timestamp: r.At, CaptureLength: len(f.Data), Length: f.Wire}, f.Data))
}

// File ends the recording.
func (r *Recorder) File() string {
	Must(r.t, os.WriteFile(r.path, r.b.Bytes(), 0o600))
	return r.path
}
