package sli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// Bounds on what an HTTP server can make squall hold.
const (
	maxBody      = 1 << 20 // bytes of an answer's body that are read
	maxHeader    = 64 << 10
	maxRedirects = 10
)

// HTTP is an SLI that sends a request. Its latency runs until the first MiB of the
// answer's body was read; it is ok where the status is an expected one. An attempt
// that runs into the timeout has the timeout as its latency; one that fails faster
// has none.
type HTTP struct {
	URL             string            `yaml:"url" required:"true" doc:"Where the request goes." example:"http://127.0.0.1:8080/health"`
	Method          string            `yaml:"method" default:"GET" enum:"GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS" doc:"The request's method."`
	Headers         map[string]string `yaml:"headers" doc:"Headers of the request."`
	Body            string            `yaml:"body" doc:"The request's body."`
	Status          []Status          `yaml:"status" doc:"The statuses that are ok, as codes or classes; 2xx and 3xx where this is left out." example:"[200, 3xx]"`
	Limit           quantity.Duration `yaml:"timeout" doc:"The longest that one attempt may take, at most the sampling interval. The interval, but at most 5s, where this is left out." example:"500ms"`
	FollowRedirects int               `yaml:"followRedirects" default:"0" doc:"How many redirects are followed, at most 10. With 0 the redirect itself is the answer."`
	TLS             TLS               `yaml:"tls" doc:"How the server is verified, and the client's certificate."`
}

// Unit is Latency.
func (h *HTTP) Unit() Unit { return Latency }

// Timeout is the longest that one attempt may take, 0 where left out.
func (h *HTTP) Timeout() time.Duration { return h.Limit.D() }

// Endpoint returns where the requests go.
func (h *HTTP) Endpoint() (host string, port int) { return endpointOf(h.URL) }

// Check reports what is wrong with the definition.
func (h *HTTP) Check(at strict.Value) strict.Problems {
	problems := checkURL(h.URL, at.Field("url"))
	problems = append(problems, checkHeaders(h.Headers, at.Field("headers"))...)
	problems = append(problems, checkTimeout(h.Limit, at)...)
	if h.FollowRedirects < 0 || h.FollowRedirects > maxRedirects {
		problems = append(problems, at.Field("followRedirects").Problemf("followRedirects must be between 0 and %d", maxRedirects))
	}
	if h.Body != "" && (h.Method == http.MethodGet || h.Method == http.MethodHead) {
		problems = append(problems, at.Field("body").Problemf("a %s request carries no body", h.Method).WithHint("write `method: POST`"))
	}
	return problems
}

// Open prepares the client. Connections are reused from one attempt to the next.
func (h *HTTP) Open(Env) (Sampler, error) {
	client, err := newClient(&h.TLS, h.FollowRedirects)
	if err != nil {
		return nil, err
	}
	request, err := newRequest(h.Method, h.URL, h.Headers)
	if err != nil {
		return nil, err
	}
	return &httpSampler{client: client, request: request, body: []byte(h.Body), status: h.Status}, nil
}

type httpSampler struct {
	client  *http.Client
	request *http.Request
	body    []byte
	status  []Status
}

// Close frees the idle connections.
func (s *httpSampler) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s *httpSampler) Sample(ctx context.Context) Sample {
	request := s.request.Clone(ctx)
	if len(s.body) > 0 {
		request.Body = io.NopCloser(bytes.NewReader(s.body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(s.body)), nil }
		request.ContentLength = int64(len(s.body))
	}
	start := time.Now()
	response, err := s.client.Do(request)
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxBody))
		defer func() { _ = response.Body.Close() }() // what was measured is measured
	}
	switch {
	case ctx.Err() != nil || isTimeout(err):
		return timedOut(ctx, start)
	case err != nil:
		return failed("%s", httpReason(err))
	case !expected(s.status, response.StatusCode):
		return failed("the status is %s", response.Status)
	}
	return Sample{Value: time.Since(start).Seconds(), HasValue: true, OK: true}
}

// Status is an HTTP status code, or a class of them: "200", "2xx".
type Status string

