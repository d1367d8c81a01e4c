package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/require"
	"github.com/squallhq/squall/internal/testbed"
	"github.com/squallhq/squall/safety/deadman"
)

// interval is the sampling interval of BenchmarkReaction.
const interval = 100 * time.Millisecond

const degrading = `apiVersion: squall/v1
kind: Experiment
metadata: {name: degrading}
spec:
  targets:
    host: {netns: {name: %s}}
  slis:
    web: {http: {url: "%s"}, every: %s}
  guards:
    abort: ['web.okRatio("200ms") < 1.0']
  faults:
    - {name: cut, target: host, network: {partition: drop}, for: 1m}
  baseline: 300ms
  recovery: 0s
`

// BenchmarkReaction is the time from the first bad answer of a service until the last
// fault is verified gone, with a real network fault in a real namespace. Run it with
// -benchtime 50x. What squall itself needs is what is above the wait for the next
// sample, which no tool can save; x-interval is the p99 as a multiple of it. fsync is
// the limit below which a journaled revert can't come on this disk.
func BenchmarkReaction(b *testing.B) {
	require.Root(b)
	network, err := testbed.New(fmt.Sprintf("sqbench-%d", os.Getpid()))
	if err != nil {
		b.Fatal(err)
	}
	defer network.Close() //nolint:errcheck // a benchmark's own network
	target, err := network.AddHost("a")
	if err != nil {
		b.Fatal(err)
	}
	var bad atomic.Bool
	var first atomic.Int64 // when the first bad answer was given, since start
	start := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if bad.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			first.CompareAndSwap(0, int64(time.Since(start)))
		}
	}))
	defer server.Close()
	b.Setenv("SQUALL_STATE", stateDir(b))
	host, err := newHost()
	if err != nil {
		b.Fatal(err)
	}
	program := buildSquall(b)
	host.Deadman = func(ctx context.Context, path string, deadline time.Duration) (engine.Deadman, error) {
		return deadman.Start(ctx, deadman.Options{Argv: []string{program, deadmanCommand}, Journal: path, Deadline: deadline})
	}
	text := fmt.Sprintf(degrading, filepath.Base(target.NetNS), server.URL, interval)
	var reactions []float64
	for range b.N {
		bad.Store(false)
		first.Store(0)
		plan := benchPlan(b, host, text)
		result := engine.NewRun(host, plan, func(event engine.Event) {
			if event.Kind == engine.EventApplied {
				bad.Store(true)
			}
		}).Do(b.Context())
		if result.Reaction == nil || result.Rollback != engine.Clean {
			b.Fatalf("%s: %s", result.Verdict, result.Reason)
		}
		reactions = append(reactions, float64(result.Reaction.Clean.Sub(start)-time.Duration(first.Load()))/1e6)
	}
	slices.Sort(reactions)
	p50, p99 := reactions[len(reactions)/2], reactions[min(len(reactions)-1, len(reactions)*99/100)]
	b.ReportMetric(0, "ns/op") // the runs' own length says nothing
	b.ReportMetric(float64(interval)/1e6, "interval-ms")
	b.ReportMetric(p50, "p50-ms")
	b.ReportMetric(p99, "p99-ms")
	b.ReportMetric(p99/(float64(interval)/1e6), "x-interval")
	b.ReportMetric(fsyncTime(b), "fsync-ms")
}

// BenchmarkCheck is `squall check` of every example, process start included, against
// the start of a program that does nothing.
func BenchmarkCheck(b *testing.B) {
	program := buildSquall(b)
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		b.Fatalf("no examples: %v", err)
	}
	check := medianOf(b, func() *exec.Cmd { return exec.Command(program, append([]string{"check"}, files...)...) })
	nothing := medianOf(b, func() *exec.Cmd { return exec.Command("/bin/true") })
	info, err := os.Stat(program)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(files)), "files")
	b.ReportMetric(check, "check-ms")
	b.ReportMetric(nothing, "true-ms")
	b.ReportMetric(check/nothing, "x-true")
	b.ReportMetric(float64(info.Size())/1e6, "binary-MB")
}

// medianOf runs a command 21 times and returns the median of its time in
// milliseconds.
func medianOf(b *testing.B, command func() *exec.Cmd) float64 {
	b.Helper()
	var times []float64
	for range 21 {
		cmd := command()
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		times = append(times, float64(time.Since(start))/1e6)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// fsyncTime returns the median time of an append and its sync in the state
// directory, in milliseconds.
func fsyncTime(b *testing.B) float64 {
	b.Helper()
	file, err := os.Create(filepath.Join(os.Getenv("SQUALL_STATE"), "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(file.Name()) //nolint:errcheck // a temporary file
	defer file.Close()           //nolint:errcheck // nobody reads it
	var times []float64
	for range 50 {
		start := time.Now()
		if _, err := file.WriteString("0123456789abcdef\n"); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
		times = append(times, float64(time.Since(start))/1e6)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func benchPlan(b *testing.B, host engine.Host, text string) *engine.Plan {
	b.Helper()
	documents, problems := experiments.Load("bench.yaml", []byte(text), engine.Vocabulary(host.Registry))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	program, problems := engine.Compile(documents.Experiments[0])
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	plan, err := engine.BuildPlan(context.Background(), host, documents.Experiments[0], program)
	if err != nil {
		b.Fatal(err)
	}
	return plan
}

// stateDir makes a state directory.
func stateDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
