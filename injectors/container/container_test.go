package container_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/container"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/hint"
)

// fault is one fault planned on one container.
type fault struct {
	*testing.T
	client   *docker.Client
	registry *injectors.Registry
	step     injectors.Step
	id       string
}

func planned(t *testing.T, spec container.Spec, from docker.Spec) fault {
	t.Helper()
	client := dockertest.Engine(t)
	c := dockertest.Run(t, client, from)
	injector := container.Injector(client)
	step, err := injector.Plan(t.Context(), &spec, targetOf(c))
	if err != nil {
		t.Fatal(err)
	}
	return fault{t, client, injectors.NewRegistry(injector), step, c.ID}
}

func (f fault) apply() {
	f.Helper()
	if err := f.registry.Apply(f.Context(), f.step.Record); err != nil {
		f.Fatal(err)
	}
}

func (f fault) revert() {
	f.Helper()
	if err := f.registry.Revert(f.Context(), f.step.Record); err != nil {
		f.Fatal(err)
	}
}

func (f fault) expect(presence injectors.Presence, touched uint64, detail string) injectors.Status {
	f.Helper()
	status, err := f.registry.Verify(f.Context(), f.step.Record)
	if err != nil {
		f.Fatal(err)
	}
	if status.Presence != presence || status.Touched != touched || !strings.Contains(status.Detail, detail) {
		f.Errorf("got %s, %d %s touched (%s); want %s, %d, %q", status.Presence, status.Touched, status.Unit, status.Detail, presence, touched, detail)
	}
	return status
}

func (f fault) inspect() docker.Container {
	f.Helper()
	return dockertest.Inspect(f.T, f.client, f.id)
}

func TestRestartPolicy(t *testing.T) {
	t.Run("does not act on SIGKILL", func(t *testing.T) {
		f := planned(t, container.Spec{Kill: sigKill}, docker.Spec{RestartPolicy: "always"})
		if len(f.step.Notes) != 1 || !strings.Contains(f.step.Notes[0], `"always" does not act`) {
			t.Errorf("the plan notes %q", f.step.Notes)
		}
		f.apply()
		f.expect(injectors.Present, 1, "exited with code 137")
		f.revert()
		f.expect(injectors.Absent, 1, "runs again")
	})
	// Docker takes a signal that is not the container's stop signal for an accident.
	t.Run("acts on another signal than the stop signal", func(t *testing.T) {
		f := planned(t, container.Spec{Kill: sigTerm}, docker.Spec{RestartPolicy: "always", StopSignal: "SIGQUIT"})
		f.apply()
		c := dockertest.Eventually(t, f.client, f.id, "be started by Docker", func(c docker.Container) bool {
			return c.State == docker.Running && c.RestartCount == 1
		})
		status := f.expect(injectors.Absent, 1, "runs again")
		if len(status.Facts) != 1 || status.Facts[0].Name != "restarts by Docker" || status.Facts[0].Value != 1 {
			t.Errorf("the figures are %v", status.Facts)
		}
		f.revert()
		if now := f.inspect(); now.PID != c.PID {
			t.Error("revert restarted what Docker had restarted")
		}
	})
}

func TestRestartedByAnother(t *testing.T) {
	f := planned(t, container.Spec{Stop: grace("1s")}, docker.Spec{})
	f.apply()
	f.expect(injectors.Present, 1, "exited")
	if err := f.client.Start(t.Context(), f.id); err != nil {
		t.Fatal(err)
	}
	pid := f.inspect().PID
	f.expect(injectors.Absent, 1, "runs again")
	f.revert()
	if f.inspect().PID != pid {
		t.Error("revert restarted what somebody else had started")
	}
}

func TestRecreatedUnderItsName(t *testing.T) {
	f := planned(t, container.Spec{Kill: sigKill}, docker.Spec{})
	name := f.inspect().Name
	f.apply()
	if err := f.client.Remove(t.Context(), f.id); err != nil {
		t.Fatal(err)
	}
	other := dockertest.Create(t, f.client, docker.Spec{Name: name})
	f.expect(injectors.Absent, 0, "somebody removed it")
	f.revert()
	if now := dockertest.Inspect(t, f.client, name); now.ID != other.ID || now.State != docker.Created {
		t.Errorf("a stranger of the same name is %s now", now.State)
	}
}

func TestUndoWaitsForHealth(t *testing.T) {
	f := planned(t, container.Spec{Kill: sigKill}, docker.Spec{
		Args: []string{"-sick-for", "1s"}, HealthCheck: dockertest.HealthCheck(),
	})
	if !strings.Contains(f.step.Undo, "healthy") {
		t.Errorf("the plan says %q", f.step.Undo)
	}
	f.apply()
	if err := f.client.Start(t.Context(), f.id); err != nil {
		t.Fatal(err)
	}
	f.expect(injectors.Present, 1, "its health is")
	f.revert()
	if c := f.inspect(); c.Health != docker.Healthy {
		t.Errorf("after revert its health is %s", c.Health)
	}
	f.expect(injectors.Absent, 1, "runs again")
}

