package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/testbed"
	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/verdict"
)

// What is encrypted cannot be replayed. It is told by its first bytes, counted
// and kept from the target, which hears what was in the clear before it.
func TestEncryptedConnectionsAreCountedAndKeptFromTheTarget(t *testing.T) {
	conf := selfSigned(t)
	echo := func(c net.Conn) { io.Copy(c, c) }
	talkTLS := func(c net.Conn) error {
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		for range 5 {
			if _, err := s.Write(make([]byte, 1000)); err != nil {
				return err
			}
			if _, err := io.ReadFull(s, make([]byte, 1000)); err != nil {
				return err
			}
		}
		return s.Close()
	}
	const startTLS = "STARTTLS\r\n"
	for _, c := range []struct {
		reason string
		name   string
		clear  int // bytes of each connection that the target shall hear
		serve  func(net.Conn)
		client func(net.Conn) error
	}{
		{"tls", "TLS", 0, func(c net.Conn) { echo(tls.Server(c, conf)) }, talkTLS},
		{"tls", "TLS behind STARTTLS", len(startTLS), func(c net.Conn) {
			fmt.Fprint(c, "220 lab\r\n")
			if _, err := io.ReadFull(c, make([]byte, len(startTLS))); err != nil {
				return
			}
			fmt.Fprint(c, "220 go on\r\n")
			echo(tls.Server(c, conf))
		}, func(c net.Conn) error {
			greeting := make([]byte, len("220 lab\r\n"))
			if _, err := io.ReadFull(c, greeting); err != nil {
				return err
			}
			fmt.Fprint(c, startTLS)
			if _, err := io.ReadFull(c, make([]byte, len("220 go on\r\n"))); err != nil {
				return err
			}
			return talkTLS(c)
		}},
		{"ssh", "SSH", 0, func(c net.Conn) {
			fmt.Fprint(c, "SSH-2.0-lab\r\n")
			echo(c)
		}, func(c net.Conn) error {
			in := bufio.NewReader(c)
			if _, err := in.ReadString('\n'); err != nil {
				return err
			}
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n")
			for range 5 {
				message := randomBytes(1, 1000)
				if _, err := c.Write(message); err != nil {
					return err
				}
				if _, err := io.ReadFull(in, message); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const conns = 10
			p := small(t, testbed.Small{Options: lab.Options{Offload: true}, Port: conversationPort})
			p.listen(p.Online[0].Host, eachConn(c.serve))
			target := p.listen(p.Target[0].Host, eachConn(c.serve))
			p.copy()
			var said atomic.Int64
			var g errgroup.Group
			for range conns {
				g.Go(func() error {
					conn, err := p.dial()
					if err != nil {
						return err
					}
					defer conn.Close()
					return c.client(countingConn{conn, &said})
				})
			}
			p.must(g.Wait())
			// What a client's stack repeats is counted again.
			clear := int64(conns * c.clear)
			secret := said.Load() - clear
			var counted int64
			for end := time.Now().Add(10 * time.Second); (counted < secret || target.bytes() < clear) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				m, err := p.Copiers[0].Metrics()
				p.must(err)
				counted = int64(m.By("tcpcopy_dropped_payload_bytes_total", "reason")[c.reason])
			}
			if heard := target.bytes(); counted < secret || heard != clear {
				p.Errorf("%d bytes counted as %s, want %d; the target heard %d bytes, want %d", counted, c.reason, secret, heard, clear)
				p.counters()
			}
			r := &verdict.Report{}
			p.must(p.Account(r))
			if r.Tcpcopy.Unaccounted() != 0 {
				p.Errorf("tcpcopy's sums do not agree: %+v", r.Tcpcopy)
			}
			p.end()
		})
	}
}

// countingConn counts what is written to a connection. What arrives may be less: a
// server need not read all that a client says before it closes.
type countingConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (s countingConn) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.bytes.Add(int64(n))
	return n, err
}

// selfSigned is a server's TLS with a certificate of its own.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
}