// UnmarshalText reads a Status.
func (s *Status) UnmarshalText(text []byte) error {
	lower := strings.ToLower(string(text))
	if digit, class := strings.CutSuffix(lower, "xx"); class && len(digit) == 1 && digit[0] >= '1' && digit[0] <= '5' {
		*s = Status(lower)
		return nil
	}
	if code, err := strconv.Atoi(lower); err == nil && len(lower) == 3 && code >= 100 && code <= 599 {
		*s = Status(lower)
		return nil
	}
	return fmt.Errorf("%q is no HTTP status: write a code from 100 to 599, or a class like 2xx", text)
}

// Noun is what people call a Status.
func (Status) Noun() string { return "status" }

// JSONSchema describes the notation of a Status.
func (Status) JSONSchema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "integer", "minimum": 100, "maximum": 599},
		map[string]any{"type": "string", "pattern": "^([1-5][0-9]{2}|[1-5][xX]{2})$"},
	}}
}

func expected(statuses []Status, code int) bool {
	if len(statuses) == 0 {
		return code >= 200 && code <= 399
	}
	text := strconv.Itoa(code)
	for _, s := range statuses {
		if string(s) == text || strings.HasSuffix(string(s), "xx") && s[0] == text[0] {
			return true
		}
	}
	return false
}

// newClient returns a client of its own for one SLI: one connection at a time,
// reused, and bounds on everything that the other side can send. A proxy is taken
// from the environment, except for loopback addresses.
func newClient(options *TLS, redirects int) (*http.Client, error) {
	config, err := options.config()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        config,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeader,
		// What the service sends is measured as it is, and no small answer can
		// unpack to a large one.
		DisableCompression: true,
	}
	follow := func(_ *http.Request, via []*http.Request) error {
		switch {
		case redirects == 0:
			return http.ErrUseLastResponse
		case len(via) > redirects:
			return fmt.Errorf("more than %d redirects", redirects)
		}
		return nil
	}
	return &http.Client{Transport: transport, CheckRedirect: follow}, nil
}

func newRequest(method, address string, headers map[string]string) (*http.Request, error) {
	request, err := http.NewRequest(method, address, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request to %q: %w", address, err)
	}
	request.Header.Set("User-Agent", "squall")
	for name, value := range headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// httpReason leaves out the method and the URL that net/http puts before an error:
// the SLI's name says as much.
func httpReason(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return err.Error()
}

func endpointOf(address string) (host string, port int) {
	u, err := url.Parse(address)
	if err != nil {
		return "", 0
	}
	port = 80
	if u.Scheme == "https" {
		port = 443
	}
	if written, err := strconv.Atoi(u.Port()); err == nil {
		port = written
	}
	return u.Hostname(), port
}

func checkURL(address string, at strict.Value) strict.Problems {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return strict.Problems{at.Problemf("url cannot be read: %v", err)}
	case u.Scheme != "http" && u.Scheme != "https":
		return strict.Problems{at.Problemf("url must begin with http:// or https://").WithHint("write `url: http://%s`", address)}
	case u.Hostname() == "":
		return strict.Problems{at.Problemf("url names no host")}
	}
	if port := u.Port(); port != "" {
		if _, err := parsePort(port); err != nil {
			return strict.Problems{at.Problemf("url: %v", err)}
		}
	}
	return nil
}

func parsePort(text string) (int, error) {
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%q is not a port: write a number from 1 to 65535", text)
	}
	return port, nil
}

// checkHeaders holds names to the tokens of RFC 9110, section 5.6.2, and values to
// one line.
func checkHeaders(headers map[string]string, at strict.Value) (problems strict.Problems) {
	for _, key := range at.Keys() {
		name, _ := key.Scalar()
		token := func(r rune) bool {
			return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
		}
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !token(r) }) {
			problems = append(problems, key.Problemf("%q is not the name of a header", name))
		}
		if strings.ContainsFunc(headers[name], func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			problems = append(problems, at.Field(name).Problemf("the header %q holds a line break or another control character", name))
		}
	}
	return problems
}

func checkTimeout(timeout quantity.Duration, at strict.Value) strict.Problems {
	if at.Has("timeout") && timeout.D() < time.Millisecond {
		return strict.Problems{at.Field("timeout").Problemf("timeout must be 1ms or more").WithHint("leave it out for the default")}
	}
	return nil
}

// splitAddress reads "host:port".
func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not a host and a port", address)
	}
	if host == "" {
		return "", 0, fmt.Errorf("%q names no host", address)
	}
	port, err = parsePort(text)
	return host, port, err
}
