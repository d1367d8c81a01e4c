package engine

import (
	"maps"
	"slices"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/target"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/strict"
	"github.com/squallhq/squall/safety/guard"
	"github.com/squallhq/squall/safety/sli"
)

// Vocabulary is everything that a document can say, given the injectors.
func Vocabulary(registry *injectors.Registry) strict.Vocabulary {
	return strict.Vocabulary{
		experiments.TargetChoices: target.Choices(),
		experiments.SLIChoices:    sli.Choices(),
		experiments.FaultChoices:  registry.Choices(),
	}
}

// Program is an experiment's guards, compiled.
type Program struct {
	Admit []*guard.Rule
	Abort []AbortRule
	Pass  []*guard.Rule
}

// AbortRule is a compiled abort rule with its policy.
type AbortRule struct {
	*guard.Rule
	Source experiments.Abort
}

// Compile type-checks an experiment's guards. It has no effects, and reports every
// problem. It takes experiments.Documents.Unsound too: where what the guards speak of
// could not be read, it reports nothing.
func Compile(experiment *experiments.Experiment) (*Program, strict.Problems) {
	spec := &experiment.Spec
	env := guard.Env{SLIs: map[string]sli.Unit{}, Sampling: map[string]sli.Sampling{}}
	var problems strict.Problems
	for name, definition := range spec.SLIs {
		sampler, ok := definition.Sampler.Spec.(sli.Spec)
		if !ok {
			return nil, nil
		}
		env.SLIs[name] = sampler.Unit()
		sampling, err := sli.SamplingOf(sampler, definition.Every.D())
		if err != nil {
			problem := definition.Sampler.At.Problemf("SLI `%s`: %v", name, err)
			if ways := hint.Of(err); len(ways) > 0 {
				problem = problem.WithHint("%s", ways[0])
			}
			problems = append(problems, problem)
			continue
		}
		env.Sampling[name] = sampling
	}
	for _, fault := range spec.Faults {
		env.Faults = append(env.Faults, fault.Name)
	}
	env.Targets = slices.Sorted(maps.Keys(spec.Targets))
	compiler := guard.NewCompiler(env)
	compile := func(text strict.Text) *guard.Rule {
		rule, found := compiler.Compile(text)
		problems = append(problems, found...)
		return rule
	}
	program := &Program{}
	for _, rule := range spec.Guards.Admit {
		program.Admit = append(program.Admit, compile(rule.If))
	}
	for _, rule := range spec.Guards.Abort {
		program.Abort = append(program.Abort, AbortRule{compile(rule.If), rule})
	}
	for _, rule := range spec.Guards.Pass {
		program.Pass = append(program.Pass, compile(rule.If))
	}
	return program, problems
}

// rules returns every rule of a program.
func (p *Program) rules() []*guard.Rule {
	rules := slices.Concat(p.Admit, p.Pass)
	for _, abort := range p.Abort {
		rules = append(rules, abort.Rule)
	}
	return rules
}
