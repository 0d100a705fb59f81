package conf

import (
	"io"
	"math"
	"strings"
	"testing"
)

func TestRingsTakeAShareOfTheMemoryUnlessTold(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ given, most, share, want int64 }{
		{0, 128 * mib, math.MaxInt64 / 64, 128 * mib},
		{0, 128 * mib, 128 * mib, 128 * mib},
		{0, 128 * mib, 16 * mib, 16 * mib},
		{0, 128 * mib, 16*mib - 1, 15 * mib},
		{0, 64 * mib, 1, 1 * mib},
		{16 * mib, 128 * mib, 8 * mib, 16 * mib},
	} {
		got := c.given
		if err := new(parser).rings(&got, c.most, c.share); err != nil || got != c.want {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

func TestRingsTooSmallForTheWorkersAreNoted(t *testing.T) {
	const x = " -x 80-10.1.2.100 -s 10.1.2.30"
	for line, want := range map[string]string{
		"-B 16 --workers 15" + x: "",
		"-B 16 --workers 16" + x: "the rings of 16 workers take 17MiB, more than the 16MiB of capture.ring_size: raise it",
	} {
		c, err := ParseTcpcopy(words(line), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(c.Notes, "\n")
		if strings.Contains(notes, "rings of") != (want != "") || !strings.Contains(notes, want) {
			t.Errorf("%q: %q", line, notes)
		}
	}
	if _, err := ParseTcpcopy(words("-B 512KiB"+x), io.Discard); err == nil || !strings.Contains(err.Error(), "512KiB is below 1MiB") {
		t.Error(err)
	}
}
