package network

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/testbed"
	"github.com/squallhq/squall/internal/uml"
)

// requireNetem skips where this kernel has no netem. TestInKernelWithNetem runs the
// same tests where it has, and takes no skip there.
func requireNetem(t *testing.T) {
	t.Helper()
	if uml.InGuest() {
		return
	}
	if err := (netem{}).probe(); err != nil {
		t.Skipf("TestInKernelWithNetem runs this: %v", err)
	}
}

// targetOf makes a host of the testbed a target.
func targetOf(t testing.TB, host *testbed.Host) injectors.Target {
	t.Helper()
	id, err := netns.Identify(host.NetNS)
	if err != nil {
		t.Fatal(err)
	}
	return injectors.Target{Kind: injectors.KindNetNS, ID: id, Name: host.Name, NetNS: host.NetNS, NetNSID: id}
}

// registry is what a process that has only the journal uses.
func registry() *injectors.Registry { return injectors.NewRegistry(injector()) }

// applyText applies a record in its journaled form.
func applyText(text string) error {
	var record injectors.Record
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		return err
	}
	return registry().Apply(context.Background(), record)
}

// fault is one that is in, through the same door as the engine uses.
type fault struct {
	t        testing.TB
	registry *injectors.Registry
	step     injectors.Step
}

func plan(t *testing.T, spec Spec, target injectors.Target) (injectors.Step, error) {
	t.Helper()
	return injector().Plan(t.Context(), &spec, target)
}

// inject plans and applies, and takes the fault out at the end.
func inject(t testing.TB, spec Spec, host *testbed.Host) *fault {
	t.Helper()
	f := &fault{t: t, registry: registry()}
	var err error
	if f.step, err = f.registry.Lookup("network").Plan(t.Context(), &spec, targetOf(t, host)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := f.registry.Revert(ctx, f.step.Record); err != nil {
			t.Error(err)
		}
	})
	if err := f.registry.Apply(t.Context(), f.step.Record); err != nil {
		t.Fatal(err)
	}
	f.expect(f.registry, injectors.Present)
	return f
}

// expect verifies through any registry.
func (f *fault) expect(by *injectors.Registry, want injectors.Presence) injectors.Status {
	f.t.Helper()
	status, err := by.Verify(f.t.Context(), f.step.Record)
	if err != nil || status.Presence != want {
		f.t.Fatalf("Verify = %+v, %v; want %s", status, err, want)
	}
	return status
}

func (f *fault) revert(by *injectors.Registry) {
	f.t.Helper()
	if err := by.Revert(f.t.Context(), f.step.Record); err != nil {
		f.t.Fatal(err)
	}
	f.expect(by, injectors.Absent)
}

func wantRefusal(t *testing.T, err error) string {
	t.Helper()
	refusal, ok := errors.AsType[*injectors.Refusal](err)
	if !ok {
		t.Fatalf("%v is not a refusal", err)
	}
	return refusal.Reason
}

// dump returns the qdiscs of a host as the kernel's own bytes.
func dump(t *testing.T, host *testbed.Host) (raw []string) {
	t.Helper()
	err := netns.Do(host.NetNS, func() error {
		list, err := qdiscs()
		for _, q := range list {
			raw = append(raw, string(q.raw))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
