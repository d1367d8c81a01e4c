package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/squallhq/squall/injectors"
)

// stepState is where a step is in its life.
type stepState string

const (
	stepWaiting   stepState = "waiting"
	stepApplying  stepState = "applying"
	stepActive    stepState = "active"
	stepLost      stepState = "lost"  // gone before its time
	stepEnded     stepState = "ended" // gone with its target, as planned
	stepReverting stepState = "reverting"
	stepReverted  stepState = "reverted"
	stepFailed    stepState = "failed" // could not be reverted
)

// step is one planned step in a run.
type step struct {
	PlannedStep
	done chan struct{} // closed when drive has returned

	mu       sync.Mutex
	state    stepState
	intended bool // its undo record is in the journal
	barred   bool // the rollback has begun: it must not be put in any more
	over     bool // its effect was over by itself at once, as that of a restart is
	applied  time.Time
	reverted time.Time
	evidence Evidence
	failure  error // why Apply failed
	left     error // why Revert failed
	hung     bool  // Apply did not return in time, and may still take effect
}

// with runs f under the step's lock.
func (s *step) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// pending reports whether a rollback has to revert the step.
func (s *step) pending() (pending bool) {
	s.with(func() { pending = s.intended && s.reverted.IsZero() })
	return pending
}

func (s *step) active() (active bool) {
	s.with(func() { active = s.state == stepActive })
	return active
}

// claim begins the step's apply, unless the rollback was faster.
func (s *step) claim() (claimed bool) {
	s.with(func() {
		if claimed = !s.barred; claimed {
			s.state, s.intended = stepApplying, true
		}
	})
	return claimed
}

// bar keeps a step that is not in from ever being put in, and reports whether it has
// to be reverted.
func (s *step) bar() (pending bool) {
	s.with(func() {
		s.barred = true
		pending = s.intended && s.reverted.IsZero()
	})
	return pending
}

// settle waits for the step's goroutine to return. Where that hangs in an Apply, which
// may still take effect after the rollback, the step says so.
func (s *step) settle(limit time.Duration) {
	select {
	case <-s.done:
		return
	case <-time.After(limit):
	}
	s.with(func() {
		if s.state == stepApplying {
			s.hung, s.left = true, errors.New("its apply did not return in time, and may still take effect")
		}
	})
}

// undo is what the journal holds of a step: all that it takes to revert it, and to
// say what is being reverted.
type undo struct {
	id string // the step, as the journal names it

	Fault  string           `json:"fault"`
	Target string           `json:"target"`
	Object string           `json:"object"`
	Record injectors.Record `json:"record"`
}

// applyFailed is the error of a step that could not be put in.
type applyFailed struct {
	step *step
	err  error
}

func (e *applyFailed) Error() string {
	return fmt.Sprintf("cannot apply fault %q on %q: %v", e.step.Fault.Name, e.step.Target.Name, e.err)
}

func (e *applyFailed) Unwrap() error { return e.err }

// drive leads one step through its life on its own clock. It returns early, with
// the effect still in, when ctx ends: the rollback takes over.
func (r *Run) drive(ctx context.Context, s *step, began time.Time, length time.Duration, judged <-chan struct{}) error {
	defer close(s.done)
	if !sleepUntil(ctx, began.Add(s.Start)) {
		return nil
	}
	err := r.renew(ctx, s)
	if err == nil {
		err = r.apply(ctx, s)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted, not failed
		}
		s.with(func() { s.failure = err })
		return &applyFailed{s, err}
	}
	if !r.hold(ctx, s, began.Add(s.End)) {
		return nil
	}
	if s.End == length {
		select {
		case <-judged:
		case <-ctx.Done():
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.rollbackLimit)
	defer cancel()
	r.look(ctx, s, verifyLimit)
	// What can't be taken out at its time must not be joined by others: the run ends,
	// and its rollback tries again.
	return r.revert(ctx, s)
}

// apply journals the step's undo record, makes the effect and verifies it.
func (r *Run) apply(ctx context.Context, s *step) error {
	payload, err := json.Marshal(undo{Fault: s.Fault.Name, Target: s.Target.Name, Object: s.Object, Record: s.Record})
	if err != nil {
		return fmt.Errorf("cannot write its undo record: %w", err)
	}
	if !s.claim() {
		return errors.New("the run is over")
	}
	if err := r.journal.Intent(s.ID, payload); err != nil {
		s.with(func() { s.state, s.intended = stepWaiting, false })
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.applyLimit)
	defer cancel()
	if err := r.host.Registry.Apply(ctx, s.Record); err != nil {
		if refusal := (*injectors.Refusal)(nil); errors.As(err, &refusal) && r.journal.Reverted(s.ID) == nil {
			// Nothing was done, and what a revert would find is somebody else's.
			s.with(func() { s.state, s.intended = stepWaiting, false })
		}
		return err
	}
	if err := r.journal.Applied(s.ID); err != nil {
		return err
	}
	status, err := r.host.Registry.Verify(ctx, s.Record)
	if err != nil {
		return fmt.Errorf("cannot verify that it took effect: %w", err)
	}
	if !tookEffect(status) {
		return fmt.Errorf("it reported success, but is %s: %s", status.Presence, status.Detail)
	}
	s.with(func() {
		s.state, s.applied = stepActive, time.Now()
		s.evidence = evidenceOf(status)
		s.over = status.Presence != injectors.Present
	})
	r.tell(EventApplied, s, "is in: "+status.Detail)
	return nil
}

