package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/squallhq/squall/internal/printable"
	"github.com/squallhq/squall/safety/journal"
	"github.com/squallhq/squall/safety/sli"
)

// The time limits of a run's own work. What they bound can hang: a daemon that
// accepts and never answers, a file system that has gone away.
const (
	// defaultApplyLimit bounds one Apply with its Verify.
	defaultApplyLimit = 30 * time.Second
	// defaultRollbackLimit bounds the whole rollback, waiting for a container's
	// health included.
	defaultRollbackLimit = time.Minute
	// verifyEvery is how often a fault that is in is checked for being in still.
	verifyEvery = time.Second
	// verifyLimit bounds such a check.
	verifyLimit = 2 * time.Second
	// lastLookLimit bounds the last look at a fault's evidence in a rollback, which it
	// must not hold up.
	lastLookLimit = 200 * time.Millisecond
)

// Run is one execution of a plan.
type Run struct {
	host    Host
	plan    *Plan
	observe func(Event)

	id string

	applyLimit, rollbackLimit time.Duration

	started time.Time
	series  map[string]*sli.Series
	dirty   *signals
	guards  *guards
	steps   []*step
	journal *journal.Journal

	mu     sync.Mutex // guards what follows, and orders events
	phase  Phase
	phases []PhaseStart
	ends   time.Time
	began  time.Time // when the faults phase began; zero before
	notes  []string

	// passed is what the pass rules said at the end of the faults.
	passed struct {
		unmet  []string
		noData bool
	}
}

// NewRun prepares a run of a plan. Nothing happens before Do. observe may be nil.
func NewRun(host Host, plan *Plan, observe func(Event)) *Run {
	if observe == nil {
		observe = func(Event) {}
	}
	r := &Run{host: host, plan: plan, observe: observe, id: newRunID(),
		applyLimit: defaultApplyLimit, rollbackLimit: defaultRollbackLimit}
	for _, planned := range plan.Steps {
		r.steps = append(r.steps, &step{PlannedStep: planned, done: make(chan struct{}), state: stepWaiting})
	}
	r.guards = newGuards(plan.Program)
	r.dirty = newSignals()
	return r
}

// newRunID returns a name for a run that sorts by time and can't collide.
func newRunID() string {
	var random [4]byte
	rand.Read(random[:]) // documented never to fail
	return time.Now().UTC().Format("20060102-150405-") + hex.EncodeToString(random[:])
}

// ID names the run.
func (r *Run) ID() string { return r.id }

// ending is why a run ended. Without a verdict it ran to its end, and conclude
// judges it.
type ending struct {
	verdict  Verdict
	reason   string
	reaction *Reaction
}

// Do runs the plan and returns its result. Cancelling ctx stops the run, rolls back
// and yields the verdict Stopped; the rollback itself can't be cancelled.
func (r *Run) Do(ctx context.Context) *Result {
	r.start()
	if len(r.plan.Refusals) > 0 {
		return r.refused(r.plan.Refusals)
	}
	stopSampling, err := r.startSampling(ctx)
	if err != nil {
		return r.result(ending{verdict: Refused, reason: err.Error()}, nil)
	}
	defer stopSampling()

	if refused := r.admit(ctx); refused != nil {
		return r.result(*refused, nil)
	}
	release, err := r.arm(ctx)
	if err != nil {
		return r.result(ending{verdict: Refused, reason: err.Error()}, nil)
	}
	end := r.faults(ctx)
	r.rollback(ctx, &end)
	if err := release(); err != nil {
		r.note(EventWarning, "%v", err)
	}
	if end.verdict == "" {
		end = r.conclude()
	}
	recovery := r.recovery(ctx, &end)
	return r.result(end, recovery)
}

// start sets the instant that the run counts from. A Snapshot may be reading it.
func (r *Run) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = time.Now()
}

