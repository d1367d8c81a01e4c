package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/hint"
)

// Revert lets the container run as it ran before.
func (v verbs) Revert(ctx context.Context, r record) error {
	var err error
	switch {
	case r.Action == remove:
		return nil // Plan said that there is no way back
	case r.Action == pause:
		err = v.thaw(ctx, r)
	case r.freezes():
		err = v.resume(ctx, r)
	default:
		err = v.restore(ctx, r)
	}
	if errors.Is(err, docker.ErrNotFound) {
		return nil
	}
	return err
}

// requestTime is how long a request may be on its way inside the engine after the
// squall that sent it has died.
const requestTime = 250 * time.Millisecond

// thaw undoes a pause, unless the container has been started anew since: then
// whoever paused it was not this fault.
func (v verbs) thaw(ctx context.Context, r record) error {
	c, err := v.lately(ctx, r, func(c docker.Container) bool { return c.State == docker.Paused })
	if err != nil || c.State != docker.Paused || !r.sameLife(c) {
		return err
	}
	err = v.engine.Unpause(ctx, r.ID)
	if err == nil {
		return nil
	}
	// Another process that reverts the same fault may have been faster.
	if now, inspectErr := v.engine.Inspect(ctx, r.ID); inspectErr != nil || now.State != docker.Paused {
		return inspectErr
	}
	return err
}

// resume undoes a SIGSTOP.
func (v verbs) resume(ctx context.Context, r record) error {
	for try := range 2 {
		c, err := v.engine.Inspect(ctx, r.ID)
		if err != nil || c.State != docker.Running || !r.sameLife(c) {
			return err
		}
		frozen, err := v.engine.Frozen(ctx, r.ID, r.PID)
		if err != nil {
			return err
		}
		if frozen {
			return v.engine.Kill(ctx, r.ID, fmt.Sprint(int(sigCont)))
		}
		if try == 0 {
			if err := sleep(ctx, requestTime); err != nil {
				return err
			}
		}
	}
	return nil
}

// lately inspects the container, and once more where the effect is not there but
// could still be coming.
func (v verbs) lately(ctx context.Context, r record, there func(docker.Container) bool) (docker.Container, error) {
	c, err := v.engine.Inspect(ctx, r.ID)
	if err != nil || there(c) {
		return c, err
	}
	if err := sleep(ctx, requestTime); err != nil {
		return c, err
	}
	return v.engine.Inspect(ctx, r.ID)
}

// patience is how long after the last signal the container may still end because of
// it.
func (r record) patience() time.Duration {
	switch {
	case r.asks():
		return 0
	case r.Action == kill:
		return killTime
	}
	return r.Grace.D() + time.Second + killTime // the engine counts whole seconds
}

// restore sees to it that the container runs: it waits for a stop that is still
// under way, starts the container, or waits where Docker itself starts it, and then
// for its health.
func (v verbs) restore(ctx context.Context, r record) error {
	looked, started := false, false
	for {
		c, err := v.engine.Inspect(ctx, r.ID)
		if err != nil {
			return err
		}
		pause := pollInterval
		switch {
		case c.State == docker.Paused:
			return nil // it runs, and somebody else froze it
		case c.State == docker.Dead:
			return hint.Wrap(fmt.Errorf("cannot start container %q: it is dead, because Docker could not remove it", r.Name),
				"remove it with docker rm, and make it anew")
		case c.State == docker.Running && r.sameLife(c):
			coming, err := v.coming(ctx, r)
			if err != nil || !coming && looked {
				return err
			}
			if !coming {
				looked, pause = true, requestTime
			}
		case c.State == docker.Running && !r.wantsHealth(c.Health):
			if !started || looked {
				return nil
			}
			// A program that can't run ends right after its start.
			looked, pause = true, requestTime
		case c.State == docker.Exited || c.State == docker.Created:
			if started {
				return hint.Wrap(fmt.Errorf("cannot keep container %q running: it was started, and ended again with code %d", r.Name, c.ExitCode),
					"docker logs %.12s says why", r.ID)
			}
			started, looked = true, false
			if err := v.engine.Start(ctx, r.ID); err != nil && !errors.Is(err, docker.ErrConflict) {
				return err
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("cannot wait for container %q, which is %s%s: %w", r.Name, c.State, healthClause(c), err)
		}
	}
}

// coming reports whether a signal was sent that may yet end the container.
func (v verbs) coming(ctx context.Context, r record) (bool, error) {
	sent, err := v.sent(ctx, r)
	return sent.count > 0 && sent.ago < r.patience(), err
}

func healthClause(c docker.Container) string {
	if c.Health == docker.NoHealthCheck {
		return ""
	}
	return " with health " + string(c.Health)
}
