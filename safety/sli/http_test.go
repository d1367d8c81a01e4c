package sli

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/strict"
)

// document decodes an SLI as a document has it.
func document(t testing.TB, text string) Spec {
	t.Helper()
	spec, problems := decode(t, text)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return spec
}

func decode(t testing.TB, text string) (Spec, strict.Problems) {
	t.Helper()
	documents, problems := strict.Parse("sli.yaml", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	var holder struct {
		Sampler strict.Variant `yaml:",variant" variant:"sli"`
	}
	problems = documents[0].Decode(&holder, strict.Vocabulary{"sli": Choices()})
	if problems.Err() != nil {
		return nil, problems
	}
	return holder.Sampler.Spec.(Spec), nil
}

func open(t testing.TB, text string) Sampler {
	t.Helper()
	sampler, err := document(t, text).Open(Env{})
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := sampler.(io.Closer); ok {
		t.Cleanup(func() { _ = c.Close() })
	}
	return sampler
}

// sample takes one sample as Poll does.
func sample(t testing.TB, sampler Sampler, timeout time.Duration) Sample {
	t.Helper()
	return attempt(t.Context(), sampler, timeout).tidy()
}

func serve(t testing.TB, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestHTTP(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/echo":
			if r.Method != "POST" || r.Header.Get("X-Token") != "a b" || r.Host != "shop.example" || string(body) != "order" {
				w.WriteHeader(http.StatusTeapot)
			}
		case "/redirect":
			http.Redirect(w, r, "/missing", http.StatusFound)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/slow":
			time.Sleep(30 * time.Millisecond)
		}
	})
	tests := []struct {
		name, options string
		ok            bool
		err           string
	}{
		{"ok", "url: " + url, true, ""},
		{"slow", "url: " + url + "/slow", true, ""},
		{"request", "url: " + url + "/echo, method: POST, body: order, headers: {X-Token: a b, Host: shop.example}", true, ""},
		{"not found", "url: " + url + "/missing", false, "the status is 404 Not Found"},
		{"expected 404", "url: " + url + "/missing, status: [404]", true, ""},
		{"expected class", "url: " + url + "/missing, status: [500, 4xx]", true, ""},
		{"unexpected 200", "url: " + url + ", status: [204, 3xx]", false, "the status is 200 OK"},
		{"redirect is the answer", "url: " + url + "/redirect", true, ""},
		{"redirect followed", "url: " + url + "/redirect, followRedirects: 3", false, "404"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := sample(t, open(t, "http: {"+test.options+"}"), 5*time.Second)
			if got.OK != test.ok || got.HasValue != test.ok || !strings.Contains(got.Err, test.err) || test.err == "" && got.Err != "" {
				t.Errorf("%+v", got)
			}
			if test.ok && (got.Value <= 0 || got.Value > got.Took.Seconds()) {
				t.Errorf("a latency of %v s, of %v", got.Value, got.Took)
			}
			if test.name == "slow" && got.Value < 0.03 {
				t.Errorf("a latency of %v s", got.Value)
			}
		})
	}
}

func TestHTTPRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	for _, text := range []string{"http: {url: 'http://" + address + "'}", "tcp: {address: '" + address + "'}"} {
		got := sample(t, open(t, text), 5*time.Second)
		if got.OK || got.HasValue || !strings.Contains(got.Err, "connection refused") {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// A server that never answers has the timeout as its latency, exactly.
func TestTimeoutIsALatency(t *testing.T) {
	blocked := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-blocked:
		}
	})
	t.Cleanup(func() { close(blocked) })
	got := sample(t, open(t, "http: {url: '"+url+"'}"), 100*time.Millisecond)
	if got.OK || !got.HasValue || got.Value != 0.1 || !strings.Contains(got.Err, "no answer within 100ms") {
		t.Errorf("%+v", got)
	}
}

// raw serves one fixed conversation to every connection, whatever it asks.
func raw(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Read(make([]byte, 4096)) // the request
			talk(connection)
			_ = connection.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return "http://" + listener.Addr().String()
}

func TestHostileServers(t *testing.T) {
	var sent atomic.Int64
	huge := func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 64<<10)
		for range 16 << 10 { // 1 GB
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	drip := func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
		for range 1000 {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	tests := []struct {
		name, text string
		check      func(Sample) bool
	}{
		{"1 GB body", "http: {url: '" + serve(t, huge) + "'}", func(s Sample) bool { return s.OK && s.HasValue }},
		{"drip", "http: {url: '" + raw(t, drip) + "'}", func(s Sample) bool { return !s.OK && s.Value == 0.3 }},
		{"redirect circle", "http: {url: '" + serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}) + "', followRedirects: 10}", func(s Sample) bool { return !s.OK && strings.Contains(s.Err, "more than 10 redirects") }},
		{"1 GB Prometheus", "prometheus: {url: '" + serve(t, huge) + "', query: up}", func(s Sample) bool { return !s.OK && strings.Contains(s.Err, "larger than 1048576 bytes") }},
		{"huge header", "http: {url: '" + raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
		}) + "'}", func(s Sample) bool { return !s.OK && !s.HasValue }},
		{"escape in the status", "http: {url: '" + raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 \x1b[2Jgone\r\nContent-Length: 0\r\n\r\n")
		}) + "'}", func(s Sample) bool { return !s.OK && s.Err != "" && !strings.Contains(s.Err, "\x1b") }},
		{"no HTTP at all", "http: {url: '" + raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Repeat("\x00\xff", 1000))
		}) + "'}", func(s Sample) bool { return !s.OK && !s.HasValue }},
		{"closes at once", "http: {url: '" + raw(t, func(net.Conn) {}) + "'}", func(s Sample) bool { return !s.OK && !s.HasValue }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sampler := open(t, test.text)
			timeout := 10 * time.Second
			if test.name == "drip" {
				timeout = 300 * time.Millisecond
			}
			if got := sample(t, sampler, timeout); !test.check(got) {
				t.Errorf("%+v", got)
			}
		})
	}
	if sent := sent.Load(); sent > 256<<20 {
		t.Errorf("the server of 1 GB could send %d MB", sent>>20)
	}
}

