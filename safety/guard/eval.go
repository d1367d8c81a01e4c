package guard

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/squallhq/squall/safety/sli"
)

// World is what rules can see of a run.
type World interface {
	// Series returns an SLI's samples, nil where it is not sampled.
	Series(name string) *sli.Series
	// Elapsed is the time since the present phase of faults, or else the run, began.
	Elapsed() time.Duration
	// Phase is the present phase.
	Phase() string
	// FaultActive says whether a fault is in.
	FaultActive(name string) bool
	// Targets returns the names of the targets that were picked for a name under
	// targets.
	Targets(name string) []string
}

// Outcome is what a rule came to.
type Outcome struct {
	// True is the answer, where there is one.
	True bool
	// NoData names the SLIs whose data was needed and absent, each with the reason:
	// "checkout: no sample in the last 5s". Where it isn't empty there is no answer.
	NoData []string
	// Early says that the absent data can't be there yet: a phase, or the sampling,
	// only just began. NoData isn't empty then.
	Early bool
	// Err is any other reason for there being no answer, such as a division by zero.
	Err error
	// Value is what was measured to get there: "checkout.p99(5s) = 812ms".
	Value string
}

// Known says whether the rule has an answer.
func (o Outcome) Known() bool { return o.Err == nil && len(o.NoData) == 0 }

// Eval evaluates the rule at now. It reads w and changes nothing.
func (r *Rule) Eval(w World, now time.Time) Outcome {
	run := &evaluation{rule: r, world: w, now: now}
	result, _, err := r.program.Eval(run)
	outcome := Outcome{Value: run.shown()}
	if err == nil {
		if answer, ok := result.(types.Bool); ok {
			outcome.True = bool(answer)
			return outcome
		}
		err = errors.New("the rule did not yield a bool")
	}
	outcome.NoData, outcome.Early = run.missing()
	if _, missing := errors.AsType[*sli.NoDataError](err); !missing || len(outcome.NoData) == 0 {
		outcome.Err, outcome.Early = cause(err), false
	}
	return outcome
}

// cause unwraps what CEL puts around an error of ours.
func cause(err error) error {
	if wrapped, ok := errors.AsType[*types.Err](err); ok && wrapped.Unwrap() != nil {
		return wrapped.Unwrap()
	}
	return err
}

// evaluation is one evaluation of a rule: the variables that CEL asks for, and a
// record of what was measured.
type evaluation struct {
	rule     *Rule
	world    World
	now      time.Time
	measured []measurement
}

// ResolveName gives CEL a variable's value.
func (e *evaluation) ResolveName(name string) (any, bool) {
	switch name {
	case elapsedName:
		return types.Duration{Duration: e.world.Elapsed()}, true
	case phaseName:
		return types.String(e.world.Phase()), true
	case targetsName:
		targets := map[string][]string{}
		for _, name := range e.rule.compiler.env.Targets {
			targets[name] = e.world.Targets(name)
		}
		return adapter.NativeToValue(targets), true
	case faultsVariable:
		return &opaque{kind: faultsType, run: e}, true
	}
	unit, ok := e.rule.compiler.env.SLIs[name]
	return &opaque{kind: typeOf(unit), run: e, name: name}, ok
}

// Parent is part of CEL's interface: there are no other variables.
func (e *evaluation) Parent() cel.Activation { return nil }

func typeOf(unit sli.Unit) *cel.Type {
	if unit == sli.Latency {
		return latencyType
	}
	return numberType
}

// measure answers a method's call, and records it.
func (e *evaluation) measure(m measurement) ref.Val {
	series := e.world.Series(m.of.name)
	if series == nil {
		m.err = &sli.NoDataError{Reason: "it is not sampled"}
	} else {
		var value float64
		value, m.err = m.method.ask(series, question{m.share, m.over, e.now})
		m.value = m.result(value, series.Unit())
	}
	e.measured = append(e.measured, m)
	if m.err != nil {
		return types.WrapErr(m.err)
	}
	return m.value
}

// shown lists what was measured, each thing once.
func (e *evaluation) shown() string {
	var values []string
	for i := range e.measured {
		if m := &e.measured[i]; m.err == nil {
			if text := m.String() + " = " + shown(m.value); !slices.Contains(values, text) {
				values = append(values, text)
			}
		}
	}
	return strings.Join(values, ", ")
}

// missing lists what could not be measured, and says whether it is all too early.
func (e *evaluation) missing() (reasons []string, early bool) {
	early = true
	for i := range e.measured {
		m := &e.measured[i]
		absent, ok := errors.AsType[*sli.NoDataError](m.err)
		if !ok {
			continue
		}
		early = early && absent.Early
		if text := m.of.name + ": " + absent.Reason; !slices.Contains(reasons, text) {
			reasons = append(reasons, text)
		}
	}
	return reasons, early && len(reasons) > 0
}
