package session

// Seq is a sequence number of TCP: a position in a stream of bytes that wraps
// around at 2^32 (RFC 9293, 3.4). Two of them compare only within 2^31 of each
// other, which every window of TCP keeps to.
type Seq uint32

// Before reports whether s comes before t.
func (s Seq) Before(t Seq) bool { return int32(s.Sub(t)) < 0 }

// Add is the position n bytes behind s.
func (s Seq) Add(n uint32) Seq { return s + Seq(n) }

// Sub is how many bytes s is behind t.
func (s Seq) Sub(t Seq) uint32 { return uint32(s - t) }

// Max is the later one.
func (s Seq) Max(t Seq) Seq {
	if s.Before(t) {
		return t
	}
	return s
}

// Min is the earlier one.
func (s Seq) Min(t Seq) Seq {
	if s.Before(t) {
		return s
	}
	return t
}
