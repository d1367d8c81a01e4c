package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/injectortest/filler"
	"github.com/squallhq/squall/injectors/target"
	"github.com/squallhq/squall/safety/deadman"
	"github.com/squallhq/squall/safety/journal"
)

// TestMain lets the test binary be its own deadman.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "deadman" {
		_, err := deadman.Serve(context.Background(), deadman.ServeOptions{
			Journal: os.Args[2],
			Revert: func(ctx context.Context, path string) error {
				return engine.Recover(ctx, injectors.NewRegistry(filler.Injector()), path).Err
			},
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// fixed resolves every selector to the same targets.
type fixed []injectors.Target

func (f fixed) Resolve(context.Context, any) (target.Matches, error) {
	return target.Matches{Targets: f}, nil
}

// bench is a host with the filler injector, a directory to fill and a service to
// watch.
type bench struct {
	t       *testing.T
	host    engine.Host
	dir     string
	url     string
	healthy atomic.Bool
	events  []engine.Event
}

func newBench(t *testing.T, more ...*injectors.Injector) *bench {
	b := &bench{t: t, dir: t.TempDir()}
	b.healthy.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !b.healthy.Load() {
			http.Error(w, "broken", http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	state := t.TempDir()
	if err := os.Chmod(state, 0o700); err != nil {
		t.Fatal(err)
	}
	b.host = engine.Host{
		Registry: injectors.NewRegistry(append(more, filler.Injector())...),
		Resolver: fixed{{Kind: injectors.KindProcess, ID: "1@1", Name: "one", Why: "the test says so"}},
		StateDir: state,
		Deadman: func(ctx context.Context, path string, deadline time.Duration) (engine.Deadman, error) {
			return deadman.Start(ctx, deadman.Options{Argv: []string{os.Args[0], "deadman"}, Journal: path, Deadline: deadline})
		},
	}
	return b
}

const header = `apiVersion: squall/v1
kind: Experiment
metadata: {name: test}
spec:
  baseline: 300ms
  recovery: 5s
  targets:
    one: {process: {pid: 1}}
  slis:
    web: {http: {url: "%s"}, every: 50ms}
`

// plan loads the rest of a spec, with DIR for the directory to fill, and plans it.
func (b *bench) plan(rest string) *engine.Plan {
	b.t.Helper()
	text := fmt.Sprintf(header, b.url) + strings.ReplaceAll(rest, "DIR", b.dir)
	documents, problems := experiments.Load("test.yaml", []byte(text), engine.Vocabulary(b.host.Registry))
	if len(problems) > 0 {
		b.t.Fatal(problems)
	}
	program, problems := engine.Compile(documents.Experiments[0])
	if len(problems) > 0 {
		b.t.Fatal(problems)
	}
	plan, err := engine.BuildPlan(b.t.Context(), b.host, documents.Experiments[0], program)
	if err != nil {
		b.t.Fatal(err)
	}
	return plan
}

// run runs a plan; on is called with every event.
func (b *bench) run(ctx context.Context, plan *engine.Plan, on func(engine.Event)) *engine.Result {
	b.t.Helper()
	result := engine.NewRun(b.host, plan, func(event engine.Event) {
		b.events = append(b.events, event)
		if on != nil {
			on(event)
		}
	}).Do(ctx)
	b.t.Logf("%s: %s", result.Verdict, result.Reason)
	return result
}

// files counts what the filler has in.
func (b *bench) files() int {
	entries, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return len(entries)
}

// expect checks a verdict, and that nothing is left: no effect, no journal.
func (b *bench) expect(result *engine.Result, verdict engine.Verdict, reason string) {
	b.t.Helper()
	if result.Verdict != verdict || !strings.Contains(result.Reason, reason) {
		b.t.Errorf("verdict %s (%s), want %s (… %s …)", result.Verdict, result.Reason, verdict, reason)
	}
	if result.Rollback != engine.Clean || b.files() != 0 {
		b.t.Errorf("rollback %s with %d files left, want a clean one", result.Rollback, b.files())
	}
	if journals, err := journal.List(b.host.StateDir); err != nil || len(journals) != 0 {
		b.t.Errorf("journals %v, %v; want none", journals, err)
	}
}

const steady = `
  guards:
    admit: ['web.okRatio("300ms") > 0.9']
    abort: [{if: 'web.okRatio("200ms") < 0.5', for: 100ms}]
    pass: ['web.okRatio() > 0.9']
  faults:
    - {name: full, target: one, filler: {dir: DIR}, for: 600ms}
`

func TestHeld(t *testing.T) {
	b := newBench(t)
	seen := 0
	result := b.run(t.Context(), b.plan(steady), func(event engine.Event) {
		if event.Kind == engine.EventApplied {
			seen = b.files()
		}
	})
	b.expect(result, engine.Held, "no abort rule fired")
	if seen != 1 {
		t.Errorf("%d files while the fault was in, want 1", seen)
	}
	fault := result.Faults[0]
	if fault.Applied == nil || fault.Reverted == nil || fault.Evidence.Touched != 4096 {
		t.Errorf("the fault's result is %+v", fault)
	}
	if result.Recovery == nil || !result.Recovery.Recovered {
		t.Errorf("recovery is %+v", result.Recovery)
	}
	if summary := result.SLIs["web"]; summary.Baseline == nil || summary.Baseline.Count == 0 || summary.Fault == nil || len(summary.Points) == 0 {
		t.Errorf("the SLI's summary is %+v", summary)
	}
}

func TestAbort(t *testing.T) {
	b := newBench(t)
	plan := b.plan(strings.ReplaceAll(steady, "600ms}", "1m}"))
	result := b.run(t.Context(), plan, func(event engine.Event) {
		switch event.Kind {
		case engine.EventApplied:
			b.healthy.Store(false)
		case engine.EventReverted:
			b.healthy.Store(true)
		}
	})
	b.expect(result, engine.Breached, "abort rule fired: web.okRatio")
	r := result.Reaction
	if r == nil || r.Breach.After(r.Detected) || r.Detected.After(r.AbortIssued) || r.AbortIssued.After(r.Clean) || r.Total <= 0 {
		t.Errorf("the reaction is %+v", r)
	}
	if result.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", result.ExitCode())
	}
}

// A service that can't be reached gives no data, and no data aborts.
func TestAbortOnMissingData(t *testing.T) {
	b := newBench(t)
	plan := b.plan(`
  guards:
    abort: ['web.p99("200ms") > duration("40ms")']
  faults:
    - {target: one, filler: {dir: DIR}, for: 1m}
`)
	result := b.run(t.Context(), plan, func(event engine.Event) {
		if event.Kind == engine.EventApplied {
			b.healthy.Store(false) // answers of 500 have no latency
		}
	})
	b.expect(result, engine.Breached, "has no data")
}

func TestStopped(t *testing.T) {
	for _, phase := range []engine.EventKind{engine.EventPhase, engine.EventApplied} {
		t.Run(string(phase), func(t *testing.T) {
			b := newBench(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			plan := b.plan(strings.ReplaceAll(steady, "600ms}", "1m}"))
			result := b.run(ctx, plan, func(event engine.Event) {
				if event.Kind == phase {
					cancel(errors.New("enough"))
				}
			})
			b.expect(result, engine.Stopped, "enough")
			if result.ExitCode() != 130 {
				t.Errorf("exit code %d, want 130", result.ExitCode())
			}
		})
	}
}

func TestNotAdmitted(t *testing.T) {
	b := newBench(t)
	b.healthy.Store(false)
	result := b.run(t.Context(), b.plan(steady), nil)
	b.expect(result, engine.Refused, "not steady to begin with")
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, `the newest sample of SLI "web" failed: `) || !strings.Contains(notes, "500") {
		t.Errorf("the notes don't say why: %q", notes)
	}
	for _, event := range b.events {
		if event.Kind == engine.EventApplied {
			t.Error("something was applied")
		}
	}
}

func TestPassRuleFails(t *testing.T) {
	b := newBench(t)
	result := b.run(t.Context(), b.plan(`
  guards:
    pass: ['web.okRatio() < 0.5']
  faults:
    - {target: one, filler: {dir: DIR}, for: 300ms}
`), nil)
	b.expect(result, engine.Breached, "pass rule failed")
}

func TestSteadyStateStaysAway(t *testing.T) {
	b := newBench(t)
	plan := b.plan(`
  guards:
    admit: ['web.okRatio("300ms") > 0.9']
  faults:
    - {target: one, filler: {dir: DIR}, for: 300ms}
`)
	plan.Experiment.Spec.Recovery /= 5
	result := b.run(t.Context(), plan, func(event engine.Event) {
		if event.Kind == engine.EventReverted {
			b.healthy.Store(false)
		}
	})
	b.expect(result, engine.Breached, "did not come back")
}

func TestApplyFails(t *testing.T) {
	b := newBench(t)
	plan := b.plan(steady)
	if err := os.Remove(b.dir); err != nil {
		t.Fatal(err)
	}
	result := b.run(t.Context(), plan, nil)
	b.expect(result, engine.Inconclusive, "cannot apply fault \"full\"")
	if result.ExitCode() != 4 {
		t.Errorf("exit code %d, want 4", result.ExitCode())
	}
}

// A fault that somebody else removed proves nothing.
func TestLost(t *testing.T) {
	b := newBench(t)
	plan := b.plan(strings.ReplaceAll(steady, "600ms}", "2500ms}"))
	result := b.run(t.Context(), plan, func(event engine.Event) {
		if event.Kind == engine.EventApplied {
			files, err := filepath.Glob(filepath.Join(b.dir, "*"))
			if err != nil || len(files) != 1 {
				t.Errorf("files %v, %v", files, err)
				return
			}
			if err := os.Remove(files[0]); err != nil {
				t.Error(err)
			}
		}
	})
	b.expect(result, engine.Inconclusive, "was gone before its time")
}

func TestRefusals(t *testing.T) {
	tests := []struct{ name, spec, want string }{
		{"overlap", `
  faults:
    - {name: a, target: one, filler: {dir: DIR}, for: 2s}
    - {name: b, target: one, filler: {dir: DIR}, at: 1s, for: 2s}
`, `faults "a" and "b" both take directory`},
		{"too many", `
  limits: {targets: 1}
  faults:
    - {target: one, filler: {dir: DIR}, for: 2s}
`, "would touch 2 targets; the limit is 1"},
		{"too large a share", `
  limits: {percent: 50}
  faults:
    - {target: one, filler: {dir: DIR}, for: 2s}
`, "2 of 2 matches (100 %); the limit is 50 %"},
		{"blinded", `
  faults:
    - {target: one, filler: {dir: DIR}, for: 2s}
`, "the fault would blind its own guard"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			one := injectors.Target{Kind: injectors.KindProcess, ID: "1@1", Name: "one"}
			two := injectors.Target{Kind: injectors.KindProcess, ID: "2@2", Name: "two"}
			if test.name == "blinded" {
				one.Addresses = loopback
			}
			b.host.Resolver = fixed{one, two}
			plan := b.plan(test.spec)
			result := b.run(t.Context(), plan, nil)
			b.expect(result, engine.Refused, test.want)
			if result.ExitCode() != 3 {
				t.Errorf("exit code %d, want 3", result.ExitCode())
			}
		})
	}
}

// Targets that share what a fault changes get it once.
func TestShared(t *testing.T) {
	b := newBench(t)
	b.host.Resolver = fixed{
		{Kind: injectors.KindProcess, ID: "1@1", Name: "one"},
		{Kind: injectors.KindProcess, ID: "2@2", Name: "two"},
	}
	plan := b.plan(steady)
	if len(plan.Steps) != 1 || len(plan.Steps[0].Shared) != 1 {
		t.Fatalf("steps %+v, want one that covers both", plan.Steps)
	}
	b.expect(b.run(t.Context(), plan, nil), engine.Held, "")
}
