package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
)

// Verify says whether the container is as the fault leaves it.
func (v verbs) Verify(ctx context.Context, r record) (injectors.Status, error) {
	c, err := v.engine.Inspect(ctx, r.ID)
	if errors.Is(err, docker.ErrNotFound) {
		return r.gone(), nil
	}
	if err != nil {
		return injectors.Status{}, err
	}
	switch {
	case c.State == docker.Removing:
		return r.gone(), nil
	case r.Action == remove:
		return status(injectors.Absent, 0, "container %q is there: %s", r.Name, c.State), nil
	case r.Action == pause:
		return r.paused(c), nil
	case r.freezes():
		return v.frozen(ctx, r, c)
	}
	return v.ended(ctx, r, c)
}

func status(presence injectors.Presence, touched uint64, format string, args ...any) injectors.Status {
	return injectors.Status{Presence: presence, Touched: touched, Unit: "containers", Detail: fmt.Sprintf(format, args...)}
}

// gone is the status of a container that does not exist any more, or is on its way
// out: nothing is left to be reverted.
func (r record) gone() injectors.Status {
	switch {
	case r.Action == remove:
		return status(injectors.Absent, 1, "container %q is removed", r.Name)
	case r.AutoRemove && r.stops():
		return status(injectors.Absent, 1, "container %q ended, and Docker removed it (--rm)", r.Name)
	}
	return status(injectors.Absent, 0, "container %q is gone: somebody removed it", r.Name)
}

func (r record) paused(c docker.Container) injectors.Status {
	switch {
	case c.State != docker.Paused:
		return status(injectors.Absent, 0, "container %q is %s", r.Name, c.State)
	case !r.sameLife(c):
		return status(injectors.Foreign, 0, "container %q was started anew, and then paused by somebody else", r.Name)
	}
	return status(injectors.Present, 1, "container %q is paused", r.Name)
}

func (v verbs) frozen(ctx context.Context, r record, c docker.Container) (injectors.Status, error) {
	if c.State != docker.Running || !r.sameLife(c) {
		return status(injectors.Absent, 0, "container %q was stopped or started anew: its first process is another one, or none", r.Name), nil
	}
	frozen, err := v.engine.Frozen(ctx, r.ID, r.PID)
	if err != nil {
		return injectors.Status{}, err
	}
	if !frozen {
		return status(injectors.Absent, 0, "the first process of container %q goes on", r.Name), nil
	}
	return status(injectors.Present, 1, "the first process of container %q is stopped", r.Name), nil
}

// ended is the status of kill, stop and restart.
func (v verbs) ended(ctx context.Context, r record, c docker.Container) (injectors.Status, error) {
	var s injectors.Status
	switch running := c.State == docker.Running || c.State == docker.Paused; {
	case !running:
		s = status(injectors.Present, 1, "container %q is %s", r.Name, c.State)
		if c.State == docker.Exited {
			s.Detail += fmt.Sprintf(" with code %d", c.ExitCode)
			s.Facts = append(s.Facts, injectors.Fact{Name: "exit code", Value: float64(c.ExitCode)})
		}
	case r.sameLife(c):
		return v.alive(ctx, r)
	case r.wantsHealth(c.Health):
		s = status(injectors.Present, 1, "container %q runs again since %s, but its health is %s", r.Name, when(c), c.Health)
	default:
		s = status(injectors.Absent, 1, "container %q runs again since %s", r.Name, when(c))
	}
	if again := c.RestartCount - r.RestartCount; again > 0 {
		s.Facts = append(s.Facts, injectors.Fact{Name: "restarts by Docker", Value: float64(again)})
	}
	return s, nil
}

// alive is the status where the container's first process still runs. Only the
// event log can tell then whether anything was sent to it.
func (v verbs) alive(ctx context.Context, r record) (injectors.Status, error) {
	sent, err := v.sent(ctx, r)
	switch {
	case err != nil:
		return injectors.Status{}, err
	case sent.count == 0:
		return status(injectors.Absent, 0, "container %q runs on", r.Name), nil
	case r.asks():
		s := status(injectors.Absent, uint64(sent.count), "%s reached container %q, which runs on", sent.last, r.Name)
		s.Unit = "signals"
		return s, nil
	case r.Action != kill && sent.ago < r.patience():
		return status(injectors.Present, 0, "container %q is stopping: it was sent %s", r.Name, sent.last), nil
	}
	return status(injectors.Absent, 0, "%s reached container %q, which ignores it", sent.last, r.Name), nil
}

// wantsHealth reports whether the container has yet to become as healthy as it was.
func (r record) wantsHealth(now docker.Health) bool {
	return r.Health == docker.Healthy && now != docker.Healthy && now != docker.NoHealthCheck
}

func when(c docker.Container) string { return c.StartedAt.Local().Format(time.TimeOnly) }