func TestUndoIsCutShort(t *testing.T) {
	f := planned(t, container.Spec{Kill: sigKill}, docker.Spec{HealthCheck: dockertest.HealthCheck()})
	f.apply()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.registry.Revert(ctx, f.step.Record); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	f.revert()
}

func TestUndoFails(t *testing.T) {
	f := planned(t, container.Spec{Kill: sigKill}, docker.Spec{Args: []string{"-once"}})
	f.apply()
	err := f.registry.Revert(t.Context(), f.step.Record)
	if err == nil || !strings.Contains(err.Error(), "ended again with code 3") || len(hint.Of(err)) != 1 {
		t.Fatalf("got %v with hints %q", err, hint.Of(err))
	}
	f.expect(injectors.Present, 1, "exited with code 3")
}

func TestIgnoredSignal(t *testing.T) {
	f := planned(t, container.Spec{Kill: sigTerm}, docker.Spec{Args: []string{"-stubborn"}})
	f.expect(injectors.Absent, 0, "runs on")
	f.apply()
	f.expect(injectors.Absent, 0, "SIGTERM reached container")
	f.revert()
}

func TestDeliveredSignal(t *testing.T) {
	f := planned(t, container.Spec{Kill: sigHup}, docker.Spec{})
	f.apply()
	if status := f.expect(injectors.Absent, 1, "SIGHUP reached container"); status.Unit != "signals" {
		t.Errorf("it touched %s", status.Unit)
	}
}

// A stop that outlives the squall that asked for it must not end the container
// after the rollback.
func TestUndoOfAStopUnderWay(t *testing.T) {
	f := planned(t, container.Spec{Stop: grace("5s")}, docker.Spec{Args: []string{"-linger", "1500ms"}})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := f.registry.Apply(ctx, f.step.Record); err == nil {
		t.Fatal("the stop was over too soon for this test")
	}
	before := f.inspect()
	if before.State != docker.Running {
		t.Fatalf("the container is %s", before.State)
	}
	f.expect(injectors.Present, 0, "is stopping")
	f.revert()
	if now := f.inspect(); now.State != docker.Running || now.Life() == before.Life() {
		t.Errorf("after revert the container is %s since %s", now.State, now.Life())
	}
}

func TestRefusals(t *testing.T) {
	client := dockertest.Engine(t)
	for _, test := range []struct {
		name, reason string
		spec         container.Spec
		prepare      func(ctx context.Context, id string) error
	}{
		{"paused before", "is paused, not running", container.Spec{Pause: true}, client.Pause},
		{"not running", "is exited, not running", container.Spec{Kill: sigKill}, func(ctx context.Context, id string) error { return client.Stop(ctx, id, 0) }},
		{"frozen before", "stopped by a signal already", container.Spec{Kill: sigStop}, func(ctx context.Context, id string) error { return client.Kill(ctx, id, "SIGSTOP") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dockertest.Run(t, client, docker.Spec{})
			if err := test.prepare(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
			_, err := container.Injector(client).Plan(t.Context(), &test.spec, targetOf(c))
			if refusal := (*injectors.Refusal)(nil); !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, test.reason) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What somebody else paused, stopped or froze between the plan and the fault is a
// refusal: it is not the fault's to undo.
func TestTakenSincePlanned(t *testing.T) {
	for _, test := range []struct {
		name string
		spec container.Spec
		take func(f fault) error
	}{
		{"paused", container.Spec{Pause: true}, func(f fault) error { return f.client.Pause(f.Context(), f.id) }},
		{"stopped", container.Spec{Stop: grace("1s")}, func(f fault) error { return f.client.Stop(f.Context(), f.id, 0) }},
		{"frozen", container.Spec{Kill: sigStop}, func(f fault) error { return f.client.Kill(f.Context(), f.id, "SIGSTOP") }},
		{"started anew", container.Spec{Kill: sigKill}, func(f fault) error { return f.client.Restart(f.Context(), f.id, 0) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := planned(t, test.spec, docker.Spec{})
			if err := test.take(f); err != nil {
				t.Fatal(err)
			}
			before := f.inspect()
			err := f.registry.Apply(t.Context(), f.step.Record)
			if refusal := (*injectors.Refusal)(nil); !errors.As(err, &refusal) {
				t.Errorf("got %v", err)
			}
			if after := f.inspect(); after.State != before.State || after.Life() != before.Life() {
				t.Errorf("it was %s since %s and is %s since %s", before.State, before.Life(), after.State, after.Life())
			}
		})
	}
}

func TestIrreversible(t *testing.T) {
	for _, spec := range []container.Spec{{Kill: sigKill}, {Stop: grace("1s")}, {Restart: grace("1s")}, {Remove: true}} {
		f := planned(t, spec, docker.Spec{AutoRemove: true})
		if f.step.Irreversible == "" {
			t.Errorf("%v can't be undone", f.step.Actions)
		}
	}
	if f := planned(t, container.Spec{Pause: true}, docker.Spec{AutoRemove: true}); f.step.Irreversible != "" {
		t.Errorf("a pause can be undone: %s", f.step.Irreversible)
	}
}
