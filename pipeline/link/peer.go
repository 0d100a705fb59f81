package link

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/pipeline/reply"
)

// noticeInterval bounds how often a link is told that flows were refused.
const noticeInterval = 5 * time.Second

// peer is a server's end of one connection.
type peer struct {
	server *Server
	conn   net.Conn
	r      *frameReader
	out    *outbox
	start  time.Time // of the stamps in pings

	hello  hello
	claims []netip.Prefix
	outlet *reply.Outlet

	rtt       atomic.Int64 // ns
	refused   atomic.Uint64
	noticed   time.Time
	endpoints []packet.Endpoint // reused
}

func newPeer(s *Server, conn net.Conn) (*peer, error) {
	out, err := newOutbox(conn, &s.totals)
	if err != nil {
		return nil, err
	}
	return &peer{server: s, conn: conn, r: newFrameReader(conn), out: out, start: time.Now()}, nil
}

// open goes through the handshake and puts the link into the router. A peer
// that is refused is told why.
func (p *peer) open() error {
	err := p.greet()
	if err == nil {
		err = p.join()
	}
	var refusal refusal
	var fault FrameError
	if errors.As(err, &refusal) || errors.As(err, &fault) {
		p.refuse(err.Error())
	}
	return err
}

// refusal is an error that the peer shall read.
type refusal string

func (r refusal) Error() string { return string(r) }

func (p *peer) refuse(text string) {
	p.conn.SetWriteDeadline(time.Now().Add(Silence))
	p.conn.Write(appendText(nil, TypeError, text))
	// A close with unread bytes is a reset, which can overtake the text.
	if c, ok := p.conn.(*net.TCPConn); ok {
		c.CloseWrite()
		c.SetReadDeadline(time.Now().Add(Heartbeat))
		for {
			if _, _, err := p.r.next(); err != nil {
				return
			}
		}
	}
}

// greet exchanges hellos and proofs.
func (p *peer) greet() error {
	cfg := &p.server.cfg
	theirs, err := p.expect(TypeHello)
	if err != nil {
		return err
	}
	if err := decodeHello(theirs, &p.hello); err != nil {
		return err
	}
	if p.hello.Count == 0 {
		return ErrValue
	}
	theirs = append([]byte(nil), theirs...)
	mine := appendHello(nil, &hello{
		Secret:   cfg.Secret != "",
		Instance: p.server.instance,
		Nonce:    nonce(),
		Name:     cfg.Name,
	})
	if _, err := p.conn.Write(mine); err != nil {
		return err
	}
	if p.hello.Secret != (cfg.Secret != "") {
		return refusal(secretMismatch(cfg.Secret != "", "intercept", "tcpcopy"))
	}
	if cfg.Secret == "" {
		return nil
	}
	got, err := p.expect(TypeProof)
	if err != nil {
		return err
	}
	if !hmac.Equal(got, proof(cfg.Secret, proofClient, theirs, mine[headerLen:])) {
		return refusal("tcpcopy has another secret: give both ends the same")
	}
	_, err = p.conn.Write(appendFrame(nil, TypeProof, proof(cfg.Secret, proofServer, theirs, mine[headerLen:])))
	return err
}

// join reads the claims and registers them.
func (p *peer) join() error {
	for more := true; more; {
		b, err := p.expect(TypeClaims)
		if err != nil {
			return err
		}
		if p.claims, more, err = decodeClaims(b, p.claims); err != nil {
			return err
		}
	}
	s := p.server
	if s.cfg.Admit != nil {
		for _, c := range p.claims {
			if err := s.cfg.Admit(c); err != nil {
				return refusal(err.Error())
			}
		}
	}
	s.joining.Lock()
	defer s.joining.Unlock()
	if s.cfg.Single && !s.only(p.hello.Instance) {
		return refusal("this intercept serves one tcpcopy only (--single) and has it already")
	}
	return p.out.opening(func() error {
		outlet, err := s.cfg.Router.Join(reply.Member{
			ID:     p.hello.Instance,
			Name:   p.hello.Name,
			Index:  int(p.hello.Index),
			Count:  int(p.hello.Count),
			Claims: p.claims,
		}, p.out)
		if err != nil {
			return refusal(err.Error())
		}
		p.outlet = outlet
		s.enter(p)
		return nil
	})
}

