package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/squallhq/squall/injectors"
)

// Faults in a row on one target: the earlier one can leave it other than the plan
// found it. A container that was started again has another process and another
// network namespace, so that the later fault's record would name things that are
// gone. Such a step waits until the earlier ones are out, and is planned anew.

// checkRows finds the steps that come after others on their target.
func (p *Plan) checkRows() {
	for i := range p.Steps {
		s := &p.Steps[i]
		for j, earlier := range p.Steps {
			if same(earlier.Target, s.Target) && earlier.End <= s.Start {
				s.After = append(s.After, j)
			}
		}
		if len(s.After) > 0 {
			s.Notes = append(s.Notes, "planned anew when it starts, because an earlier fault can have given the target another process or network namespace")
		}
	}
}

func same(a, b injectors.Target) bool { return a.Kind == b.Kind && a.ID == b.ID }

// renew waits until the faults before a step on its target are out, and plans it
// anew.
func (r *Run) renew(ctx context.Context, s *step) error {
	if len(s.After) == 0 {
		return nil
	}
	for _, i := range s.After {
		select {
		case <-r.steps[i].done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.applyLimit)
	defer cancel()
	matches, err := r.host.Resolver.Resolve(ctx, r.plan.Experiment.Spec.Targets[s.Fault.Target].Selector.Spec)
	if err != nil {
		return fmt.Errorf("cannot find the target again: %w", err)
	}
	i := slices.IndexFunc(matches.Targets, func(t injectors.Target) bool { return same(t, s.Target) })
	if i < 0 {
		for _, excluded := range matches.Excluded {
			if same(excluded.Target, s.Target) {
				return fmt.Errorf("cannot use the target again: %s", excluded.Reason)
			}
		}
		return fmt.Errorf("cannot find the target again: it is gone")
	}
	renewed, err := r.host.Registry.Lookup(s.Fault.Effect.Key).Plan(ctx, s.Fault.Effect.Spec, matches.Targets[i])
	switch {
	case err != nil:
		return fmt.Errorf("cannot plan it anew: %w", err)
	case renewed.Irreversible != "" && !s.Fault.AllowIrreversible:
		return fmt.Errorf("by now it can't be undone: %s", renewed.Irreversible)
	}
	s.with(func() { s.Step = renewed })
	return nil
}
