package guard

import (
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"

	"github.com/squallhq/squall/internal/strict"
	"github.com/squallhq/squall/safety/sli"
)

// Env is what the rules of one document can name.
type Env struct {
	SLIs    map[string]sli.Unit
	Faults  []string
	Targets []string
	// Sampling holds the clocks of the SLIs. Where it has one, windows that it can't
	// fill and thresholds that it can't reach are problems.
	Sampling map[string]sli.Sampling
}

// Compiler compiles the rules of one document. It may be used from any goroutine.
type Compiler struct {
	env   Env
	build func() (*cel.Env, error)
}

// NewCompiler returns a Compiler. It costs nothing until the first rule.
func NewCompiler(env Env) *Compiler {
	c := &Compiler{env: env}
	c.build = sync.OnceValues(func() (*cel.Env, error) {
		base, err := base()
		if err != nil {
			return nil, err
		}
		var variables []cel.EnvOption
		for name, unit := range env.SLIs {
			if CheckName(name) == nil {
				variables = append(variables, cel.Variable(name, typeOf(unit)))
			}
		}
		extended, err := base.Extend(variables...)
		if err != nil {
			return nil, fmt.Errorf("cannot declare the SLIs: %w", err)
		}
		return extended, nil
	})
	return c
}

// Compile compiles and checks a rule: it must yield a bool, every name must be
// known, every window constant, and its cost bounded. Problems stand where they are
// in the document. The Rule is nil where there are problems.
func (c *Compiler) Compile(text strict.Text) (*Rule, strict.Problems) {
	env, err := c.build()
	if err != nil {
		return nil, strict.Problems{text.At.Problemf("%v", err)}
	}
	checked, issues := env.Compile(text.Value)
	if issues.Err() != nil {
		return nil, c.explain(text, issues.Errors())
	}
	i := &inspection{compiler: c, text: text, ast: checked.NativeRep(), rule: &Rule{text: text.Value, compiler: c}}
	i.inspect()
	if len(i.problems) > 0 {
		return nil, i.problems
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, strict.Problems{text.ProblemAt(1, 1, fmt.Sprintf("a rule must yield true or false, and this yields %s", typeName(checked.OutputType().String()))).
			WithHint("compare it with something, as in checkout.p99(\"5s\") < duration(\"800ms\")")}
	}
	cost, err := env.EstimateCost(checked, sizes{})
	if err != nil || cost.Max > maxCost {
		return nil, strict.Problems{text.ProblemAt(1, 1, "the rule could take too long to evaluate").
			WithHint("write it without nested lists and loops, or as several rules")}
	}
	i.rule.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, strict.Problems{text.ProblemAt(1, 1, fmt.Sprintf("the rule can't be compiled: %v", err))}
	}
	return i.rule, nil
}

// sizes bounds the values whose size CEL can't know.
type sizes struct{}

// EstimateSize gives every such value the same bound.
func (sizes) EstimateSize(checker.AstNode) *checker.SizeEstimate {
	return &checker.SizeEstimate{Min: 0, Max: maxList}
}

// EstimateCallCost leaves the cost of calls to CEL.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
