package appliance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

// webOf serves what c asks for and returns where.
func webOf(t *testing.T, c *conf.Process) (a *Appliance, address string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	out, err := openLog(log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	c.WebListen, c.LogLevel, c.LogFormat = "127.0.0.1:0", "info", "text"
	a = &Appliance{Registry: newRegistry("tool"), name: "tool", conf: c,
		tell: func(*logFile) error { return nil }}
	a.Log, _ = newLogger(c, out, false)
	stop, err := a.serveWeb()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	b, _ := os.ReadFile(log)
	return a, regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(string(b))
}

// webConfig writes the file of Prometheus's exporter-toolkit.
func webConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// users has one, prometheus, whose password is "secret": bcrypt of it, with a
// cost of 4.
const users = "basic_auth_users:\n  prometheus: $2a$04$d.A6aRjujgqw7JQQJvz8xu7rqY6pUBG9ZE1x58ODl9bChbFXv5j1u\n"

func TestWebAsksForThePasswordsOfItsConfiguration(t *testing.T) {
	_, address := webOf(t, &conf.Process{WebConfig: webConfig(t, users), Pprof: true})
	for _, path := range []string{"/", "/files/page.js", "/metrics", "/-/healthy", "/debug/pprof/"} {
		for password, status := range map[string]int{"": 401, "wrong": 401, "secret": 200} {
			r, err := http.NewRequest("GET", "http://"+address+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if password != "" {
				r.SetBasicAuth("prometheus", password)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != status {
				t.Errorf("%s with password %q: %d, want %d", path, password, resp.StatusCode, status)
			}
		}
	}
}

func TestWebSpeaksTLSWithTheCertificateOfItsConfiguration(t *testing.T) {
	cert, key, pool := certificate(t)
	file := webConfig(t, fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\n  min_version: TLS13\n", cert, key)+users)
	_, address := webOf(t, &conf.Process{WebConfig: file})
	get := func(scheme string, config *tls.Config) (*http.Response, error) {
		c := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		r, err := http.NewRequest("GET", scheme+"://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("prometheus", "secret")
		resp, err := c.Do(r)
		if err == nil {
			t.Cleanup(func() { resp.Body.Close() })
		}
		return resp, err
	}
	resp, err := get("https", &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(body), "tool_build_info") {
		t.Errorf("%d, %v: %.100s", resp.StatusCode, err, body)
	}
	if _, err := get("https", &tls.Config{}); err == nil {
		t.Error("a certificate of nobody's is taken")
	}
	if _, err := get("https", &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken, below the configuration's min_version")
	}
	if resp, err := get("http", nil); err == nil && resp.StatusCode == 200 {
		t.Error("it answers without TLS too")
	}
}

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	must(err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	must(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	parsed, err := x509.ParseCertificate(der)
	must(err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

// getter reads from address and wants a status, and a text among the answer.
func getter(t *testing.T, address string) func(path string, status int, want string) {
	return func(path string, status int, want string) {
		t.Helper()
		r, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != status || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.200q, want %d %q", path, r.StatusCode, body, status, want)
		}
	}
}

func TestWebServesMetricsAndStates(t *testing.T) {
	a, address := webOf(t, &conf.Process{})
	get := getter(t, address)
	get("/metrics", 200, `tool_build_info{goversion="go`)
	get("/metrics", 200, "process_resident_memory_bytes")
	get("/-/healthy", 200, "tool is healthy")
	get("/-/ready", 503, "tool is starting")
	a.Ready()
	get("/-/ready", 200, "tool is ready")
	get("/", 200, "<h1>tool")
	get("/else", 404, "")
}

// blindTool is a testTool that captures nothing for some reasons.
type blindTool struct {
	testTool
	why error
}

func (t *blindTool) Ready() error { return t.why }

func TestAToolThatDoesNothingOfUseIsNotReady(t *testing.T) {
	a, address := webOf(t, &conf.Process{})
	tool := new(blindTool)
	a.tool = tool
	get := getter(t, address)
	a.Ready()
	get("/-/ready", 200, "tool is ready")
	if got := a.status(); got != "all is well" {
		t.Errorf("the status is %q", got)
	}
	tool.why = errors.Join(errors.New("eth0: interface was deleted"), errors.New("eth1 is down"))
	get("/-/ready", 503, "eth0: interface was deleted; eth1 is down")
	get("/-/healthy", 200, "tool is healthy")
	if got := a.status(); got != "NOT READY: eth0: interface was deleted; eth1 is down; all is well" {
		t.Errorf("the status is %q", got)
	}
	tool.why = nil
	get("/-/ready", 200, "tool is ready")
}

func TestProfilesAreServedOnlyWhenAskedFor(t *testing.T) {
	_, address := webOf(t, &conf.Process{})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1"} {
		getter(t, address)(path, 404, "")
	}
	_, address = webOf(t, &conf.Process{Pprof: true})
	get := getter(t, address)
	get("/debug/pprof/", 200, "goroutine")
	get("/debug/pprof/heap?debug=1", 200, "heap profile")
	get("/debug/pprof/goroutine?debug=1", 200, "TestProfilesAreServedOnlyWhenAskedFor")
	get("/debug/pprof/profile?seconds=1", 200, "\x1f\x8b") // gzip
}

func TestThePageForbidsTheBrowserOtherHosts(t *testing.T) {
	_, address := webOf(t, &conf.Process{})
	for _, path := range []string{"/", "/files/page.js", "/files/page.css", "/files/icon.svg"} {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		policy := r.Header.Get("Content-Security-Policy")
		if r.StatusCode != 200 || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "connect-src 'self'") {
			t.Errorf("%s: %d, policy %q", path, r.StatusCode, policy)
		}
		for _, url := range regexp.MustCompile(`https?://[^"'\s]+`).FindAllString(string(body), -1) {
			if url != "http://www.w3.org/2000/svg" { // a name, not an address
				t.Errorf("%s names %s", path, url)
			}
		}
	}
}
