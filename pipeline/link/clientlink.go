package link

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

const (
	dialTimeout = 2 * time.Second

	// maxOps bounds the flow claims that wait for a link's writer.
	maxOps = 64 << 10

	// userTimeout is how long sent bytes may stay unacknowledged before the
	// kernel gives a connection up (tcp(7), TCP_USER_TIMEOUT). It is above
	// Silence: heartbeats are to find a dead peer first.
	userTimeout = 10 * time.Second
)

// flowOp is one change of the claimed flows.
type flowOp struct {
	packet.Endpoint
	del bool
}

// clientLink is one of a client's links, through all its connections.
type clientLink struct {
	client *Client
	index  int
	start  time.Time // of the stamps in pings

	up               atomic.Bool
	rtt              atomic.Int64 // ns
	dropped, refused carried

	mu    sync.Mutex
	open  bool     // ops are taken
	ops   []flowOp // in order
	list  bool     // the full list is to be sent first
	stamp uint64   // of the peer's last ping
	owed  bool     // it waits for its pong
	tell  bool     // the peer does not know whether replies are waited for
	wake  chan struct{}
}

func newClientLink(c *Client, index int) *clientLink {
	return &clientLink{
		client: c,
		index:  index,
		start:  time.Now(),
		wake:   make(chan struct{}, 1),
	}
}

// queue hands changes to the writer.
func (l *clientLink) queue(es []packet.Endpoint, del bool) {
	l.mu.Lock()
	switch {
	case !l.open:
		// The list that is sent on connect has what counts by then.
	case len(l.ops)+len(es) > maxOps:
		l.client.overflows.Add(uint64(len(es)))
		l.list = l.client.cfg.LiveFlows != nil
	default:
		for _, e := range es {
			l.ops = append(l.ops, flowOp{e, del})
		}
	}
	l.mu.Unlock()
	l.signal()
}

// tellUrgency has the writer tell the peer whether replies are waited for.
func (l *clientLink) tellUrgency() {
	l.mu.Lock()
	l.tell = l.open
	l.mu.Unlock()
	l.signal()
}

func (l *clientLink) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// serve opens one connection and returns why it ended. opened is called
// when it is ready to carry replies.
func (l *clientLink) serve(ctx context.Context, opened func()) error {
	conn, err := l.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(Silence))

	r := newFrameReader(conn)
	if err := l.handshake(conn, r); err != nil {
		l.client.received.Add(r.bytes)
		var fault FrameError
		if errors.As(err, &fault) {
			return l.refusal(err.Error())
		}
		return err
	}
	l.client.received.Add(r.bytes)
	in, err := newInlet(l, conn, r)
	if err != nil {
		return err
	}

	l.mu.Lock()
	l.open, l.ops, l.list, l.owed, l.tell = true, l.ops[:0], l.client.cfg.LiveFlows != nil, false, l.client.urgent.Load()
	l.mu.Unlock()
	l.signal() // for the list
	l.rtt.Store(0)
	l.up.Store(true)
	opened()
	l.client.cfg.OnOpen(l.index, in)
	err = l.write(ctx, in)
	l.up.Store(false)
	in.shut()
	select {
	case <-in.ended:
		if in.err != io.EOF { // it tells more than a write that failed
			err = in.err
		}
	case <-ctx.Done():
	}
	l.mu.Lock()
	l.open = false
	l.mu.Unlock()
	l.dropped.nextConnection()
	l.refused.nextConnection()
	return err
}

func (l *clientLink) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{
		Timeout: dialTimeout,
		// Between heartbeats this finds nothing; it keeps the state of
		// firewalls on the way.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         setUserTimeout,
	}
	if local := l.client.cfg.Local; local.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: local.AsSlice(), Zone: local.Zone()}
	}
	return d.DialContext(ctx, "tcp", l.client.cfg.Addr.String()) // TCP_NODELAY is Go's default
}

// setUserTimeout is a net.Dialer's and net.ListenConfig's Control.
func setUserTimeout(_, _ string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
	return errors.Join(cerr, err)
}

