package container_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/container"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/injectors/injectortest"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/quantity"
)

func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }

const (
	sigHup  container.Signal = 1
	sigKill container.Signal = 9
	sigTerm container.Signal = 15
	sigStop container.Signal = 19
)

func grace(text string) *container.Grace {
	d, err := quantity.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return &container.Grace{Timeout: d}
}

func targetOf(c docker.Container) injectors.Target {
	return injectors.Target{Kind: injectors.KindContainer, ID: c.ID, Name: c.Name, PID: c.PID}
}

func TestConformance(t *testing.T) {
	client := dockertest.Engine(t)
	checked := docker.Spec{HealthCheck: dockertest.HealthCheck()}
	for _, test := range []struct {
		name                    string
		spec                    container.Spec
		from                    docker.Spec
		momentary, irreversible bool
		foreign                 func(*testing.T, injectors.Target)
	}{
		{name: "kill", spec: container.Spec{Kill: sigKill}, from: docker.Spec{RestartPolicy: "always"}},
		{name: "kill with a health check", spec: container.Spec{Kill: sigTerm}, from: checked},
		{name: "kill with a signal that does not end it", spec: container.Spec{Kill: sigHup}, momentary: true},
		{name: "kill that freezes", spec: container.Spec{Kill: sigStop}},
		{name: "kill of an --rm container", spec: container.Spec{Kill: sigKill}, from: docker.Spec{AutoRemove: true}, momentary: true, irreversible: true},
		{name: "stop", spec: container.Spec{Stop: grace("2s")}, from: docker.Spec{Args: []string{"-linger", "100ms"}}},
		{name: "pause", spec: container.Spec{Pause: true}, foreign: func(t *testing.T, target injectors.Target) {
			if err := errors.Join(client.Restart(t.Context(), target.ID, 0), client.Pause(t.Context(), target.ID)); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "restart", spec: container.Spec{Restart: grace("2s")}, momentary: true},
		{name: "remove", spec: container.Spec{Remove: true}, momentary: true, irreversible: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			injectortest.Run(t, injectortest.Suite{
				Injector: func() *injectors.Injector { return container.Injector(client) },
				Fresh: func(t *testing.T) (any, injectors.Target) {
					return &test.spec, targetOf(dockertest.Run(t, client, test.from))
				},
				Observe: func(t *testing.T, target injectors.Target) string { return observe(t, client, target.ID) },
				Destroy: func(t *testing.T, target injectors.Target) {
					if err := client.Remove(t.Context(), target.ID); err != nil && !errors.Is(err, docker.ErrNotFound) && !errors.Is(err, docker.ErrConflict) {
						t.Fatal(err)
					}
				},
				Foreign:   test.foreign,
				Momentary: test.momentary, Irreversible: test.irreversible, Parallel: true,
			})
		})
	}
}

// observe describes what a fault can change about a container.
func observe(t *testing.T, client *docker.Client, id string) string {
	t.Helper()
	c, err := client.Inspect(t.Context(), id)
	if errors.Is(err, docker.ErrNotFound) {
		return "gone"
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.State == docker.Removing {
		return "gone" // nearly
	}
	description := fmt.Sprintf("%s %s", c.State, c.Health)
	if c.State == docker.Running {
		frozen, err := client.Frozen(t.Context(), id, c.PID)
		if err != nil {
			t.Fatal(err)
		}
		description += fmt.Sprintf(" frozen=%v", frozen)
	}
	return description
}
