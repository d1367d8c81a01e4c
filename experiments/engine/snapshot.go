package engine

import (
	"maps"
	"slices"
)

// recentSamples is how many samples of each SLI a Snapshot holds.
const recentSamples = 120

// Snapshot returns the run's present state. It may be called at any time, from any
// goroutine.
func (r *Run) Snapshot() Snapshot {
	r.mu.Lock()
	snapshot := Snapshot{
		Run: r.id, Experiment: r.plan.Experiment.Metadata.Name,
		Phase: r.phase, Started: r.started, PhaseEnds: r.ends,
	}
	began, series := r.began, r.series
	r.mu.Unlock()
	snapshot.Ends = snapshot.Started.Add(r.plan.Experiment.Spec.Duration())
	for _, name := range slices.Sorted(maps.Keys(series)) {
		snapshot.SLIs = append(snapshot.SLIs, SLISnapshot{Name: name, Unit: series[name].Unit(), Recent: series[name].Recent(recentSamples)})
	}
	for _, s := range r.steps {
		s.with(func() {
			fault := FaultSnapshot{Name: s.Fault.Name, Target: s.Target.Name, State: string(s.state), Evidence: s.evidence}
			if !began.IsZero() {
				fault.Starts, fault.Ends = began.Add(s.Start), began.Add(s.End)
			}
			snapshot.Faults = append(snapshot.Faults, fault)
		})
	}
	for i, result := range r.guards.results() {
		snapshot.Guards = append(snapshot.Guards, GuardSnapshot{
			Kind: result.Kind, Expr: result.Expr, Result: result.Result, Value: result.Value,
			SLIs: r.guards.rules[i].rule.SLIs(),
		})
	}
	return snapshot
}
