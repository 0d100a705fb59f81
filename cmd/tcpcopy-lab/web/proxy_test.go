package web

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
)

// background runs serve on an address of its own until the test ends.
func background(t *testing.T, serve func(ctx context.Context, addr string) error) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	ln.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- serve(ctx, addr) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return addr
}

func TestProxyAndBalancerShareRequestsAmongServers(t *testing.T) {
	dir := t.TempDir()
	var servers, logs []string
	for i := range 2 {
		logs = append(logs, filepath.Join(dir, fmt.Sprint(i)))
		servers = append(servers, background(t, func(ctx context.Context, addr string) error { return Serve(ctx, addr, logs[i], NoFault) }))
	}
	front := filepath.Join(dir, "front")
	proxy := background(t, func(ctx context.Context, addr string) error { return Serve(ctx, addr, front, NoFault, servers...) })
	balancer := background(t, func(ctx context.Context, addr string) error { return Balance(ctx, addr, []string{proxy}) })
	for i := range 4 {
		ask(t, balancer, "GET", fmt.Sprintf("/r/%d", i), "", "ok")
	}
	for log, want := range map[string]int{front: 4, logs[0]: 2, logs[1]: 2} {
		if entries, err := ReadLog(log, 0); err != nil || len(entries) != want {
			t.Errorf("%s has %d requests, %v; want %d", filepath.Base(log), len(entries), err, want)
		}
	}
}

func TestHAProxyTakesTheConfiguration(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Fatal("no haproxy: install it, as make test does")
	}
	args, err := HAProxy(t.TempDir(), []string{"10.1.0.11:80", "10.1.0.12:80"})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(args[0], append(args[1:], "-c")...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
