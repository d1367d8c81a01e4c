package sli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/require"
)

// prometheus starts a Prometheus that scrapes a target with the metrics of the
// test, and returns its URL once it has.
func prometheus(t *testing.T, metrics string) string {
	t.Helper()
	program := require.Prometheus(t)
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, metrics) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()

	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("scrape_configs:\n- job_name: shop\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  static_configs:\n  - targets: [%q]\n", strings.TrimPrefix(target, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = log.Close()
	})

	url := "http://" + address
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sampler := open(t, "prometheus: {url: '"+url+"', query: up == 1}")
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			output, _ := os.ReadFile(log.Name())
			t.Fatalf("Prometheus did not scrape its target within a minute:\n%s", output)
		case <-tick.C:
			if sample(t, sampler, 5*time.Second).OK {
				tick.Stop()
				return url
			}
		}
	}
}

func TestRealPrometheus(t *testing.T) {
	url := prometheus(t, `
orders{state="new"} 3
orders{state="paid"} 4
orders{state="sent"} 5
orders{state="\u001b[2J"} 6
size 12.5
nothing NaN
`)
	tests := []struct {
		query string
		value float64
		err   string
	}{
		{"sum(orders)", 18, ""},
		{"size", 12.5, ""},
		{"scalar(size) * 2", 25, ""},
		{`orders{state="new"}`, 3, ""},
		{"orders", 0, "the query returned 4 series, and an SLI needs one"},
		{"missing_metric", 0, "the query returned no series"},
		{"nothing", 0, "the value is NaN"},
		{"size / 0", 0, "the value is +Inf"},
		{"size[5m]", 0, "the query returned a matrix"},
		{`"text"`, 0, "the query returned a string"},
		{"sum(", 0, "the query failed: bad_data"},
	}
	for _, test := range tests {
		got := sample(t, open(t, fmt.Sprintf("prometheus: {url: '%s', query: %q}", url, test.query)), 10*time.Second)
		if ok := test.err == ""; got.OK != ok || got.HasValue != ok || got.Value != test.value || !strings.Contains(got.Err, test.err) || ok && got.Err != "" {
			t.Errorf("%s: %+v", test.query, got)
		}
		if test.query == "orders" && !strings.Contains(got.Err, `{state="new"}, {state="paid"}, `) {
			t.Errorf("the series are not named: %s", got.Err)
		}
	}
	behindPrefix := open(t, "prometheus: {url: '"+url+"/', query: size}")
	if got := sample(t, behindPrefix, 10*time.Second); got.Value != 12.5 {
		t.Errorf("with a slash at the URL's end: %+v", got)
	}
}

// What a server that is not Prometheus can answer.
func TestParseAnswer(t *testing.T) {
	tests := []struct{ body, err string }{
		{"", "not that of Prometheus"},
		{"<html>", "not that of Prometheus"},
		{"{}", "the query failed"},
		{`{"status":"success"}`, "returned a ,"},
		{`{"status":"success","data":{"resultType":"scalar","result":{}}}`, "cannot read the scalar"},
		{`{"status":"success","data":{"resultType":"scalar","result":[1]}}`, "not a text"},
		{`{"status":"success","data":{"resultType":"scalar","result":[1,2]}}`, "not a text"},
		{`{"status":"success","data":{"resultType":"scalar","result":[1,"x"]}}`, "not a number"},
		{`{"status":"success","data":{"resultType":"vector","result":[{}]}}`, "not a text"},
		{`{"status":"success","data":{"resultType":"vector","result":7}}`, "cannot read the vector"},
	}
	for _, test := range tests {
		if _, err := parseAnswer("200 OK", []byte(test.body)); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, want %q", test.body, err, test.err)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"2"]}]}}`))
	f.Add([]byte(`{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := parseAnswer("200 OK", body); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
