package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/squallhq/squall/internal/hint"
)

// ExitCode is the exit code of the command line for a result.
func (r *Result) ExitCode() int {
	if r.Rollback == Incomplete {
		return 5
	}
	switch r.Verdict {
	case Held:
		return 0
	case Breached:
		return 1
	case Refused:
		return 3
	case Stopped:
		return 130
	}
	return 4
}

// conclude judges a run whose faults ran to their end: by the pass rules first, and
// by the evidence of every fault.
func (r *Run) conclude() ending {
	unmet, noData := r.passed.unmet, r.passed.noData
	switch {
	case len(unmet) > 0 && !noData:
		return ending{verdict: Breached, reason: "pass rule failed: " + strings.Join(unmet, "; ")}
	case len(unmet) > 0:
		return ending{verdict: Inconclusive, reason: "too little data to judge: " + strings.Join(unmet, "; ")}
	}
	for _, s := range r.steps {
		if doubt := s.doubt(); doubt != "" {
			return ending{verdict: Inconclusive, reason: fmt.Sprintf("fault %q on %q %s", s.Fault.Name, s.Target.Name, doubt)}
		}
	}
	return ending{verdict: Held, reason: r.heldReason()}
}

func (r *Run) heldReason() string {
	if hypothesis := r.plan.Experiment.Spec.Hypothesis; hypothesis != "" {
		return "the hypothesis held: " + hypothesis
	}
	return "no abort rule fired, every pass rule held, and every fault took effect"
}

// doubt says why a step that ran to its end proves nothing, or nothing.
func (s *step) doubt() (doubt string) {
	s.with(func() {
		switch {
		case s.applied.IsZero():
			doubt = "was never in"
		case s.evidence.Lost != nil:
			doubt = "was gone before its time: " + s.evidence.Detail
		case s.evidence.Touched == 0:
			doubt = "touched nothing"
			if s.evidence.Unit != "" {
				doubt = "touched no " + s.evidence.Unit
			}
		}
	})
	return doubt
}

// left says what could not be put back.
func (r *Run) left() []string {
	var left []string
	for _, s := range r.steps {
		s.with(func() {
			if s.left != nil {
				left = append(left, fmt.Sprintf("fault %q on %q: %v", s.Fault.Name, s.Target.Name, s.left))
			}
		})
	}
	return left
}

// maxPoints bounds the samples of one SLI in a result.
const maxPoints = 1500

// result puts a run's result together.
func (r *Run) result(end ending, recovery *Recovery) *Result {
	r.enter(PhaseDone, 0)
	experiment := r.plan.Experiment
	result := &Result{
		Verdict: end.verdict, Reason: end.reason, Rollback: Clean,
		Run: r.id, Experiment: experiment.Metadata.Name, Started: r.started, Ended: time.Now(),
		Faults: []FaultResult{}, Guards: r.guards.results(), SLIs: map[string]SLIResult{},
		Reaction: end.reaction, Recovery: recovery,
		Left: r.left(), Hypothesis: experiment.Spec.Hypothesis, File: experiment.File, Digest: experiment.Digest,
	}
	if len(result.Left) > 0 {
		result.Rollback = Incomplete
	}
	r.mu.Lock()
	result.Notes, result.Phases = r.notes, r.phases
	r.mu.Unlock()
	for _, s := range r.steps {
		result.Faults = append(result.Faults, s.result())
	}
	for name := range r.series {
		result.SLIs[name] = r.sliResult(name)
	}
	return result
}

func (s *step) result() (result FaultResult) {
	s.with(func() {
		result = FaultResult{
			Name: s.Fault.Name, Injector: s.Record.Injector, Target: s.Target.Name,
			Backend: s.Backend, Tier: s.Tier, Evidence: s.evidence,
			Applied: instant(s.applied), Reverted: instant(s.reverted),
		}
		if err := errors.Join(s.failure, s.left); err != nil {
			result.Error = err.Error()
		}
	})
	return result
}

// instant returns nil for an instant that never came.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// sliResult sums an SLI up over the phases.
func (r *Run) sliResult(name string) SLIResult {
	series := r.series[name]
	result := SLIResult{Unit: series.Unit()}
	now := time.Now()
	for i, phase := range r.phases {
		end := now
		if i+1 < len(r.phases) {
			end = r.phases[i+1].At
		}
		switch phase.Phase {
		case PhaseBaseline:
			result.Baseline = series.Summary(phase.At, end)
		case PhaseFaults:
			result.Fault = series.Summary(phase.At, end)
		case PhaseRecovery:
			result.Recovery = series.Summary(phase.At, end)
		}
	}
	for _, sample := range series.Recent(maxPoints) {
		point := Point{At: sample.At.Sub(r.started).Seconds(), OK: sample.OK}
		if sample.HasValue {
			point.Value = &sample.Value
		}
		result.Points = append(result.Points, point)
	}
	return result
}

// Refuse returns the result of a run that was refused before it began.
func Refuse(plan *Plan) *Result {
	return NewRun(Host{}, plan, nil).refused(plan.Refusals)
}

// refused is the result of a run of a plan with refusals.
func (r *Run) refused(refusals []error) *Result {
	r.start()
	reasons := make([]string, 0, len(refusals))
	for _, refusal := range refusals {
		reasons = append(reasons, refusal.Error())
		for _, way := range hint.Of(refusal) {
			r.notes = append(r.notes, "hint: "+way)
		}
	}
	return r.result(ending{verdict: Refused, reason: strings.Join(reasons, "; ")}, nil)
}
