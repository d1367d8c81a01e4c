// Package container is the injector that breaks Docker containers: it kills,
// stops, pauses, restarts or removes them.
//
// # What undo restores
//
// A container that ran before runs afterwards, and where its health check passed
// before, it passes again. Undo starts a container that is not running whoever
// stopped it last: it ran when the fault was planned, and a dependency that was
// still down can have ended it again since. It thaws only what this fault froze,
// and leaves everything alone that was made anew under the same name.
//
// # Evidence
//
// A container's life is told by its start time. A fault that ended that life has
// touched one container, also where Docker started it again at once. That a signal
// reached a process which lives on is read in the engine's own event log.
package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/quantity"
)

// Engine is what the injector asks of Docker; *docker.Client answers.
type Engine interface {
	Info(ctx context.Context) (docker.Engine, error)
	Inspect(ctx context.Context, container string) (docker.Container, error)
	Signals(ctx context.Context, id string, since, until time.Time) ([]docker.Signal, error)
	Frozen(ctx context.Context, container string, pid int) (bool, error)

	Kill(ctx context.Context, container, signal string) error
	Stop(ctx context.Context, container string, grace time.Duration) error
	Start(ctx context.Context, container string) error
	Restart(ctx context.Context, container string, grace time.Duration) error
	Pause(ctx context.Context, container string) error
	Unpause(ctx context.Context, container string) error
	Remove(ctx context.Context, container string) error
}

// Injector returns the container injector. The engine is asked only when a fault
// is planned, applied, verified or reverted.
func Injector(engine Engine) *injectors.Injector {
	return injectors.New("container", "Kills, stops, pauses, restarts or removes Docker containers.",
		[]injectors.Kind{injectors.KindContainer}, verbs{engine})
}

type verbs struct{ engine Engine }

// action is what a fault does.
type action string

const (
	kill    action = "kill"
	stop    action = "stop"
	pause   action = "pause"
	restart action = "restart"
	remove  action = "remove"
)

// record is the undo record: what is done to which container, and how that was
// before.
type record struct {
	Action action            `json:"action"`
	Signal Signal            `json:"signal,omitempty"` // of kill
	Grace  quantity.Duration `json:"grace,omitempty"`  // of stop and restart

	ID   string `json:"id"`
	Name string `json:"name"` // for messages only

	PID          int           `json:"pid"`
	StartedAt    time.Time     `json:"startedAt"`
	RestartCount int           `json:"restartCount"`
	Health       docker.Health `json:"health,omitempty"`
	AutoRemove   bool          `json:"autoRemove,omitempty"`
	// PlannedAt is the engine's clock when the fault was planned.
	PlannedAt time.Time `json:"plannedAt"`
}

// sameLife reports whether a container still lives the life that the fault was
// planned for.
func (r record) sameLife(c docker.Container) bool { return c.StartedAt.Equal(r.StartedAt) }

// freezes reports whether the fault stops the first process with SIGSTOP.
func (r record) freezes() bool { return r.Action == kill && r.Signal == sigStop }

// asks reports whether the fault sends a signal that is not meant to end the
// container.
func (r record) asks() bool { return r.Action == kill && !r.freezes() && !r.Signal.ends() }

// Plan looks at the container and decides. It refuses one that does not run.
func (v verbs) Plan(ctx context.Context, spec Spec, target injectors.Target) (injectors.Planned[record], error) {
	var planned injectors.Planned[record]
	c, err := v.engine.Inspect(ctx, target.ID)
	if err != nil {
		return planned, err
	}
	if c.State != docker.Running {
		return planned, &injectors.Refusal{Reason: fmt.Sprintf("container %q is %s, not running", c.Name, c.State)}
	}
	info, err := v.engine.Info(ctx)
	if err != nil {
		return planned, err
	}
	r := record{
		ID: c.ID, Name: c.Name, PID: c.PID, StartedAt: c.StartedAt, RestartCount: c.RestartCount,
		Health: c.Health, AutoRemove: c.AutoRemove, PlannedAt: info.Now,
	}
	planned = injectors.Planned[record]{
		Object: "container:" + c.ID, Backend: "docker",
		Reason: fmt.Sprintf("Docker %s at %s runs it", info.Version, info.Host), Tier: injectors.TierDeadman,
	}
	v.describe(spec, c, &r, &planned)
	if r.freezes() {
		frozen, err := v.engine.Frozen(ctx, r.ID, r.PID)
		if err != nil {
			return planned, err
		}
		if frozen {
			return planned, &injectors.Refusal{Reason: fmt.Sprintf("the first process of container %q is stopped by a signal already", c.Name)}
		}
	}
	planned.Record = r
	return planned, nil
}

