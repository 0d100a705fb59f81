package packet

import "testing"

func TestParseOptions(t *testing.T) {
	none := Options{WindowScale: NoWindowScale}
	with := func(change func(o *Options)) Options {
		o := none
		change(&o)
		return o
	}
	tests := []struct {
		name string
		in   []byte
		want Options
	}{
		{"none", nil, none},
		{"padding", []byte{1, 1, 1, 0}, none},
		{"MSS", []byte{2, 4, 5, 180}, with(func(o *Options) { o.MSS = 1460 })},
		{"scale", []byte{3, 3, 14}, with(func(o *Options) { o.WindowScale = 14 })},
		{"scale beyond its bound", []byte{3, 3, 200}, with(func(o *Options) { o.WindowScale = 14 })},
		{"SACK permitted", []byte{4, 2}, with(func(o *Options) { o.SACKOK = true })},
		{"timestamps", []byte{8, 10, 0, 0, 1, 2, 0, 0, 0, 9}, with(func(o *Options) { o.HasTimestamp, o.TSVal, o.TSEcr = true, 258, 9 })},
		{"behind the end of the list", []byte{0, 2, 4, 5, 180}, none},
		{"unknown ones are passed over", []byte{254, 4, 9, 9, 2, 4, 5, 180}, with(func(o *Options) { o.MSS = 1460 })},
		{"Multipath TCP of a wrong length is passed over", []byte{30, 6, 0x55, 0, 0, 0, 3, 3, 4}, with(func(o *Options) { o.WindowScale = 4 })},
		{"wrong length of MSS", []byte{2, 3, 5, 4, 2}, with(func(o *Options) { o.SACKOK = true })},
		{"length zero ends the list", []byte{2, 4, 5, 180, 254, 0, 4, 2}, with(func(o *Options) { o.MSS = 1460 })},
		{"length beyond the header", []byte{4, 2, 2, 4, 5}, with(func(o *Options) { o.SACKOK = true })},
		{"kind without length", []byte{4, 2, 2}, with(func(o *Options) { o.SACKOK = true })},
		{"SACK blocks", append([]byte{1, 1, 5, 18}, sackBlocks(2)...), with(func(o *Options) {
			o.SACKCount = 2
			o.SACK = [MaxSACK]SACKBlock{{1, 2}, {3, 4}}
		})},
		{"as many SACK blocks as fit", append([]byte{1, 1, 5, 34}, sackBlocks(4)...), with(func(o *Options) {
			o.SACKCount = 4
			o.SACK = [MaxSACK]SACKBlock{{1, 2}, {3, 4}, {5, 6}, {7, 8}}
		})},
		{"half a SACK block", append([]byte{5, 14}, sackBlocks(2)[:12]...), none},
		{"no SACK block", []byte{5, 2}, none},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Options{MSS: 99, SACKCount: 3} // of the packet before
			ParseOptions(test.in, &got)
			if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func sackBlocks(n int) (b []byte) {
	for i := range 2 * n {
		b = append(b, 0, 0, 0, byte(i+1))
	}
	return b
}

// FuzzParseOptions looks for panics and for bounds that are passed.
func FuzzParseOptions(f *testing.F) {
	f.Add([]byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7})
	f.Add(append([]byte{1, 1, 5, 34}, sackBlocks(4)...))
	f.Add([]byte{5, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var o Options
		ParseOptions(b, &o)
		if o.SACKCount > MaxSACK || o.WindowScale > 14 && o.WindowScale != NoWindowScale {
			t.Errorf("%+v", o)
		}
	})
}
