package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openLab(t *testing.T) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		if testing.Short() {
			t.Skip("needs root")
		}
		t.Fatal("needs root: the lab makes network namespaces")
	}
	l, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// answerWithName serves each connection to addr on h with the host's name.
func answerWithName(t *testing.T, h *Host, addr string) {
	t.Helper()
	var ln net.Listener
	if err := h.Do(func() (err error) {
		ln, err = net.Listen("tcp", addr)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%-8s", h.Name)
			c.Close()
		}
	}()
}

// ask connects from local on h to addr and returns who answered.
func ask(h *Host, local, addr string) (name string, err error) {
	err = h.Do(func() error {
		d := net.Dialer{Timeout: 5 * time.Second}
		if local != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
		}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		b := make([]byte, 8)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(b)
		name = strings.TrimSpace(string(b[:n]))
		return err
	})
	return name, err
}

func TestHostsOfTheSmallNetworkReachEachOtherOverBothFamilies(t *testing.T) {
	for _, offload := range []bool{true, false} {
		l := openLab(t)
		n, err := l.NewSmall(Options{Offload: offload, Assistants: 2})
		if err != nil {
			t.Fatal(err)
		}
		answerWithName(t, n.Online, ":80")
		for _, c := range []struct{ from, to string }{
			{ClientAddr4(3), OnlineAddr4 + ":80"},
			{ClientAddr6(3), "[" + OnlineAddr6 + "]:80"},
		} {
			if got, err := ask(n.Client, c.from, c.to); got != "online" {
				t.Errorf("offload %v: %s -> %s: %q, %v", offload, c.from, c.to, got, err)
			}
		}
		if !n.Online.Listening(80) || n.Online.Listening(81) {
			t.Error("Listening does not tell port 80 from port 81")
		}
	}
}

// A copied client's address is given to the assistant here, so that a plain
// connection takes the very way of a copied one: gateway, B, return route.
func TestGatewaysAnswerCopiedClientsThroughTheAssistant(t *testing.T) {
	for _, kind := range []Gateway{L4, L7} {
		t.Run(string(kind), func(t *testing.T) {
			l := openLab(t)
			n, err := l.NewSeed(kind, Options{Assistants: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Assistants[0].Addr("lo", "10.1.4.7/32"); err != nil {
				t.Fatal(err)
			}
			servers := n.B
			if kind == L7 {
				servers = []*Host{n.Gateway}
			}
			for _, s := range servers {
				answerWithName(t, s, SeedGateway+":80")
			}
			seen := map[string]int{}
			for range 40 {
				name, err := ask(n.Assistants[0], "10.1.4.7", SeedGateway+":80")
				if err != nil {
					t.Fatal(err)
				}
				seen[name]++
			}
			if len(seen) != len(servers) {
				t.Errorf("40 connections reached %v, want %d servers", seen, len(servers))
			}
			t.Logf("%s: %v", kind, seen)
		})
	}
}

func TestTwoAssistantsShareTheReturnRoute(t *testing.T) {
	l := openLab(t)
	n, err := l.NewSmall(Options{Offload: true, Assistants: 2})
	if err != nil {
		t.Fatal(err)
	}
	answerWithName(t, n.Target, ":80")
	for i, a := range n.Assistants {
		if err := a.Addr("lo", "10.1.3.7/32"); err != nil {
			t.Fatal(err)
		}
		answered := 0
		for range 12 {
			if err := a.Do(func() error {
				d := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP("10.1.3.7")}}
				c, err := d.Dial("tcp", TargetAddr4+":80")
				if err == nil {
					c.Close()
				}
				return err
			}); err == nil {
				answered++
			}
		}
		if answered == 0 || answered == 12 {
			t.Errorf("assistant %d got the replies of %d of 12 connections, want a share", i+1, answered)
		}
	}
}

func TestProcessesEndWithTheLab(t *testing.T) {
	l := openLab(t)
	h, err := l.Host("h")
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.Start(Command{Name: "sleep", Args: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	var inside, host unix.Stat_t
	unix.Stat(fmt.Sprintf("/proc/%d/ns/net", p.PID()), &inside)
	unix.Stat(filepath.Join(netnsDir, h.Namespace()), &host)
	if inside.Ino != host.Ino {
		t.Error("the process does not live in its host's namespace")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d outlives the lab: %v", p.PID(), err)
	}
	left, _ := filepath.Glob(filepath.Join(netnsDir, Prefix+l.Run+"-*"))
	if _, err := os.Stat(l.Dir); len(left) > 0 || err == nil {
		t.Errorf("left behind: %v, directory %v", left, err)
	}
}

func TestServeTellsWhyAProcessDoesNotListen(t *testing.T) {
	l := openLab(t)
	h, err := l.Host("h")
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Serve(context.Background(), Command{Name: "sh", Args: []string{"sh", "-c", "echo no port for you; exit 3"}}, 80)
	if err == nil || !strings.Contains(err.Error(), "no port for you") {
		t.Errorf("error %v does not carry the log", err)
	}
}

// The killed run is this test binary, started again.
func TestNextStartRemovesWhatAKilledRunLeft(t *testing.T) {
	if os.Getenv("LAB_TEST_HANG") != "" {
		l := openLab(t)
		h, err := l.Host("left")
		if err != nil {
			t.Fatal(err)
		}
		// setsid: no parent, no process group, as a daemon.
		p, err := h.Start(Command{Name: "daemon", Args: []string{"sh", "-c", "setsid sleep 1000 & echo $!; exec sleep 1000"}})
		if err != nil {
			t.Fatal(err)
		}
		for p.Tail(1) == "" {
			time.Sleep(time.Millisecond)
		}
		fmt.Printf("run %s %s\n", l.Run, p.Tail(1))
		select {}
	}
	running := openLab(t)
	if _, err := running.Host("mine"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestNextStartRemovesWhatAKilledRunLeft$")
	cmd.Env = append(os.Environ(), "LAB_TEST_HANG=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var run string
	var daemon int
	if _, err := fmt.Fscanf(out, "run %s %d\n", &run, &daemon); err != nil {
		cmd.Process.Kill()
		t.Fatal(err)
	}
	if runs, _ := Clean(); strings.Contains(strings.Join(runs, " "), run) {
		t.Fatal("Clean took a running lab for a dead one")
	}
	cmd.Process.Kill()
	cmd.Wait()
	runs, err := Clean()
	if err != nil || !strings.Contains(strings.Join(runs, " "), run) {
		t.Errorf("Clean removed %v, %v; want %s", runs, err, run)
	}
	if left, _ := filepath.Glob(filepath.Join(netnsDir, Prefix+run+"-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for end := time.Now().Add(5 * time.Second); syscall.Kill(daemon, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("daemon %d lives on in the removed namespace", daemon)
		}
	}
	if _, err := os.Stat(filepath.Join(netnsDir, running.Hosts()[0].Namespace())); err != nil {
		t.Errorf("a running lab's namespace is gone: %v", err)
	}
}

func TestNothingIsMissingForRoot(t *testing.T) {
	openLab(t)
	if lacks := Missing(); len(lacks) > 0 {
		t.Errorf("missing: %v", lacks)
	}
}