// describe completes the record and the plan with what the document asks for.
func (v verbs) describe(spec Spec, c docker.Container, r *record, planned *injectors.Planned[record]) {
	up := fmt.Sprintf("start container %q where it does not run", c.Name)
	switch {
	case spec.Kill != 0:
		r.Action, r.Signal = kill, spec.Kill
		planned.Actions = []string{fmt.Sprintf("docker kill --signal %s %q (%.12s)", spec.Kill, c.Name, c.ID)}
		planned.Undo = up
		if r.freezes() {
			planned.Undo = fmt.Sprintf("docker kill --signal SIGCONT %q, where it is still stopped", c.Name)
			planned.Notes = append(planned.Notes, "SIGSTOP stops the first process only; `pause: true` stops all of them")
		}
	case spec.Stop != nil:
		r.Action, r.Grace = stop, spec.Stop.Timeout
		planned.Actions = []string{fmt.Sprintf("docker stop --time %d %q (%.12s)", seconds(r.Grace), c.Name, c.ID)}
		planned.Undo = up
	case spec.Pause:
		r.Action = pause
		planned.Actions = []string{fmt.Sprintf("docker pause %q (%.12s)", c.Name, c.ID)}
		planned.Undo = fmt.Sprintf("docker unpause %q", c.Name)
	case spec.Restart != nil:
		r.Action, r.Grace = restart, spec.Restart.Timeout
		planned.Actions = []string{fmt.Sprintf("docker restart --time %d %q (%.12s)", seconds(r.Grace), c.Name, c.ID)}
		planned.Undo = up
	case spec.Remove:
		r.Action = remove
		planned.Actions = []string{fmt.Sprintf("docker rm --force %q (%.12s)", c.Name, c.ID)}
		planned.Undo = "nothing: a removed container does not come back"
		planned.Irreversible = fmt.Sprintf("container %q would be removed", c.Name)
	}
	planned.EndsTarget = r.Action == remove || r.stops() && !r.asks()
	if !r.stops() {
		return
	}
	if r.AutoRemove {
		planned.Irreversible = fmt.Sprintf("container %q was made with --rm: Docker removes it once it ends", c.Name)
		planned.Undo = "nothing: a removed container does not come back"
		return
	}
	if r.Health == docker.Healthy {
		planned.Undo += ", and wait until it is healthy"
	}
	if c.RestartPolicy != "no" && (r.Action == stop || r.Signal == sigKill) {
		planned.Notes = append(planned.Notes, fmt.Sprintf(
			"the restart policy %q does not act: Docker takes what comes through its API for intended", c.RestartPolicy))
	}
}

// stops reports whether the fault ends the container's life, or can.
func (r record) stops() bool { return r.Action != pause && r.Action != remove && !r.freezes() }

// Apply does it, where the container still lives the life that was planned for and
// nothing of the kind has happened to it since. Otherwise it is a Refusal: who paused or
// stopped the container in the meantime meant it to stay so.
func (v verbs) Apply(ctx context.Context, r record) error {
	c, err := v.engine.Inspect(ctx, r.ID)
	switch {
	case err != nil:
		return err
	case !r.sameLife(c):
		return refuse("cannot %s container %q: it was started anew since the fault was planned", r.Action, r.Name)
	case c.State != docker.Running:
		return refuse("cannot %s container %q: it is %s, not running", r.Action, r.Name, c.State)
	}
	if err := v.untouched(ctx, r); err != nil {
		return err
	}
	switch r.Action {
	case kill:
		if err := v.engine.Kill(ctx, r.ID, strconv.Itoa(int(r.Signal))); err != nil {
			return err
		}
		return v.settle(ctx, r)
	case stop:
		return v.engine.Stop(ctx, r.ID, r.Grace.D())
	case pause:
		return v.engine.Pause(ctx, r.ID)
	case restart:
		return v.engine.Restart(ctx, r.ID, r.Grace.D())
	case remove:
		return v.engine.Remove(ctx, r.ID)
	}
	return fmt.Errorf("cannot %s container %q: this squall knows no such action", r.Action, r.Name)
}

func refuse(format string, args ...any) error {
	return &injectors.Refusal{Reason: fmt.Sprintf(format, args...)}
}

// untouched makes sure that no signal of this fault, or another one, is on its way.
func (v verbs) untouched(ctx context.Context, r record) error {
	if r.freezes() {
		frozen, err := v.engine.Frozen(ctx, r.ID, r.PID)
		if err == nil && frozen {
			err = refuse("cannot kill container %q: its first process is stopped by a signal already", r.Name)
		}
		return err
	}
	if !r.stops() {
		return nil
	}
	sent, err := v.sent(ctx, r)
	if err == nil && sent.count > 0 {
		err = refuse("cannot %s container %q: it has been sent %s since the fault was planned", r.Action, r.Name, sent.last)
	}
	return err
}

// killTime is how long a program is given to end after a signal that ends most.
const killTime = 2 * time.Second

// settle waits a moment for the end that a signal asks for. A program may take its
// time, or not end at all: that is for Verify to say.
func (v verbs) settle(ctx context.Context, r record) error {
	if !r.Signal.ends() {
		return nil
	}
	for end := time.Now().Add(killTime); time.Now().Before(end); {
		c, err := v.engine.Inspect(ctx, r.ID)
		if errors.Is(err, docker.ErrNotFound) {
			return nil
		}
		if err != nil || c.State != docker.Running || !r.sameLife(c) {
			return err
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

// sent is what the engine's event log says about signals since the fault was
// planned.
type sent struct {
	count int
	last  Signal
	ago   time.Duration // since the last one
}

func (v verbs) sent(ctx context.Context, r record) (s sent, err error) {
	info, err := v.engine.Info(ctx)
	if err != nil {
		return s, err
	}
	signals, err := v.engine.Signals(ctx, r.ID, r.PlannedAt, info.Now)
	if err != nil || len(signals) == 0 {
		return s, err
	}
	last := signals[len(signals)-1]
	return sent{count: len(signals), last: Signal(last.Number), ago: info.Now.Sub(last.At)}, nil
}

// pollInterval is how often the engine is asked whether a container is there yet.
const pollInterval = 50 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func seconds(d quantity.Duration) int { return int((d.D() + time.Second - 1) / time.Second) }
