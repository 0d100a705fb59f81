package matrix

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"
)

// httpClients are the clients of the gateways. Where they can, they give each
// request a URI of its own. Production answers early: it has answered before
// the body of an upload has come.
var httpClients = []column{
	{name: "curl-get", needs: []string{"curl"}, run: curlGet},
	{name: "curl-upload", needs: []string{"curl"}, run: curlUpload(300)},
	{name: "curl-upload-loss", needs: []string{"curl", "tcpdump", "nft"}, captureLoss: 0.03, notYet: true, run: curlUpload(150)},
	{name: "ab-post", needs: []string{"ab"}, run: abPost},
	{name: "siege", needs: []string{"siege"}, run: siege},
	{name: "h2load-h1", needs: []string{"h2load"}, run: h2load("--h1")},
	{name: "h2load-h2", needs: []string{"h2load"}, http2: true, run: h2load()},
	{name: "wrk", needs: []string{"wrk"}, run: wrk},
	{name: "python-post", needs: []string{"python3"}, run: pythonPost},
}

const uploadBytes = 300_000

func curlGet(ctx context.Context, c *cell) error {
	return c.run(ctx, "curl", "-Z", "--parallel-max", "50", "-sS", "--fail", "-o", "/dev/null", c.url("/get/[1-2000]"))
}

// curlUpload waits with each body for 100 Continue.
func curlUpload(n int) func(context.Context, *cell) error {
	return func(ctx context.Context, c *cell) error {
		body, err := c.file("body", strings.Repeat("0123456789abcdef\n", uploadBytes/17+1)[:uploadBytes])
		if err != nil {
			return err
		}
		return c.run(ctx, "curl", "-Z", "--parallel-max", "10", "-sS", "--fail", "-o", "/dev/null",
			"-H", "Expect: 100-continue", "-T", body, c.url(fmt.Sprintf("/up/[1-%d]", n)))
	}
}

func abPost(ctx context.Context, c *cell) error {
	body, err := c.file("body", strings.Repeat("x", 20_000))
	if err != nil {
		return err
	}
	return c.run(ctx, "ab", "-q", "-k", "-c", "20", "-n", "2000", "-p", body, "-T", "application/octet-stream", c.url("/ab"))
}

// siege opens a connection for each request.
func siege(ctx context.Context, c *cell) error {
	conf, err := c.file("siegerc", "logging = false\nparser = false\nverbose = false\njson_output = true\nconnection = close\n")
	if err != nil {
		return err
	}
	uris, err := c.uris("/siege", 100)
	if err != nil {
		return err
	}
	return c.run(ctx, "env", "HOME="+c.Lab.Dir, "siege", "-R", conf, "-b", "-c", "20", "-r", "100", "-f", uris)
}

// h2load keeps 8 requests of each connection under way: pipelined in HTTP/1.1,
// streams in HTTP/2.
func h2load(args ...string) func(context.Context, *cell) error {
	return func(ctx context.Context, c *cell) error {
		uris, err := c.uris("/h2load", 200)
		if err != nil {
			return err
		}
		return c.run(ctx, append([]string{"h2load", "-n", "4000", "-c", "20", "-m", "8", "-i", uris}, args...)...)
	}
}

// wrkScript gives each request a URI of its own, and sends so many that all are
// answered when wrk ends by the clock.
const wrkScript = `local threads, sent = 0, 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function delay() if sent >= 2000 then return 60000 end return 0 end
function request() sent = sent + 1; return wrk.format("GET", "/wrk/" .. id .. "/" .. sent) end
`

func wrk(ctx context.Context, c *cell) error {
	script, err := c.file("wrk.lua", wrkScript)
	if err != nil {
		return err
	}
	return c.run(ctx, "wrk", "-t", "2", "-c", "20", "-d", "2s", "-s", script, c.url("/"))
}

//go:embed post.py
var postScript string

// pythonPost sends head and body in segments of their own.
func pythonPost(ctx context.Context, c *cell) error {
	script, err := c.file("post.py", postScript)
	if err != nil {
		return err
	}
	return c.run(ctx, "python3", script, c.Front)
}

// url is a path at production's server.
func (c *cell) url(path string) string { return "http://" + c.Front + path }

// uris writes a file of n URLs.
func (c *cell) uris(prefix string, n int) (file string, err error) {
	var list strings.Builder
	for i := range n {
		fmt.Fprintln(&list, c.url(fmt.Sprintf("%s/%d", prefix, i)))
	}
	return c.file(filepath.Base(prefix)+".uris", list.String())
}

// replace puts values in the place of names, which alternate in pairs.
func replace(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
