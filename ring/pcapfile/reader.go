// Package pcapfile reads recordings of packets as package ring reads them from
// the network: pcap and pcapng files, compressed or not, several at once in the
// order of time. It streams: memory does not grow with the length of a file.
package pcapfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Stdin is the name of standard input among the files.
const Stdin = "-"

// bufferSize is how much is read at once.
const bufferSize = 256 << 10

// Error is that of a recording that cannot be read, or not to its end.
type Error struct {
	Path   string
	Offset int64 // bytes that were understood, of the unpacked recording
	Cut    bool  // it ends within a record, as when its writer was killed
	Err    error
}

func (e *Error) Error() string {
	switch {
	case e.Cut:
		return fmt.Sprintf("%s: ends within a record that begins at byte %d: %d bytes before it are good", e.Path, e.Offset, e.Offset)
	case e.Offset > 0:
		return fmt.Sprintf("%s: broken at byte %d: %v: what comes behind it is lost", e.Path, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Reader reads one recording. Next and Close belong to one goroutine.
type Reader struct {
	path   string
	file   *os.File
	raw    counter // what was read of the file
	plain  counter // what was unpacked
	packed bool
	used   atomic.Int64 // of plain, by Next
	buffer *bufio.Reader
	unpack func() // frees the decompressor

	packets func() ([]byte, gopacket.CaptureInfo, error) // pcapgo's
	link    layers.LinkType                              // of a pcap file; of a pcapng file each packet has its own
	mixed   bool
	time    int64
	tag     uint16
	tagged  bool
}

// counter counts what passes from r. Any goroutine may load n.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// Open opens the recording at path; Stdin is standard input. Its errors are
// of type *Error.
func Open(path string) (*Reader, error) {
	r := &Reader{path: path, file: os.Stdin, unpack: func() {}}
	if path != Stdin {
		f, err := os.Open(path)
		if err != nil {
			return nil, &Error{Path: path, Err: errors.Unwrap(err)}
		}
		r.file = f
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
	}
	if err := r.begin(); err != nil {
		r.Close()
		return nil, &Error{Path: path, Err: err}
	}
	return r, nil
}

// begin finds out what the recording is.
func (r *Reader) begin() error {
	r.raw.r = r.file
	if err := r.unpacked(bufio.NewReaderSize(&r.raw, bufferSize)); err != nil {
		return err
	}
	r.buffer = bufio.NewReaderSize(&r.plain, bufferSize)
	magic, err := r.buffer.Peek(4)
	switch {
	case err == io.EOF && len(magic) == 0:
		return errors.New("is empty: not even the header of a recording is there")
	case err != nil && err != io.EOF:
		return err
	case string(magic) == "\x0a\x0d\x0d\x0a": // section header block
		// bufio.NewReader in it returns our buffer, so that offsets are known.
		ng, err := pcapgo.NewNgReader(r.buffer, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		if err != nil {
			return notARecording(err)
		}
		r.packets, r.mixed = ng.ZeroCopyReadPacketData, true
		return nil
	}
	p, err := pcapgo.NewReader(r.buffer)
	if err != nil {
		return notARecording(err)
	}
	r.packets, r.link = p.ZeroCopyReadPacketData, p.LinkType()
	if _, ok := linkLayers[r.link]; !ok {
		return fmt.Errorf("its link type %d (%v) carries no IP that tcpcopy knows how to find: record again with tcpdump -i any or on Ethernet", r.link, r.link)
	}
	return nil
}

func notARecording(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("is no recording of tcpdump's or Wireshark's (%v): pcap and pcapng are read, also packed by gzip, zstd or lz4", err)
}

// Next puts the next packet into f, whose Data is valid until the following
// call. Data is empty where the packet is not IP. The error is io.EOF at the
// end and an *Error where the recording is broken; it is final.
func (r *Reader) Next(f *ring.Frame) error {
	at := r.offset()
	r.used.Store(at)
	data, ci, err := r.packets()
	if err != nil {
		// Of a pcap file it may also come behind a record's header.
		if err == io.EOF && (r.mixed || r.offset() == at) {
			return io.EOF
		}
		cut := err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
		return &Error{Path: r.path, Offset: at, Cut: cut, Err: err}
	}
	link := r.link
	if r.mixed {
		link, _ = ci.AncillaryData[0].(layers.LinkType)
	}
	if !ci.Timestamp.IsZero() { // simple packets of pcapng have none
		r.time = ci.Timestamp.UnixNano()
	}
	*f = ring.Frame{Time: r.time}
	r.tagged = false
	if strip := linkLayers[link]; strip != nil {
		r.strip(f, strip, data, ci.Length)
	}
	return nil
}

// strip fills f with the packet that data, of wire bytes, carries.
func (r *Reader) strip(f *ring.Frame, link linkLayer, data []byte, wire int) {
	n, protocol, ok := link(data)
	for ok && tagProtocol(protocol) && len(data) >= n+4 {
		if !r.tagged { // a capture of ours has the first one taken off
			r.tagged, r.tag = true, be16(data[n:])
		}
		protocol = be16(data[n+2:])
		n += 4
	}
	if !ok || n > len(data) || protocol != unix.ETH_P_IP && protocol != unix.ETH_P_IPV6 {
		return
	}
	f.Data = data[n:]
	f.Wire = max(wire-n, len(f.Data))
	f.Protocol = protocol
}

// Tag is the outer VLAN tag of the last packet (IEEE 802.1Q: priority, DEI,
// identifier).
func (r *Reader) Tag() (tci uint16, ok bool) { return r.tag, r.tagged }

// offset is how many bytes of the unpacked recording were used.
func (r *Reader) offset() int64 { return r.plain.n.Load() - int64(r.buffer.Buffered()) }

// Read is how many bytes of the file were used; of a packed one, how many were
// read. Any goroutine may call it.
func (r *Reader) Read() int64 {
	if r.packed {
		return r.raw.n.Load()
	}
	return r.used.Load()
}

// Close closes the file, but not standard input.
func (r *Reader) Close() {
	r.unpack()
	if r.path != Stdin {
		_ = r.file.Close() // nothing was written
	}
}