// openSLIs opens every SLI, and the series that its samples go to.
func (r *Run) openSLIs() (map[string]sli.Sampler, error) {
	samplers, series := map[string]sli.Sampler{}, map[string]*sli.Series{}
	for name, definition := range r.plan.Experiment.Spec.SLIs {
		spec := definition.Sampler.Spec.(sli.Spec)
		sampler, err := spec.Open(r.host.Samplers)
		if err != nil {
			return nil, fmt.Errorf("cannot open SLI %q: %w", name, err)
		}
		samplers[name], series[name] = sampler, sli.NewSeries(spec, definition.Every.D())
	}
	for _, rule := range r.plan.Program.rules() {
		if err := rule.Register(series); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	r.series = series // never changed again, so that a Snapshot may read it
	r.mu.Unlock()
	return samplers, nil
}

// startSampling samples every SLI on a clock of its own until the function that it
// returns is called.
func (r *Run) startSampling(ctx context.Context) (stop func(), err error) {
	samplers, err := r.openSLIs()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var polling sync.WaitGroup
	for name, sampler := range samplers {
		polling.Go(func() {
			sli.Poll(ctx, sampler, r.series[name], func() { r.dirty.set(name) })
		})
	}
	return func() { cancel(); polling.Wait() }, nil
}

// admit measures the baseline and asks the admit rules. It returns nil where the
// faults may start.
func (r *Run) admit(ctx context.Context) *ending {
	baseline := r.plan.Experiment.Spec.Baseline.D()
	r.enter(PhaseBaseline, baseline)
	if !sleepUntil(ctx, r.started.Add(baseline)) {
		return stopped(ctx)
	}
	now := time.Now()
	for _, series := range r.series {
		series.MarkBaseline(r.started, now)
	}
	if refusal := r.guards.admit(r.world(), now); refusal != "" {
		r.noteFailures()
		return &ending{verdict: Refused, reason: "not steady to begin with: " + refusal}
	}
	return nil
}

// noteFailures says why the newest samples failed: a rule knows only that they did.
func (r *Run) noteFailures() {
	for _, name := range slices.Sorted(maps.Keys(r.series)) {
		if newest := r.series[name].Recent(1); len(newest) > 0 && !newest[0].OK && newest[0].Err != "" {
			r.note(EventWarning, "the newest sample of SLI %q failed: %s", name, newest[0].Err)
		}
	}
}

// arm starts the deadman and opens the journal: after it, effects are allowed. The
// deadman comes first, so that there is no moment at which a kill leaves a journal
// to nobody. The function it returns ends both.
func (r *Run) arm(ctx context.Context) (release func() error, err error) {
	experiment := r.plan.Experiment
	hard := experiment.Spec.FaultsDuration() + r.applyLimit + 2*r.rollbackLimit
	deadman, err := r.host.Deadman(ctx, journal.Path(r.host.StateDir, r.id), min(lease, hard))
	if err != nil {
		return nil, fmt.Errorf("nothing may be injected: %w", err)
	}
	r.journal, err = journal.Create(r.host.StateDir, journal.Head{
		Run: r.id, Experiment: experiment.Metadata.Name, Digest: experiment.Digest, Started: r.started,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("what can't be journaled may not be injected: %w", err), deadman.Release())
	}
	r.guards.deadman = deadman.Died()
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	var pulsing sync.WaitGroup
	pulsing.Go(func() { keepAlive(alive, deadman, hard) })
	return func() error {
		stop()
		pulsing.Wait()
		if len(r.left()) > 0 {
			// The file stays for recover, and the deadman tries once more when this
			// process ends.
			return r.journal.Close()
		}
		return errors.Join(r.journal.Finish(), deadman.Release())
	}, nil
}

// faults runs the faults phase: every step on its own clock, under the eyes of the
// abort rules. It returns when the last step has ended or something ended the phase
// early; what is in then is rollback's.
func (r *Run) faults(parent context.Context) ending {
	length := r.plan.Experiment.Spec.FaultsDuration()
	began := r.enter(PhaseFaults, length)
	ctx, abort := context.WithCancelCause(parent)
	defer abort(nil)

	// Steps that last to the end of the phase wait for the pass rules to be asked
	// while the faults are in.
	judged := make(chan struct{})
	var driving sync.WaitGroup
	for _, s := range r.steps {
		driving.Go(func() {
			defer abortOnPanic(abort)
			if err := r.drive(ctx, s, began, length, judged); err != nil {
				abort(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { driving.Wait(); close(done) }()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		defer abortOnPanic(abort)
		r.guards.watch(ctx, r, abort)
	}()

	if sleepUntil(ctx, began.Add(length)) {
		r.passed.unmet, r.passed.noData = r.guards.unmet(kindPass, r.world(), time.Now())
	}
	close(judged)
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(r.rollbackLimit):
		abort(errOverran)
	}
	cause := context.Cause(ctx)
	abort(nil)
	<-watching
	return endingOf(parent, cause)
}

// abortOnPanic turns a panic into the run's end: the way back is the same.
func abortOnPanic(abort context.CancelCauseFunc) {
	if p := recover(); p != nil {
		abort(&panicked{p, debug.Stack()})
	}
}

type panicked struct {
	value any
	stack []byte
}

func (e *panicked) Error() string {
	return fmt.Sprintf("squall panicked, which is a mistake in squall: %v\n%s", e.value, e.stack)
}

var errOverran = errors.New("the run overran its time")

// endingOf says in words why the faults phase ended.
func endingOf(parent context.Context, cause error) ending {
	fired := (*guardFired)(nil)
	switch {
	case cause == nil:
		return ending{}
	case errors.As(cause, &fired):
		return ending{verdict: Breached, reason: fired.Error(), reaction: &Reaction{Breach: fired.since, Detected: fired.detected}}
	case parent.Err() != nil:
		return *stopped(parent)
	}
	return ending{verdict: Inconclusive, reason: cause.Error()}
}

// rollback reverts whatever is in.
func (r *Run) rollback(ctx context.Context, end *ending) {
	var pending []*step
	for _, s := range r.steps {
		if s.bar() {
			pending = append(pending, s)
		}
	}
	if end.reaction != nil {
		end.reaction.AbortIssued = time.Now()
		defer func() {
			if len(r.left()) == 0 {
				end.reaction.Clean = time.Now()
				end.reaction.Total = end.reaction.Clean.Sub(end.reaction.Breach).Seconds()
			}
		}()
	}
	if len(pending) == 0 {
		return
	}
	r.enter(PhaseRollback, r.rollbackLimit)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.rollbackLimit)
	defer cancel()
	revertAll(pending, func(s *step) string { return s.Object }, func(s *step) {
		// An Apply must not run beside its own Revert; but one that hangs can't hold up
		// the others.
		s.settle(r.applyLimit)
		if s.pending() {
			r.lastLook(ctx, s)
			_ = r.revert(ctx, s) // it is in s.left, which the result names
		}
	})
}

// lastLook reads a step's evidence before its revert. It must not keep that from
// happening: a panic of the injector is left to the revert to meet.
func (r *Run) lastLook(ctx context.Context, s *step) {
	defer func() { _ = recover() }()
	r.look(ctx, s, lastLookLimit)
}

// recovery waits for the admit rules to hold again. It returns nil where there is
// nothing to judge by.
func (r *Run) recovery(ctx context.Context, end *ending) *Recovery {
	limit := r.plan.Experiment.Spec.Recovery.D()
	if len(r.plan.Program.Admit) == 0 || end.verdict == Stopped || limit == 0 {
		return nil
	}
	began := r.enter(PhaseRecovery, limit)
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		unmet, _ := r.guards.unmet(kindAdmit, r.world(), time.Now())
		if waiting := r.notSampledSince(began); waiting != "" {
			unmet = append(unmet, waiting)
		}
		if len(unmet) == 0 {
			return &Recovery{Recovered: true, Seconds: time.Since(began).Seconds()}
		}
		select {
		case <-r.dirty.ready:
			r.dirty.take()
			continue
		case <-ctx.Done():
			r.note(EventWarning, "stopped while waiting for the steady state; everything had been put back")
			if end.verdict == Held {
				*end = *stopped(ctx)
			}
		case <-deadline.C:
			if end.verdict == Held || end.verdict == Inconclusive {
				*end = ending{verdict: Breached, reason: fmt.Sprintf("the steady state did not come back within %s: %s", limit, strings.Join(unmet, "; "))}
			}
		}
		return &Recovery{Seconds: time.Since(began).Seconds()}
	}
}

// notSampledSince names an SLI of the admit rules that has no sample since an
// instant, or nothing: the steady state is not back before somebody has looked.
func (r *Run) notSampledSince(instant time.Time) string {
	for _, rule := range r.plan.Program.Admit {
		for _, name := range rule.SLIs() {
			if newest := r.series[name].Recent(1); len(newest) == 0 || newest[0].At.Before(instant) {
				return fmt.Sprintf("SLI %q has no sample since the rollback", name)
			}
		}
	}
	return ""
}

func stopped(ctx context.Context) *ending {
	return &ending{verdict: Stopped, reason: "stopped: " + context.Cause(ctx).Error()}
}

// enter begins a phase that takes at most length, and returns its beginning.
func (r *Run) enter(phase Phase, length time.Duration) time.Time {
	now := time.Now()
	for _, series := range r.series {
		series.StartPhase(now)
	}
	r.mu.Lock()
	r.phase, r.ends = phase, now.Add(length)
	r.phases = append(r.phases, PhaseStart{phase, now})
	if phase == PhaseFaults {
		r.began = now
	}
	r.mu.Unlock()
	r.emit(Event{Kind: EventPhase, Text: phaseText(phase, length)})
	return now
}

func phaseText(phase Phase, length time.Duration) string {
	switch phase {
	case PhaseBaseline:
		return fmt.Sprintf("measuring the steady state for %s", length)
	case PhaseFaults:
		return fmt.Sprintf("steady; faults for %s", length)
	case PhaseRollback:
		return "putting everything back"
	case PhaseRecovery:
		return fmt.Sprintf("waiting for the steady state, at most %s", length)
	}
	return string(phase)
}

// emit tells the observer, one event at a time.
func (r *Run) emit(event Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	event.At, event.Phase, event.Text = time.Now(), r.phase, printable.Text(event.Text, maxEventText)
	r.observe(event)
}

// note emits a warning or an error and keeps it for the result.
func (r *Run) note(kind EventKind, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.notes = append(r.notes, text)
	r.mu.Unlock()
	r.emit(Event{Kind: kind, Text: text})
}

// sleepUntil waits for an instant and reports whether it came before ctx's end.
func sleepUntil(ctx context.Context, instant time.Time) bool {
	timer := time.NewTimer(time.Until(instant))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
