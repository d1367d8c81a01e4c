package sli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// Prometheus is an SLI that asks Prometheus an instant query. The answer must be a
// scalar or one series; several are an error, none is missing data, and so are NaN
// and the infinities. A sample is ok where it has a value.
type Prometheus struct {
	URL     string            `yaml:"url" required:"true" doc:"The server, with its path prefix where it has one." example:"http://127.0.0.1:9090"`
	Query   string            `yaml:"query" required:"true" doc:"A PromQL expression that yields a scalar or one series." example:"sum(rate(http_requests_total{code=~\"5..\"}[30s]))"`
	Headers map[string]string `yaml:"headers" doc:"Headers of the request, such as X-Scope-OrgID."`
	Limit   quantity.Duration `yaml:"timeout" doc:"The longest that one attempt may take, at most the sampling interval. The interval, but at most 5s, where this is left out." example:"500ms"`
	TLS     TLS               `yaml:"tls" doc:"How the server is verified, and the client's certificate."`
}

// Unit is Number.
func (p *Prometheus) Unit() Unit { return Number }

// Timeout is the longest that one attempt may take, 0 where left out.
func (p *Prometheus) Timeout() time.Duration { return p.Limit.D() }

// Endpoint returns where the queries go.
func (p *Prometheus) Endpoint() (host string, port int) { return endpointOf(p.URL) }

// Check reports what is wrong with the definition.
func (p *Prometheus) Check(at strict.Value) strict.Problems {
	problems := checkURL(p.URL, at.Field("url"))
	problems = append(problems, checkHeaders(p.Headers, at.Field("headers"))...)
	problems = append(problems, checkTimeout(p.Limit, at)...)
	if strings.TrimSpace(p.Query) == "" {
		problems = append(problems, at.Field("query").Problemf("query is empty"))
	}
	return problems
}

// Open prepares the client.
func (p *Prometheus) Open(Env) (Sampler, error) {
	client, err := newClient(&p.TLS, maxRedirects)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(p.URL)
	if err != nil {
		return nil, fmt.Errorf("cannot read the URL of Prometheus: %w", err)
	}
	address = address.JoinPath("api/v1/query")
	address.RawQuery = url.Values{"query": {p.Query}}.Encode()
	request, err := newRequest(http.MethodGet, address.String(), p.Headers)
	if err != nil {
		return nil, err
	}
	return &prometheusSampler{client, request}, nil
}

type prometheusSampler struct {
	client  *http.Client
	request *http.Request
}

// Close frees the idle connections.
func (s *prometheusSampler) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s *prometheusSampler) Sample(ctx context.Context) Sample {
	value, err := s.query(ctx)
	switch {
	case err != nil && (ctx.Err() != nil || isTimeout(err)):
		return failed("Prometheus did not answer in time")
	case err != nil:
		return failed("%s", httpReason(err))
	}
	return Sample{Value: value, HasValue: true, OK: true}
}

func (s *prometheusSampler) query(ctx context.Context) (float64, error) {
	response, err := s.client.Do(s.request.Clone(ctx))
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return 0, err
	case len(body) > maxBody:
		return 0, fmt.Errorf("the answer of Prometheus is larger than %d bytes", maxBody)
	}
	return parseAnswer(response.Status, body)
}

// answer is the envelope of Prometheus' HTTP API, version 1.
type answer struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

type series struct {
	Metric map[string]string `json:"metric"`
	Value  instant           `json:"value"`
}

// instant is [time, "value"].
type instant [2]any

// parseAnswer reads the one number out of the answer to an instant query.
func parseAnswer(status string, body []byte) (float64, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return 0, fmt.Errorf("%s, and the answer is not that of Prometheus: %w", status, err)
	}
	if a.Status != "success" {
		return 0, fmt.Errorf("the query failed: %s: %s", a.ErrorType, a.Error)
	}
	switch a.Data.ResultType {
	case "scalar":
		var scalar instant
		if err := json.Unmarshal(a.Data.Result, &scalar); err != nil {
			return 0, fmt.Errorf("cannot read the scalar: %w", err)
		}
		return scalar.number()
	case "vector":
		var vector []series
		if err := json.Unmarshal(a.Data.Result, &vector); err != nil {
			return 0, fmt.Errorf("cannot read the vector: %w", err)
		}
		switch len(vector) {
		case 0:
			return 0, errors.New("the query returned no series")
		case 1:
			return vector[0].Value.number()
		}
		return 0, severalError(vector)
	}
	return 0, fmt.Errorf("the query returned a %s, and an SLI needs a scalar or a vector of one series", a.Data.ResultType)
}

func (i instant) number() (float64, error) {
	text, ok := i[1].(string)
	if !ok {
		return 0, errors.New("the value is not a text")
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the value %q is not a number", text)
	}
	return value, nil // NaN and the infinities are Series' to refuse
}

// severalError names the first few of several series, by the labels in which they
// differ.
func severalError(vector []series) error {
	const few = 3
	var names []string
	for _, s := range vector[:min(few, len(vector))] {
		var labels []string
		for _, label := range slices.Sorted(maps.Keys(s.Metric)) {
			if !slices.ContainsFunc(vector, func(other series) bool { return other.Metric[label] != s.Metric[label] }) {
				continue
			}
			labels = append(labels, fmt.Sprintf("%s=%q", label, s.Metric[label]))
		}
		names = append(names, "{"+strings.Join(labels, ", ")+"}")
	}
	if len(vector) > few {
		names = append(names, "…")
	}
	return fmt.Errorf("the query returned %d series, and an SLI needs one (wrap it in sum() or max()): %s", len(vector), strings.Join(names, ", "))
}