// hold keeps an eye on a step that is in until its end, and reports whether the end
// was reached.
func (r *Run) hold(ctx context.Context, s *step, end time.Time) bool {
	ticker := time.NewTicker(verifyEvery)
	defer ticker.Stop()
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-ticker.C:
			r.look(ctx, s, verifyLimit)
		}
	}
}

// look reads a step's evidence, and notices where the effect is gone before its
// time. One that was over by itself has given its evidence.
func (r *Run) look(ctx context.Context, s *step, limit time.Duration) {
	over := false
	s.with(func() { over = s.over })
	if over {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	status, err := r.host.Registry.Verify(ctx, s.Record)
	if err != nil {
		return // unknown is neither there nor gone; the next look may tell
	}
	if tookEffect(status) {
		s.with(func() {
			if s.state == stepActive {
				s.evidence = evidenceOf(status)
			}
		})
		return
	}
	ender := r.endedBy(s)
	gone := false
	s.with(func() {
		if gone = s.state == stepActive; !gone {
			return
		}
		if ender != "" {
			s.state, s.evidence.Detail = stepEnded, "ended with its target, by fault "+ender
			return
		}
		now := time.Now()
		s.state, s.evidence.Lost, s.evidence.Detail = stepLost, &now, status.Detail
	})
	switch {
	case !gone:
	case ender != "":
		r.tell(EventReverted, s, "is out: fault "+ender+" has ended its target")
	default:
		r.tell(EventLost, s, "was gone before its time: "+status.Detail)
	}
}

// endedBy names the fault that has ended the target of a step by now, as planned, or
// nothing.
func (r *Run) endedBy(s *step) (name string) {
	for _, i := range s.EndedBy {
		ender := r.steps[i]
		ender.with(func() {
			if ender.intended {
				name = ender.Fault.Name
			}
		})
	}
	return name
}

// revert takes a step's effect out and verifies that it is gone, as often as ctx
// allows. What stays is in s.left, and is the error.
func (r *Run) revert(ctx context.Context, s *step) error {
	s.with(func() { s.state = stepReverting })
	err := revertRecord(ctx, r.host.Registry, s.Record)
	now := time.Now()
	hung := false
	s.with(func() {
		hung = s.hung
		switch {
		case err != nil:
			s.state = stepFailed
			if !hung {
				s.left = err
			}
		case hung: // s.left goes on saying what may come yet
			s.state, s.reverted = stepReverted, now
		default:
			s.state, s.reverted, s.left = stepReverted, now, nil
		}
	})
	if err != nil {
		err = fmt.Errorf("cannot revert fault %q on %q: %w", s.Fault.Name, s.Target.Name, err)
		r.note(EventError, "%v", err)
		return err
	}
	// An apply that hangs can take effect after this: the step stays pending, for the
	// deadman and recover.
	if hung {
		return nil
	}
	if err := r.journal.Reverted(s.ID); err != nil {
		// Recover would revert it a second time, which is harmless.
		r.note(EventWarning, "fault %q on %q is out, but the journal could not be told: %v", s.Fault.Name, s.Target.Name, err)
	}
	r.tell(EventReverted, s, "is out, and verified gone")
	return nil
}

// tell emits an event about a step, and has the rules asked again.
func (r *Run) tell(kind EventKind, s *step, what string) {
	r.dirty.set(everything)
	r.emit(Event{Kind: kind, Fault: s.Fault.Name, Target: s.Target.Name,
		Text: fmt.Sprintf("fault %s on %s %s", s.Fault.Name, s.Target.Name, what)})
}

// maxEventText bounds an event's text, which can quote strings from outside.
const maxEventText = 1000

// revertPause is the pause between two attempts to revert a step.
const revertPause = 250 * time.Millisecond

// revertRecord reverts one record and verifies that its effect is gone, trying
// again until ctx ends. It turns a panic of the injector into an error: the other
// steps still have to be reverted.
func revertRecord(ctx context.Context, registry *injectors.Registry, record injectors.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the injector panicked: %v", p)
		}
	}()
	for {
		err := registry.Revert(ctx, record)
		if err == nil {
			var status injectors.Status
			status, err = registry.Verify(ctx, record)
			switch {
			case err != nil:
				err = fmt.Errorf("cannot verify that it is gone: %w", err)
			case status.Presence != injectors.Present:
				return nil
			default:
				err = fmt.Errorf("it is still there: %s", status.Detail)
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(revertPause):
		}
	}
}

// revertAll calls revert for every item; items stand in the order they were
// applied. Those that hold the same object are reverted one after the other, the
// newest first; the others can't depend on each other, and go side by side, so that
// a slow one (a container that has to become healthy) does not keep a fault in that
// could be gone at once.
func revertAll[T any](items []T, object func(T) string, revert func(T)) {
	byObject := map[string][]T{}
	for _, item := range slices.Backward(items) {
		byObject[object(item)] = append(byObject[object(item)], item)
	}
	var reverting sync.WaitGroup
	for _, group := range byObject {
		reverting.Go(func() {
			for _, item := range group {
				revert(item)
			}
		})
	}
	reverting.Wait()
}

// tookEffect reports whether an effect is there, or was there and is over by
// itself, as that of a restart is.
func tookEffect(status injectors.Status) bool {
	return status.Presence == injectors.Present || status.Presence == injectors.Absent && status.Touched > 0
}

func evidenceOf(status injectors.Status) Evidence {
	return Evidence{Touched: status.Touched, Unit: status.Unit, Detail: status.Detail, Facts: status.Facts}
}
