package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"golang.org/x/sync/errgroup"
)

func TestProtocolsOtherThanHTTP1AreCopied(t *testing.T) {
	for _, c := range []protocol{smtp, longPoll, webSocket, expectContinue, lateReader} {
		t.Run(c.name, func(t *testing.T) { copyConversation(t, c) })
	}
}

// smtp is SMTP: the server speaks first, and every line waits for the answer
// to the one before.
var smtp = protocol{
	name: "SMTP", conns: 20,
	serve: eachConn(func(c net.Conn) {
		fmt.Fprint(c, "220 lab\r\n")
		lines := bufio.NewScanner(c)
		for body := false; lines.Scan(); {
			switch line := lines.Text(); {
			case line == "DATA":
				body = true
				fmt.Fprint(c, "354 go on\r\n")
			case line == "QUIT":
				fmt.Fprint(c, "221 bye\r\n")
				return
			case !body || line == ".":
				body = false
				fmt.Fprint(c, "250 ok\r\n")
			}
		}
	}),
	client: func(i int, dial func() (net.Conn, error)) error {
		c, err := dial()
		if err != nil {
			return err
		}
		defer c.Close()
		answers := bufio.NewReader(c)
		for n := range 10 {
			letter := strings.Repeat(fmt.Sprintf("line of letter %d of client %d\r\n", n, i), 500) + ".\r\n"
			for _, line := range []string{"HELO lab\r\n", "MAIL FROM:<a@lab>\r\n", "RCPT TO:<b@lab>\r\n", "DATA\r\n", letter} {
				if _, err := answers.ReadString('\n'); err != nil {
					return err
				}
				if _, err := io.WriteString(c, line); err != nil {
					return err
				}
			}
		}
		fmt.Fprint(c, "QUIT\r\n")
		_, err = io.Copy(io.Discard, answers)
		return err
	},
}

// longPoll answers after three seconds.
var longPoll = protocol{
	name: "long polling", conns: 10,
	serve: func(ln net.Listener) error {
		return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			fmt.Fprintln(w, "news")
		}))
	},
	client: func(i int, dial func() (net.Conn, error)) error {
		return overHTTP(dial, func(hc *http.Client) error {
			for n := range 2 {
				if _, err := answer(hc.Get(fmt.Sprintf("http://lab/poll/%d/%d", i, n))); err != nil {
					return err
				}
			}
			return nil
		})
	},
}

// expectContinue sends the body when the server has said that it wants it.
var expectContinue = protocol{
	name: "100-continue", conns: 10,
	serve: func(ln net.Listener) error {
		return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprintln(w, n)
		}))
	},
	client: func(i int, dial func() (net.Conn, error)) error {
		return overHTTP(dial, func(hc *http.Client) error {
			for n := range 10 {
				r, err := http.NewRequest("POST", fmt.Sprintf("http://lab/u/%d/%d", i, n), bytes.NewReader(randomBytes(i*100+n, 100_000)))
				if err != nil {
					return err
				}
				r.Header.Set("Expect", "100-continue")
				if text, err := answer(hc.Do(r)); err != nil || text != "100000\n" {
					return fmt.Errorf("answer %q, %v", text, err)
				}
			}
			return nil
		})
	},
}

// webSocket is both directions at once, neither waiting for the other.
var webSocket = protocol{
	name: "WebSocket", conns: 10,
	serve: func(ln net.Listener) error {
		return http.Serve(ln, websocket.Handler(func(ws *websocket.Conn) {
			go func() {
				for n := range 300 {
					websocket.Message.Send(ws, randomBytes(n, 10+n*7))
					time.Sleep(7 * time.Millisecond)
				}
				websocket.Message.Send(ws, []byte("end"))
			}()
			for {
				var message []byte
				if websocket.Message.Receive(ws, &message) != nil {
					return
				}
			}
		}))
	},
	client: func(i int, dial func() (net.Conn, error)) error {
		c, err := dial()
		if err != nil {
			return err
		}
		defer c.Close()
		conf, err := websocket.NewConfig("ws://lab/ws", "http://lab/")
		if err != nil {
			return err
		}
		ws, err := websocket.NewClient(conf, c)
		if err != nil {
			return err
		}
		var g errgroup.Group
		g.Go(func() error {
			for n := range 400 {
				if err := websocket.Message.Send(ws, randomBytes(i, 1+n*11)); err != nil {
					return err
				}
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		})
		g.Go(func() error {
			for message := []byte(nil); string(message) != "end"; {
				if err := websocket.Message.Receive(ws, &message); err != nil {
					return err
				}
			}
			return nil
		})
		return g.Wait()
	},
}

// lateReader is a client that reads the answer late, when its window is long
// closed, and whose requests are binary.
var lateReader = protocol{
	name: "a client with a closed window", conns: 5,
	serve: eachConn(func(c net.Conn) {
		request := make([]byte, 1000)
		for {
			if _, err := io.ReadFull(c, request); err != nil {
				return
			}
			if _, err := c.Write(bytes.Repeat(request, 5000)); err != nil {
				return
			}
		}
	}),
	client: func(i int, dial func() (net.Conn, error)) error {
		c, err := dial()
		if err != nil {
			return err
		}
		defer c.Close()
		for n := range 3 {
			if _, err := c.Write(randomBytes(i*10+n, 1000)); err != nil {
				return err
			}
			time.Sleep(500 * time.Millisecond)
			if _, err := io.CopyN(io.Discard, c, 5_000_000); err != nil {
				return err
			}
		}
		return nil
	},
}

// randomBytes returns n bytes that no other seed has.
func randomBytes(seed, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// overHTTP gives f a client with one connection.
func overHTTP(dial func() (net.Conn, error), f func(*http.Client) error) error {
	t := &http.Transport{
		DialContext:           func(context.Context, string, string) (net.Conn, error) { return dial() },
		MaxConnsPerHost:       1,
		ExpectContinueTimeout: 5 * time.Second,
	}
	defer t.CloseIdleConnections()
	return f(&http.Client{Transport: t})
}

func answer(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