// The connection is made once, and used for every attempt.
func TestHTTPReusesConnections(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	sampler := open(t, "http: {url: '"+server.URL+"'}")
	for range 10 {
		if got := sample(t, sampler, 5*time.Second); !got.OK {
			t.Fatalf("%+v", got)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("10 attempts made %d connections", n)
	}
}

// A proxy from the environment must not stand between squall and loopback.
func TestHTTPIgnoresProxyForLoopback(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	if got := sample(t, open(t, "http: {url: '"+url+"'}"), 5*time.Second); !got.OK {
		t.Errorf("%+v", got)
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail on purpose
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		tls string
		ok  bool
	}{
		{"", false},
		{"tls: {insecureSkipVerify: true}", true},
		{fmt.Sprintf("tls: {ca: %q}", ca), true},
		{fmt.Sprintf("tls: {ca: %q, serverName: example.com}", ca), true},
		{fmt.Sprintf("tls: {ca: %q, serverName: other.test}", ca), false},
	}
	for _, test := range tests {
		got := sample(t, open(t, "http: {url: '"+server.URL+"', "+test.tls+"}"), 5*time.Second)
		if got.OK != test.ok || !test.ok && !strings.Contains(got.Err, "certificate") {
			t.Errorf("%s: %+v", test.tls, got)
		}
	}
	for _, options := range []string{fmt.Sprintf("ca: %q", t.TempDir()), "ca: /no/such/file", "ca: /etc/hostname", "cert: /etc/hostname, key: /etc/hostname"} {
		if _, err := document(t, "http: {url: 'https://a', tls: {"+options+"}}").Open(Env{}); err == nil || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	sampler := open(t, "tcp: {address: '"+listener.Addr().String()+"'}")
	if got := sample(t, sampler, 5*time.Second); !got.OK || !got.HasValue || got.Value <= 0 {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if got := sampler.Sample(ctx); got.OK || !strings.Contains(got.Err, "no answer within") {
		t.Errorf("out of time: %+v", got)
	}
}

func TestEndpoint(t *testing.T) {
	tests := map[string]string{
		"http: {url: 'http://127.0.0.1:8080/x'}":            "127.0.0.1 8080",
		"http: {url: 'http://shop/x'}":                      "shop 80",
		"http: {url: 'https://[::1]/x'}":                    "::1 443",
		"tcp: {address: '[fe80::1%eth0]:5432'}":             "fe80::1%eth0 5432",
		"prometheus: {url: 'http://p:9090/pre', query: up}": "p 9090",
	}
	for text, want := range tests {
		host, port := document(t, text).(interface{ Endpoint() (string, int) }).Endpoint()
		if got := fmt.Sprint(host, " ", port); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Every rule of Check has a document that breaks it.
func TestBrokenDefinitions(t *testing.T) {
	tests := []struct{ text, problem string }{
		{"http: {url: 'ftp://a'}", "must begin with http://"},
		{"http: {url: '127.0.0.1:80'}", "url"},
		{"http: {url: 'http:///x'}", "names no host"},
		{"http: {url: 'http://a:99999'}", "is not a port"},
		{"http: {url: \"http://a/\\u0000\"}", "url cannot be read"},
		{"http: {url: 'http://a', timeout: 0s}", "1ms or more"},
		{"http: {url: 'http://a', followRedirects: 11}", "between 0 and 10"},
		{"http: {url: 'http://a', body: x}", "carries no body"},
		{"http: {url: 'http://a', method: get}", "cannot be `get`"},
		{"http: {url: 'http://a', status: [ok]}", "no HTTP status"},
		{"http: {url: 'http://a', status: [99]}", "no HTTP status"},
		{"http: {url: 'http://a', headers: {'a b': c}}", "not the name of a header"},
		{"http: {url: 'http://a', headers: {a: \"b\\r\\nc: d\"}}", "line break"},
		{"http: {url: 'http://a', tls: {ca: ca.pem}}", "absolute path"},
		{"http: {url: 'http://a', tls: {cert: /a}}", "belong together"},
		{"tcp: {address: localhost}", "not a host and a port"},
		{"tcp: {address: ':80'}", "names no host"},
		{"tcp: {address: 'a:http'}", "is not a port"},
		{"prometheus: {url: 'http://a', query: ' '}", "query is empty"},
		{"docker: {container: ''}", "container"},
		{"docker: {container: a, metric: network}", "cannot be `network`"},
		{"command: {argv: []}", "names no program"},
		{"command: {argv: [./x]}", "relative path"},
		{"command: {argv: ['curl -f http://a']}", "line for a shell"},
		{"command: {argv: [\"echo\", \"a\\0b\"]}", "zero byte"},
	}
	for _, test := range tests {
		_, problems := decode(t, test.text)
		if err := problems.Err(); err == nil || !strings.Contains(err.Error(), test.problem) || problems[0].Position.Line != 1 {
			t.Errorf("%s: %v; want %q", test.text, err, test.problem)
		}
	}
}