// handshake opens the link up to the server's ready.
func (l *clientLink) handshake(conn net.Conn, r *frameReader) error {
	cfg := &l.client.cfg
	mine := appendHello(nil, &hello{
		Secret:   cfg.Secret != "",
		Instance: cfg.Instance,
		Nonce:    nonce(),
		Index:    uint8(l.index),
		Count:    uint8(cfg.Conns),
		Name:     cfg.Name,
	})
	if err := l.send(conn, mine); err != nil {
		return err
	}
	theirs, err := l.expect(r, TypeHello)
	if err != nil {
		return err
	}
	var peer hello
	if err := decodeHello(theirs, &peer); err != nil {
		return err
	}
	if peer.Secret != (cfg.Secret != "") {
		return l.refusal(secretMismatch(cfg.Secret != "", "tcpcopy", "intercept"))
	}
	out := make([]byte, 0, MaxFrame)
	if cfg.Secret != "" {
		hisHello := append([]byte(nil), theirs...)
		out = appendFrame(out, TypeProof, proof(cfg.Secret, proofClient, mine[headerLen:], hisHello))
		if err := l.send(conn, out); err != nil {
			return err
		}
		p, err := l.expect(r, TypeProof)
		if err != nil {
			return err
		}
		if !hmac.Equal(p, proof(cfg.Secret, proofServer, mine[headerLen:], hisHello)) {
			return l.refusal("intercept has another secret: give both ends the same")
		}
		out = out[:0]
	}
	if err := l.send(conn, appendClaims(out, cfg.Claims)); err != nil {
		return err
	}
	_, err = l.expect(r, TypeReady)
	return err
}

// expect reads the next frame, which is of type want or an error.
func (l *clientLink) expect(r *frameReader, want Type) ([]byte, error) {
	t, p, err := r.next()
	switch {
	case err != nil:
		return nil, err
	case t == want:
		return p, nil
	case t == TypeError:
		return nil, l.refusedBy(p)
	}
	return nil, ErrType
}

// refusedBy is the error that the server ends the link with.
func (l *clientLink) refusedBy(p []byte) error {
	text, err := decodeText(p)
	if err != nil {
		return err
	}
	return l.refusal("intercept refused: " + text)
}

// refusal is an error that will not pass by itself; Stats has it.
func (l *clientLink) refusal(text string) error {
	l.client.refusal.Store(&text)
	return errors.New(text)
}

func (l *clientLink) send(conn io.Writer, b []byte) error {
	n, err := conn.Write(b)
	l.client.sent.Add(uint64(n))
	return err
}

// handle acts on a frame that does not hold replies. It runs in the goroutine of
// the inlet's owner.
func (l *clientLink) handle(t Type, p []byte) error {
	switch t {
	case TypePing:
		q, err := decodePing(p)
		if err != nil {
			return err
		}
		l.dropped.update(q.Dropped)
		l.refused.update(q.Refused)
		l.mu.Lock()
		l.stamp, l.owed = q.Stamp, true
		l.mu.Unlock()
		l.signal()
	case TypePong:
		stamp, err := decodePong(p)
		if err != nil {
			return err
		}
		if rtt := l.now() - stamp; rtt < uint64(time.Hour) { // the stamp comes from the peer
			l.rtt.Store(int64(rtt))
		}
	case TypeNotice:
		text, err := decodeText(p)
		if err != nil {
			return err
		}
		l.client.refusal.Store(&text)
		l.client.cfg.Logger.Warn("intercept: "+text, "intercept", l.client.cfg.Addr.String())
	case TypeError:
		return l.refusedBy(p)
	default:
		return ErrType
	}
	return nil
}

// now is the clock of the pings.
func (l *clientLink) now() uint64 { return uint64(time.Since(l.start)) }

// secretMismatch says which end lacks a secret.
func secretMismatch(mine bool, me, peer string) string {
	if mine {
		return fmt.Sprintf("%s has a secret and %s has none: give both the same", me, peer)
	}
	return fmt.Sprintf("%s has a secret and %s has none: give both the same", peer, me)
}
