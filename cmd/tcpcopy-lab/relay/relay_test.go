package relay

import (
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/lab"
)

// network is a lab's whose relay runs; a stream goes from the client to the
// target by way of it.
func network(t *testing.T, c Config) *lab.Small {
	t.Helper()
	if os.Geteuid() != 0 {
		if testing.Short() {
			t.Skip("needs root")
		}
		t.Fatal("needs root: the lab makes network namespaces")
	}
	l, err := lab.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	n, err := l.NewSmall(lab.Options{Offload: true, Assistants: 1, Relay: true})
	if err != nil {
		t.Fatal(err)
	}
	var r *Relay
	if err := n.Relay.Do(func() (err error) {
		r, err = Open(c, "eth0", "eth1")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.Close()
	})
	return n
}

// The online host's addresses have no return route by way of the assistant.
func dial(t *testing.T, n *lab.Small, addr string) (from, to net.Conn) {
	t.Helper()
	var ln net.Listener
	if err := n.Target.Do(func() (err error) {
		ln, err = net.Listen("tcp", addr)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := n.Online.Do(func() (err error) {
		from, err = net.DialTimeout("tcp", addr, 20*time.Second)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	to, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{from, to} {
		c.SetDeadline(time.Now().Add(30 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return from, to
}

func TestTCPGetsThroughABadWire(t *testing.T) {
	for name, addr := range map[string]string{"IPv4": lab.TargetAddr4 + ":80", "IPv6": "[" + lab.TargetAddr6 + "]:80"} {
		t.Run(name, func(t *testing.T) {
			n := network(t, Config{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.01, Duplicate: 0.01, Seed: 1})
			from, to := dial(t, n, addr)
			text := make([]byte, 300_000)
			rand.NewChaCha8([32]byte{}).Read(text)
			go func() {
				from.Write(text)
				from.(*net.TCPConn).CloseWrite()
			}()
			sum := sha256.New()
			if k, err := io.Copy(sum, to); err != nil || [32]byte(sum.Sum(nil)) != sha256.Sum256(text) {
				t.Errorf("%d bytes of %d came, or others: %v", k, len(text), err)
			}
		})
	}
}

func TestTheDelayIsThatOfBothWays(t *testing.T) {
	const delay = 20 * time.Millisecond
	n := network(t, Config{Delay: delay})
	from, to := dial(t, n, lab.TargetAddr4+":80")
	go io.Copy(to, to)
	for range 3 {
		start := time.Now()
		if _, err := from.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(from, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 2*delay {
			t.Errorf("there and back in %v, want at least %v", took, 2*delay)
		}
	}
}

func TestAWireThatLosesAllLetsTheHostsFindEachOtherOnly(t *testing.T) {
	n := network(t, Config{Loss: 1})
	if err := n.Online.Do(func() error {
		c, err := net.DialTimeout("tcp", lab.TargetAddr4+":80", 300*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	}); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("connect: %v, want a timeout", err)
	}
}
