package pcapfile

import (
	"bufio"
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// zstdWindow is the largest window that is allowed, as zstd itself does
// without --long.
const zstdWindow = 128 << 20

// packings are known by their first bytes (RFC 1952, RFC 8878, the LZ4 frame
// format).
var packings = []struct {
	magic string
	open  func(r *Reader, in io.Reader) (io.Reader, error)
}{
	{"\x1f\x8b", func(_ *Reader, in io.Reader) (io.Reader, error) { return gzip.NewReader(in) }},
	{"\x28\xb5\x2f\xfd", func(r *Reader, in io.Reader) (io.Reader, error) {
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
		if err == nil {
			r.unpack = d.Close
		}
		return d, err
	}},
	{"\x04\x22\x4d\x18", func(_ *Reader, in io.Reader) (io.Reader, error) { return lz4.NewReader(in), nil }},
}

// unpacked makes r.plain the unpacked content of in.
func (r *Reader) unpacked(in *bufio.Reader) (err error) {
	r.plain.r = in
	magic, _ := in.Peek(4) // a file that is shorter is refused later
	for _, p := range packings {
		if bytes.HasPrefix(magic, []byte(p.magic)) {
			r.packed = true
			r.plain.r, err = p.open(r, in)
		}
	}
	return err
}
