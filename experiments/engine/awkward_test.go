package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/safety/deadman"
	"github.com/squallhq/squall/safety/journal"
)

var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

// awkward is an injector that misbehaves as its spec says.
type awkward struct{ reverts *int }

type awkwardSpec struct {
	How string `yaml:"how" required:"true" doc:"How it misbehaves."`
}

func newAwkward(reverts *int) *injectors.Injector {
	return injectors.New[awkwardSpec, awkwardSpec]("awkward", "Misbehaves.", []injectors.Kind{injectors.KindProcess}, awkward{reverts})
}

func (awkward) Plan(_ context.Context, spec awkwardSpec, _ injectors.Target) (injectors.Planned[awkwardSpec], error) {
	planned := injectors.Planned[awkwardSpec]{Record: spec, Object: "awkward " + spec.How, Undo: "be good", Tier: injectors.TierDeadman}
	if spec.How == "irreversible" {
		planned.Irreversible = "what is gone is gone"
	}
	return planned, nil
}

func (awkward) Apply(_ context.Context, spec awkwardSpec) error {
	switch spec.How {
	case "panic":
		panic("on purpose")
	case "taken":
		return &injectors.Refusal{Reason: "somebody else was faster"}
	case "hang":
		<-hanging // whatever its context says
	}
	return nil
}

// hanging is closed to end what hangs.
var hanging = make(chan struct{})

func (a awkward) Verify(_ context.Context, spec awkwardSpec) (injectors.Status, error) {
	switch {
	case spec.How == "panic in verify" && *a.reverts == 0:
		panic("on purpose")
	case spec.How == "reluctant" && *a.reverts < 4:
		return injectors.Status{Presence: injectors.Present, Touched: 1, Detail: "not yet"}, nil
	case spec.How == "lie":
		return injectors.Status{Presence: injectors.Absent, Detail: "never was there"}, nil
	case spec.How == "over":
		return injectors.Status{Presence: injectors.Absent, Touched: 1}, nil
	case *a.reverts > 0 && spec.How != "stuck":
		return injectors.Status{Presence: injectors.Absent}, nil
	case spec.How == "idle":
		return injectors.Status{Presence: injectors.Present, Unit: "packets"}, nil
	}
	return injectors.Status{Presence: injectors.Present, Touched: 1, Detail: "sticks like glue"}, nil
}

func (a awkward) Revert(context.Context, awkwardSpec) error {
	*a.reverts++
	return nil
}

func TestAwkwardInjectors(t *testing.T) {
	tests := []struct {
		how     string
		verdict engine.Verdict
		reason  string
	}{
		{"panic", engine.Inconclusive, "squall panicked"},
		{"panic in verify", engine.Inconclusive, "squall panicked"},
		{"lie", engine.Inconclusive, "it reported success, but is absent"},
		{"over", engine.Held, ""},
		{"idle", engine.Inconclusive, "touched no packets"},
		{"taken", engine.Inconclusive, "somebody else was faster"},
		{"irreversible", engine.Refused, "can't be undone: what is gone is gone"},
	}
	for _, test := range tests {
		t.Run(test.how, func(t *testing.T) {
			var reverts int
			b := newBench(t, newAwkward(&reverts))
			plan := b.plan("\n  faults:\n    - {target: one, awkward: {how: " + test.how + "}, for: 200ms}\n")
			result := b.run(t.Context(), plan, nil)
			if result.Verdict != test.verdict || !strings.Contains(result.Reason, test.reason) {
				t.Errorf("%s (%s), want %s (… %s …)", result.Verdict, result.Reason, test.verdict, test.reason)
			}
			// What is somebody else's is not reverted.
			if wanted := test.verdict != engine.Refused && test.how != "taken"; wanted != (reverts > 0) {
				t.Errorf("reverted %d times", reverts)
			}
		})
	}
}