// expect reads the next frame, which is of type want or an error.
func (p *peer) expect(want Type) ([]byte, error) {
	t, b, err := p.r.next()
	switch {
	case err != nil:
		return nil, err
	case t == want:
		return b, nil
	case t == TypeError:
		return nil, p.departure(b)
	}
	return nil, ErrType
}

// departure is the error of a peer that says why it leaves.
func (p *peer) departure(b []byte) error {
	text, err := decodeText(b)
	if err != nil {
		return err
	}
	return fmt.Errorf("tcpcopy left: %s", text)
}

// read takes the client's frames until the connection ends.
func (p *peer) read() error {
	for {
		if !p.r.buffered() {
			p.conn.SetReadDeadline(time.Now().Add(Silence))
		}
		t, b, err := p.r.next()
		if err == nil {
			err = p.handle(t, b)
		}
		var fault FrameError
		switch {
		case err == nil:
		case errors.As(err, &fault):
			p.out.send(appendText(nil, TypeError, err.Error()))
			return err
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("silent for %v", Silence)
		default:
			return err
		}
	}
}

// handle acts on one frame.
func (p *peer) handle(t Type, b []byte) (err error) {
	router := p.server.cfg.Router
	switch t {
	case TypeFlowSync:
		switch {
		case len(b) != 1:
			return exactly(b, 1)
		case b[0] == syncBegin:
			router.BeginList(p.outlet)
		case b[0] == syncEnd:
			router.EndList(p.outlet)
		default:
			return ErrReserved
		}
	case TypeFlowAdd:
		if p.endpoints, err = decodeFlows(b, p.endpoints[:0]); err != nil {
			return err
		}
		p.addFlows(p.endpoints)
	case TypeFlowDel:
		if p.endpoints, err = decodeFlows(b, p.endpoints[:0]); err != nil {
			return err
		}
		router.DelFlows(p.outlet, p.endpoints)
	case TypeUrgent:
		urgent, err := decodeUrgent(b)
		if err != nil {
			return err
		}
		p.outlet.SetUrgent(urgent)
	case TypePing:
		q, err := decodePing(b)
		if err != nil {
			return err
		}
		p.out.send(appendPong(nil, q.Stamp))
	case TypePong:
		stamp, err := decodePong(b)
		if err != nil {
			return err
		}
		if rtt := p.now() - stamp; rtt < uint64(time.Hour) { // the stamp comes from the peer
			p.rtt.Store(int64(rtt))
		}
	case TypeError:
		return p.departure(b)
	default:
		return ErrType
	}
	return nil
}

// addFlows claims es but for those that may not be, which it counts.
func (p *peer) addFlows(es []packet.Endpoint) {
	var why error
	admitted := es
	if admit := p.server.cfg.Admit; admit != nil {
		admitted = es[:0]
		for _, e := range es {
			a := e.Addr.Netip()
			if err := admit(netip.PrefixFrom(a, a.BitLen())); err != nil {
				why = err
				continue
			}
			admitted = append(admitted, e)
		}
	}
	refused := len(es) - len(admitted)
	if n := p.server.cfg.Router.AddFlows(p.outlet, admitted); n > 0 {
		refused += n
		if why == nil {
			why = fmt.Errorf("%d clients' addresses and ports are another tcpcopy's already", n)
		}
	}
	if refused == 0 {
		return
	}
	p.refused.Add(uint64(refused))
	if now := time.Now(); now.Sub(p.noticed) > noticeInterval {
		p.noticed = now
		p.out.send(appendText(nil, TypeNotice, why.Error()))
	}
}

// now is the clock of the pings.
func (p *peer) now() uint64 { return uint64(time.Since(p.start)) }

func (p *peer) ping() {
	p.out.send(appendPing(nil, ping{Stamp: p.now(), Dropped: p.out.dropped.Load(), Refused: p.refused.Load()}))
}
