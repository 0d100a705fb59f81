// Package message knows where the messages of a protocol begin and end in a
// byte stream, and whether the server answers them. It knows nothing of
// packets, sessions or time.
//
// A Framer follows one direction of a connection from a boundary between two
// messages on. It takes the stream in whatever runs the network cut it into,
// keeps none of it, and looks only at heads: the bytes of a body whose length
// is known are passed over, also when nobody saw them. Begins judges bytes
// behind a gap, where no Framer holds any more, and Recognize names the
// protocol of a connection.
//
// Each protocol has a file of its own (HTTP/1 three), and in protocol.go a row
// of the table and a case of follow. A Framer errs on the side of giving up: a
// stream in which it once found something malformed stays lost.
package message
