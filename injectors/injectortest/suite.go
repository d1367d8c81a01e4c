// Package injectortest is the conformance suite: it holds an injector to the
// promises of the contract, on the real thing.
//
//	injectortest.Run(t, injectortest.Suite{
//		Injector: filler.Injector,
//		Fresh:    func(t *testing.T) (any, injectors.Target) { … },
//		Observe:  func(t *testing.T, target injectors.Target) string { … },
//	})
package injectortest

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
)

// Suite says how to try an injector. Each test has a target of its own.
type Suite struct {
	// Injector returns a new instance. What an instance remembers must not matter:
	// the suite reverts with other instances than the one that applied.
	Injector func() *injectors.Injector
	// Fresh makes a target and a specification (a pointer to the injector's own type)
	// for a fault on it. It leaves what it made to t.Cleanup.
	Fresh func(t *testing.T) (spec any, target injectors.Target)
	// Observe describes all that the fault could change about the target. Two
	// descriptions are equal where nothing has changed. It is called with targets
	// that Destroy took away, too.
	Observe func(t *testing.T, target injectors.Target) string
	// Destroy makes the target go away, as if somebody had removed it in the middle of
	// a fault. Nil leaves that out.
	Destroy func(t *testing.T, target injectors.Target)
	// Foreign puts something in the place of the effect that no fault of squall's made.
	// Nil leaves that out: nothing can be in its place.
	Foreign func(t *testing.T, target injectors.Target)

	// Momentary is set for an effect that is over once it was made: after Apply it is
	// Absent with something touched.
	Momentary bool
	// Irreversible is set for an effect that Revert can't take back. Plan must say so.
	Irreversible bool
	// Parallel is set where fresh targets have nothing to do with each other, so that
	// tests can run at the same time. The search for leaks runs alone all the same.
	Parallel bool
}

// Run holds the injector to the contract.
func Run(t *testing.T, s Suite) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *trial)
		skip bool
		// Parallel tests wait until those that run alone have ended.
		alone bool
	}{
		{name: "plan is read-only and complete", run: plan},
		{name: "plan obeys its context", run: planCancelled},
		{name: "applied, verified and reverted", run: lifecycle},
		{name: "a second apply fails", run: applyTwice},
		{name: "revert without apply", run: revertOnly},
		{name: "revert after an interrupted apply", run: interrupted},
		{name: "eight reverts at once", run: revertTogether},
		{name: "the target is gone before apply", run: goneBefore, skip: s.Destroy == nil},
		{name: "the target is gone after apply", run: goneAfter, skip: s.Destroy == nil},
		{name: "something foreign is in its place", run: foreign, skip: s.Foreign == nil},
		{name: "nothing leaks", run: leaks, alone: true},
	} {
		if test.skip {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			if s.Parallel && !test.alone {
				t.Parallel()
			}
			test.run(t, begin(t, s))
		})
	}
}

// limit bounds every single step of a test.
const limit = time.Minute

// trial is one fault planned on one fresh target.
type trial struct {
	Suite
	spec   any
	target injectors.Target
	before string // what Observe said before anything happened
	step   injectors.Step
	in     bool // applied, and not reverted since
}