// What can't be put back is said loudest of all, and the journal stays.
func TestRollbackIncomplete(t *testing.T) {
	var reverts int
	b := newBench(t, newAwkward(&reverts))
	plan := b.plan("\n  faults:\n    - {name: glue, target: one, awkward: {how: stuck}, for: 200ms}\n")
	// The real deadman would go on trying after the test's end.
	b.host.Deadman = func(context.Context, string, time.Duration) (engine.Deadman, error) { return quiet{}, nil }
	run := engine.NewRun(b.host, plan, nil)
	run.SetLimits(time.Second, 600*time.Millisecond)
	result := run.Do(t.Context())
	if result.Rollback != engine.Incomplete || result.ExitCode() != 5 {
		t.Errorf("rollback %s, exit code %d; want incomplete, 5", result.Rollback, result.ExitCode())
	}
	if len(result.Left) != 1 || !strings.Contains(result.Left[0], `fault "glue" on "one": it is still there: sticks like glue`) {
		t.Errorf("left %q", result.Left)
	}
	if reverts < 2 {
		t.Errorf("reverted %d times, want more than one attempt", reverts)
	}
	journals, err := journal.List(b.host.StateDir)
	if err != nil || len(journals) != 1 {
		t.Fatalf("journals %v, %v; want the run's own", journals, err)
	}
	state, err := journal.Read(journals[0])
	if err != nil || len(state.Pending) != 1 {
		t.Errorf("pending %v, %v; want the one step", state.Pending, err)
	}
}

// quiet is a deadman that nobody needs.
type quiet struct{}

func (quiet) Extend(time.Duration) error { return nil }
func (quiet) Release() error             { return nil }
func (quiet) Died() <-chan struct{}      { return nil }

