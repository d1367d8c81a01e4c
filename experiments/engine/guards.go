package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/squallhq/squall/safety/guard"
)

// The kinds of rule, as results name them.
const (
	kindAdmit = "admit"
	kindAbort = "abort"
	kindPass  = "pass"
)

// guards are a run's rules with their newest answers.
type guards struct {
	// deadman is closed when the deadman is gone; nil before there is one.
	deadman <-chan struct{}

	mu    sync.Mutex
	rules []*ruling
}

// ruling is one rule with its newest answer.
type ruling struct {
	kind   string
	rule   *guard.Rule
	watch  *guard.Watch // of an abort rule
	result GuardResult
}

func newGuards(program *Program) *guards {
	g := &guards{}
	add := func(kind string, rule *guard.Rule, watch *guard.Watch) {
		g.rules = append(g.rules, &ruling{kind: kind, rule: rule, watch: watch,
			result: GuardResult{Kind: kind, Expr: rule.Expr(), Result: "not evaluated"}})
	}
	for _, rule := range program.Admit {
		add(kindAdmit, rule, nil)
	}
	for _, abort := range program.Abort {
		add(kindAbort, abort.Rule, guard.NewWatch(abort.Rule, abort.Source.For.D(), guard.NoDataPolicy(abort.Source.NoData)))
	}
	for _, rule := range program.Pass {
		add(kindPass, rule, nil)
	}
	return g
}

// of returns the rulings of a kind.
func (g *guards) of(kind string) []*ruling {
	var found []*ruling
	for _, ruling := range g.rules {
		if ruling.kind == kind {
			found = append(found, ruling)
		}
	}
	return found
}

// record keeps a rule's newest answer.
func (g *guards) record(ruling *ruling, outcome guard.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ruling.result.Result, ruling.result.Value = answer(outcome), outcome.Value
	switch { // what was measured is why there is no answer
	case outcome.Err != nil:
		ruling.result.Value = outcome.Err.Error()
	case len(outcome.NoData) > 0:
		ruling.result.Value = strings.Join(outcome.NoData, ", ")
	}
}

// results returns every rule's newest answer.
func (g *guards) results() []GuardResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	results := make([]GuardResult, 0, len(g.rules))
	for _, ruling := range g.rules {
		results = append(results, ruling.result)
	}
	return results
}

func answer(outcome guard.Outcome) string {
	switch {
	case outcome.Err != nil:
		return "error"
	case len(outcome.NoData) > 0:
		return "no data"
	case outcome.True:
		return "true"
	}
	return "false"
}

// explain says why a rule answered as it did.
func explain(rule *guard.Rule, outcome guard.Outcome) string {
	switch {
	case outcome.Err != nil:
		return fmt.Sprintf("%s: %v", rule.Expr(), outcome.Err)
	case len(outcome.NoData) > 0:
		return fmt.Sprintf("%s has no data: %s", rule.Expr(), strings.Join(outcome.NoData, ", "))
	case outcome.Value != "":
		return fmt.Sprintf("%s (%s)", rule.Expr(), outcome.Value)
	}
	return rule.Expr()
}

// unmet evaluates the rules of a kind and says which are not true, or nothing.
func (g *guards) unmet(kind string, w guard.World, now time.Time) (unmet []string, noData bool) {
	for _, ruling := range g.of(kind) {
		outcome := ruling.rule.Eval(w, now)
		g.record(ruling, outcome)
		if !outcome.True || outcome.Err != nil || len(outcome.NoData) > 0 {
			unmet = append(unmet, explain(ruling.rule, outcome))
			noData = noData || outcome.Err != nil || len(outcome.NoData) > 0
		}
	}
	return unmet, noData
}

// admit says why the faults may not start, or nothing: an admit rule that does not
// hold, or an abort rule that would fire at once.
func (g *guards) admit(w guard.World, now time.Time) string {
	unmet, _ := g.unmet(kindAdmit, w, now)
	for i, why := range unmet {
		unmet[i] = "admit rule does not hold: " + why
	}
	for _, ruling := range g.of(kindAbort) {
		outcome := ruling.rule.Eval(w, now)
		g.record(ruling, outcome)
		missing := outcome.Err != nil || len(outcome.NoData) > 0
		if outcome.True || missing && ruling.watch.Policy() == guard.NoDataAbort {
			unmet = append(unmet, "abort rule would fire at once: "+explain(ruling.rule, outcome))
		}
	}
	return strings.Join(unmet, "; ")
}

// guardFired is the cause of an abort.
type guardFired struct {
	rule            *guard.Rule
	outcome         guard.Outcome
	since, detected time.Time
}

func (e *guardFired) Error() string { return "abort rule fired: " + explain(e.rule, e.outcome) }

var errDeadmanDied = errors.New("the deadman died, and without it no fault may stay in")

// watch evaluates the abort rules whenever one of their SLIs has a new sample, and
// when time alone can change their answer, until ctx ends or one fires.
func (g *guards) watch(ctx context.Context, r *Run, abort context.CancelCauseFunc) {
	rulings := g.of(kindAbort)
	w := r.world()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var fresh map[string]bool
		select {
		case <-ctx.Done():
			return
		case <-g.deadman:
			abort(errDeadmanDied)
			return
		case <-r.dirty.ready:
			fresh = r.dirty.take()
		case <-timer.C:
		}
		now := time.Now()
		var next time.Time
		for _, ruling := range rulings {
			if concerns(ruling.rule, fresh) || !ruling.watch.Next().After(now) {
				verdict := ruling.watch.Check(w, now)
				g.note(r, ruling, verdict)
				if verdict.Fire {
					abort(&guardFired{ruling.rule, verdict.Outcome, verdict.Since, now})
					return
				}
			}
			if due := ruling.watch.Next(); next.IsZero() || due.Before(next) {
				next = due
			}
		}
		if !next.IsZero() {
			timer.Reset(max(0, time.Until(next)))
		}
	}
}

// note records an abort rule's answer, and tells the observer where it changed.
func (g *guards) note(r *Run, ruling *ruling, verdict guard.Verdict) {
	g.mu.Lock()
	before := ruling.result.Result
	g.mu.Unlock()
	g.record(ruling, verdict.Outcome)
	switch now := answer(verdict.Outcome); {
	case verdict.Fire:
		r.emit(Event{Kind: EventAbort, Text: "aborting: " + explain(ruling.rule, verdict.Outcome)})
	case now != before && now != "false":
		r.emit(Event{Kind: EventGuard, Text: fmt.Sprintf("abort rule is %s: %s", now, explain(ruling.rule, verdict.Outcome))})
	case now != before:
		r.emit(Event{Kind: EventGuard, Text: "abort rule is false again: " + ruling.rule.Expr()})
	}
}

// everything stands for all SLIs in signals: a fault came or went, which any rule can
// speak of.
const everything = ""

func concerns(rule *guard.Rule, fresh map[string]bool) bool {
	if fresh[everything] {
		return true
	}
	for _, name := range rule.SLIs() {
		if fresh[name] {
			return true
		}
	}
	return false
}

// signals is a set of SLIs with new samples, with a channel to wait on.
type signals struct {
	ready chan struct{}
	mu    sync.Mutex
	names map[string]bool
}

func newSignals() *signals {
	return &signals{ready: make(chan struct{}, 1), names: map[string]bool{}}
}

// set adds a name. It never blocks: a sampler must not wait for a guard.
func (s *signals) set(name string) {
	s.mu.Lock()
	s.names[name] = true
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// take returns the set and empties it.
func (s *signals) take() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.names
	s.names = map[string]bool{}
	return names
}