func begin(t *testing.T, s Suite) *trial {
	t.Helper()
	spec, target := s.Fresh(t)
	f := &trial{Suite: s, spec: spec, target: target}
	f.before = f.Observe(t, target)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	step, err := s.Injector().Plan(ctx, spec, target)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	f.step = step
	t.Cleanup(func() { // whatever the test left in
		if !f.in {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
		defer cancel()
		if err := f.registry().Revert(ctx, f.step.Record); err != nil {
			t.Errorf("the last revert: %v", err)
		}
	})
	return f
}

// registry returns a registry of a new instance: another process, as it were.
func (f *trial) registry() *injectors.Registry { return injectors.NewRegistry(f.Injector()) }

func (f *trial) apply(t *testing.T) {
	t.Helper()
	if err := f.tryApply(t); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

func (f *trial) tryApply(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	f.in = true
	return f.registry().Apply(ctx, f.step.Record)
}

func (f *trial) revert(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := f.registry().Revert(ctx, f.step.Record); err != nil {
		t.Fatalf("revert: %v", err)
	}
	f.in = false
}

func (f *trial) verify(t *testing.T) injectors.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	status, err := f.registry().Verify(ctx, f.step.Record)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	complete(t, status)
	return status
}

// complete checks what every status must have.
func complete(t *testing.T, status injectors.Status) {
	t.Helper()
	switch status.Presence {
	case injectors.Present, injectors.Absent, injectors.Foreign:
	default:
		t.Errorf("the presence is %q", status.Presence)
	}
	if status.Detail == "" || strings.ContainsAny(status.Detail, "\r\n") {
		t.Errorf("the detail is not one line: %q", status.Detail)
	}
	if status.Touched > 0 && status.Unit == "" {
		t.Errorf("%d of what was touched?", status.Touched)
	}
	for _, fact := range status.Facts {
		if fact.Name == "" {
			t.Errorf("a figure has no name: %v", fact)
		}
	}
}

// applied checks the status that follows Apply.
func (f *trial) applied(t *testing.T, status injectors.Status) {
	t.Helper()
	switch {
	case f.Momentary && (status.Presence != injectors.Absent || status.Touched == 0):
		t.Fatalf("after apply: %s, %d %s touched (%s); want it over, with something touched", status.Presence, status.Touched, status.Unit, status.Detail)
	case !f.Momentary && status.Presence != injectors.Present:
		t.Fatalf("after apply: %s (%s)", status.Presence, status.Detail)
	}
}

// untouched checks that the world is what it was before the fault.
func (f *trial) untouched(t *testing.T, when string) {
	t.Helper()
	if now := f.Observe(t, f.target); now != f.before {
		t.Fatalf("%s, the world has changed.\nbefore: %s\nnow:    %s", when, f.before, now)
	}
}

// gone checks that nothing is left of the effect.
func (f *trial) gone(t *testing.T, when string) {
	t.Helper()
	if status := f.verify(t); status.Presence == injectors.Present {
		t.Fatalf("%s, the effect is there: %s", when, status.Detail)
	}
	if !f.Irreversible {
		f.untouched(t, when)
	}
}

func plan(t *testing.T, f *trial) {
	f.untouched(t, "after plan")
	step := f.step
	if len(step.Actions) == 0 || step.Undo == "" || step.Object == "" || step.Backend == "" || step.Reason == "" {
		t.Errorf("the plan leaves something unsaid: %+v", step.Planned)
	}
	for _, line := range append([]string{step.Undo, step.Object, step.Irreversible}, append(step.Actions, step.Notes...)...) {
		if strings.ContainsAny(line, "\r\n") {
			t.Errorf("a line of the plan has a break: %q", line)
		}
	}
	switch step.Tier {
	case injectors.TierKernel, injectors.TierDeadman, injectors.TierJournal:
	default:
		t.Errorf("the tier is %q", step.Tier)
	}
	if (step.Irreversible != "") != f.Irreversible {
		t.Errorf("irreversible: %q", step.Irreversible)
	}
	if status := f.verify(t); status.Presence != injectors.Absent || status.Touched != 0 {
		t.Errorf("before apply: %s, %d %s touched (%s)", status.Presence, status.Touched, status.Unit, status.Detail)
	}
	throughJSON(t, step.Record)
}

// throughJSON checks that a record is the same after a trip through a journal,
// which may lay its JSON out anew.
func throughJSON(t *testing.T, record injectors.Record) {
	t.Helper()
	written, err := json.MarshalIndent(record, " ", "\t")
	if err != nil {
		t.Fatal(err)
	}
	var read injectors.Record
	if err := json.Unmarshal(written, &read); err != nil {
		t.Fatal(err)
	}
	var before, after bytes.Buffer
	if json.Compact(&before, record.Data) != nil || json.Compact(&after, read.Data) != nil || !bytes.Equal(before.Bytes(), after.Bytes()) {
		t.Errorf("the record is %s before and %s after a trip through JSON", record.Data, read.Data)
	}
}

func planCancelled(t *testing.T, f *trial) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan error, 1)
	go func() {
		_, err := f.Injector().Plan(ctx, f.spec, f.target)
		done <- err
	}()
	select {
	case err := <-done: // a plan that needs no waiting may succeed
		t.Logf("a cancelled plan: %v", err)
	case <-time.After(limit):
		t.Fatal("plan goes on though its context has ended")
	}
	f.untouched(t, "after a cancelled plan")
}

func lifecycle(t *testing.T, f *trial) {
	f.apply(t)
	f.applied(t, f.verify(t))
	if !f.Momentary && f.Observe(t, f.target) == f.before {
		t.Errorf("after apply nothing has changed, by what Observe sees: %s", f.before)
	}
	f.revert(t)
	f.gone(t, "after revert")
	f.revert(t)
	f.gone(t, "after a second revert")
}

func applyTwice(t *testing.T, f *trial) {
	f.apply(t)
	with := f.Observe(t, f.target)
	if err := f.tryApply(t); err == nil {
		t.Error("apply succeeded twice")
	}
	if now := f.Observe(t, f.target); now != with {
		t.Errorf("a second apply changed something.\nbefore: %s\nnow:    %s", with, now)
	}
	f.applied(t, f.verify(t))
	f.revert(t)
	f.gone(t, "after revert")
}

func revertOnly(t *testing.T, f *trial) {
	f.revert(t)
	f.untouched(t, "after a revert without apply")
	if status := f.verify(t); status.Presence == injectors.Present {
		t.Errorf("the effect is there: %s", status.Detail)
	}
}