// Without its deadman a run puts everything back and ends.
func TestDeadmanDies(t *testing.T) {
	b := newBench(t)
	var process *deadman.Deadman
	start := b.host.Deadman
	b.host.Deadman = func(ctx context.Context, path string, deadline time.Duration) (engine.Deadman, error) {
		d, err := start(ctx, path, deadline)
		if err == nil {
			process = d.(*deadman.Deadman)
		}
		return d, err
	}
	plan := b.plan(strings.ReplaceAll(steady, "600ms}", "1m}"))
	result := b.run(t.Context(), plan, func(event engine.Event) {
		if event.Kind == engine.EventApplied {
			if err := syscall.Kill(process.PID(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	})
	b.expect(result, engine.Inconclusive, "the deadman died")
}

// What a dead run left in its journal is put back, newest first, and the journal
// goes.
func TestRecover(t *testing.T) {
	b := newBench(t)
	plan := b.plan(steady)
	step := plan.Steps[0]
	j, err := journal.Create(b.host.StateDir, journal.Head{Run: "dead", Experiment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{"fault": "full", "target": "one", "object": step.Object, "record": step.Record})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Intent(step.ID, payload); err != nil {
		t.Fatal(err)
	}
	if err := b.host.Registry.Apply(t.Context(), step.Record); err != nil {
		t.Fatal(err)
	}
	if all, err := engine.RecoverAll(t.Context(), b.host.Registry, b.host.StateDir); err != nil || len(all) != 0 {
		t.Fatalf("a living run was recovered: %+v, %v", all, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := engine.RecoverAll(t.Context(), b.host.Registry, b.host.StateDir)
	if err != nil || len(all) != 1 || all[0].Err != nil || len(all[0].Reverted) != 1 {
		t.Fatalf("recovered %+v, %v", all, err)
	}
	if b.files() != 0 {
		t.Errorf("%d files left", b.files())
	}
	if journals, err := journal.List(b.host.StateDir); err != nil || len(journals) != 0 {
		t.Errorf("journals %v, %v; want none", journals, err)
	}
}

// An Apply that hangs keeps the rollback from being called clean, and does not keep
// another fault in.
func TestApplyHangs(t *testing.T) {
	var reverts int
	b := newBench(t, newAwkward(&reverts))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	plan := b.plan(`
  faults:
    - {name: hung, target: one, awkward: {how: hang}, for: 1m}
    - {name: full, target: one, filler: {dir: DIR}, for: 1m}
`)
	b.host.Deadman = func(context.Context, string, time.Duration) (engine.Deadman, error) { return quiet{}, nil }
	var stopped, out time.Time
	run := engine.NewRun(b.host, plan, func(event engine.Event) {
		switch event.Kind {
		case engine.EventApplied:
			stopped = time.Now()
			cancel(errors.New("enough"))
		case engine.EventReverted:
			if event.Fault == "full" {
				out = time.Now()
			}
		}
	})
	const limit = 3 * time.Second
	run.SetLimits(limit, 2*limit)
	result := run.Do(ctx)
	if result.Rollback != engine.Incomplete || len(result.Left) != 1 || !strings.Contains(result.Left[0], "its apply did not return in time") {
		t.Errorf("rollback %s, left %q", result.Rollback, result.Left)
	}
	// What may still take effect stays pending, for the deadman and recover.
	journals, err := journal.List(b.host.StateDir)
	if err != nil || len(journals) != 1 {
		t.Fatalf("journals %v, %v; want the run's own", journals, err)
	}
	if state, err := journal.Read(journals[0]); err != nil || len(state.Pending) != 1 || !strings.HasPrefix(state.Pending[0].Step, "hung/") {
		t.Errorf("pending %v, %v; want the step that hangs", state.Pending, err)
	}
	if out.IsZero() || out.Sub(stopped) >= limit {
		t.Errorf("the other fault was out %s after the stop, want it not to wait for the one that hangs", out.Sub(stopped))
	}
	close(hanging)
}

// A fault that can't be taken out at its time ends the run: nothing more is put in
// beside it. Where the rollback then gets it out, nothing is left, and nothing is said
// to be.
func TestRevertSucceedsLate(t *testing.T) {
	var reverts int
	b := newBench(t, newAwkward(&reverts))
	plan := b.plan(`
  faults:
    - {name: slow, target: one, awkward: {how: reluctant}, for: 100ms}
    - {name: full, target: one, filler: {dir: DIR}, for: 1m}
`)
	run := engine.NewRun(b.host, plan, nil)
	run.SetLimits(time.Second, 600*time.Millisecond)
	result := run.Do(t.Context())
	b.expect(result, engine.Inconclusive, `cannot revert fault "slow" on "one": it is still there: not yet`)
	if len(result.Left) != 0 || result.Faults[0].Error != "" || result.Faults[0].Reverted == nil {
		t.Errorf("left %q, fault %+v; want it reverted without an error", result.Left, result.Faults[0])
	}
}

// A rule that fires while no fault is in has a reaction time too.
func TestAbortWithNothingIn(t *testing.T) {
	b := newBench(t)
	plan := b.plan(strings.ReplaceAll(steady, "600ms}", "100ms}") + "    - {name: later, target: one, filler: {dir: DIR}, at: 1m, for: 1s}\n")
	result := b.run(t.Context(), plan, func(event engine.Event) {
		if event.Kind == engine.EventReverted {
			b.healthy.Store(false)
		}
		if event.Kind == engine.EventAbort {
			b.healthy.Store(true)
		}
	})
	b.expect(result, engine.Breached, "abort rule fired")
	if x := result.Reaction; x == nil || x.AbortIssued.Before(x.Detected) || x.Clean.Before(x.AbortIssued) || x.Total <= 0 {
		t.Errorf("reaction %+v", x)
	}
}

// A view looks whenever it likes, even before the run begins.
func TestSnapshotAtAnyTime(t *testing.T) {
	b := newBench(t)
	run := engine.NewRun(b.host, b.plan(steady), nil)
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		pace := time.NewTicker(time.Millisecond) // leaves the service its time to answer
		defer pace.Stop()
		for {
			run.Snapshot()
			select {
			case <-done:
				return
			case <-pace.C:
			}
		}
	})
	b.expect(run.Do(t.Context()), engine.Held, "")
	close(done)
	looking.Wait()
}
