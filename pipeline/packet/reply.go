package packet

// Reply is what the header of a target's packet says. It is all that travels
// from intercept to tcpcopy; the payload stays behind.
type Reply struct {
	Src, Dst Endpoint // the target; the endpoint that the session shows to it
	Seq, Ack uint32
	Len      uint32 // payload bytes; up to 64 KB and more where offloads merge segments
	Flags    Flags
	Window   uint16 // as in the header, unscaled
	Options
}

// DecodeReply reads the packet b, cut to its headers and beginning at its
// network header, into r. wire is its length before the cut.
func DecodeReply(b []byte, wire int, r *Reply) Malformed {
	var s Segment
	if m := Decode(b, wire, &s); m != WellFormed {
		return m
	}
	r.Src, r.Dst = s.Src, s.Dst
	r.Seq, r.Ack, r.Len = s.Seq, s.Ack, uint32(s.Len)
	r.Flags, r.Window = s.Flags, s.Window
	ParseOptions(s.Options, &r.Options)
	return WellFormed
}
