package guard

import (
	"fmt"
	"slices"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// The names that are always there, beside the SLIs.
const (
	elapsedName = "elapsed"
	phaseName   = "phase"
	targetsName = "targets"
	faultName   = "fault"
)

// What fault("name") expands to: the hidden function, called with the hidden
// variable that knows the run.
const (
	faultsVariable = "@faults"
	faultFunction  = "@fault"
)

// Limits of an expression.
const (
	maxExpression = 4096   // characters
	maxDepth      = 64     // of its nesting
	maxCost       = 50_000 // in CEL's units, at the worst that its estimate allows
	maxList       = 1000   // items or characters of a value whose size is not known
)

// The types of SLIs. sli(duration) is a latency, sli(double) any other; T is what
// its values are. baseline(T) is the same SLI over its baseline.
var (
	valueType    = cel.TypeParamType("T")
	sliType      = cel.OpaqueType("sli", valueType)
	baselineType = cel.OpaqueType("baseline", valueType)
	latencyType  = cel.OpaqueType("sli", cel.DurationType)
	numberType   = cel.OpaqueType("sli", cel.DoubleType)
	faultType    = cel.OpaqueType("fault")
	faultsType   = cel.OpaqueType("faults")
)

// methods are what can be asked of an SLI.
var methods = []method{
	{name: "last", ask: askLast, result: valueType},
	{name: "mean", ask: askMean, result: valueType, window: true},
	{name: "min", ask: askMin, result: valueType, window: true},
	{name: "max", ask: askMax, result: valueType, window: true},
	{name: "p50", ask: askQuantile(0.50), result: valueType, window: true},
	{name: "p90", ask: askQuantile(0.90), result: valueType, window: true},
	{name: "p95", ask: askQuantile(0.95), result: valueType, window: true},
	{name: "p99", ask: askQuantile(0.99), result: valueType, window: true},
	{name: "quantile", ask: askQuantileOf, result: valueType, window: true, share: "the quantile"},
	{name: "rate", ask: askRate, result: cel.DoubleType, window: true, numbers: true},
	{name: "count", ask: askCount, result: cel.DoubleType, window: true},
	{name: "okRatio", ask: askOKRatio, result: cel.DoubleType, window: true},
	{name: "burn", ask: askBurn, result: cel.DoubleType, window: true, share: "the objective"},
	{name: "age", ask: askAge, result: cel.DurationType, live: true},
}

// method is one method of an SLI.
type method struct {
	name    string
	ask     ask
	result  *cel.Type
	share   string // what its first argument is, a number between 0 and 1; empty where it has none
	window  bool   // it takes a window
	numbers bool   // only of an SLI whose values are numbers
	live    bool   // not of a baseline
}

func methodNamed(name string) *method {
	if i := slices.IndexFunc(methods, func(m method) bool { return m.name == name }); i >= 0 {
		return &methods[i]
	}
	return nil
}

func methodNames() []string {
	names := []string{"baseline"}
	for _, m := range methods {
		names = append(names, m.name)
	}
	return names
}

// declare returns the method's declaration: with and without a window, which is a
// text or a duration.
func (m *method) declare() cel.EnvOption {
	receivers := []*cel.Type{sliType, baselineType}
	switch {
	case m.numbers:
		receivers = []*cel.Type{numberType, cel.OpaqueType("baseline", cel.DoubleType)}
	case m.live:
		receivers = []*cel.Type{sliType}
	}
	var overloads []cel.FunctionOpt
	for _, receiver := range receivers {
		args := []*cel.Type{receiver}
		if m.share != "" {
			args = append(args, cel.DoubleType)
		}
		add := func(kind string, args []*cel.Type) {
			id := receiver.TypeName() + "_" + m.name + kind
			overloads = append(overloads, cel.MemberOverload(id, args, m.result))
		}
		add("", args)
		if m.window {
			add("_string", append(slices.Clone(args), cel.StringType))
			add("_duration", append(slices.Clone(args), cel.DurationType))
		}
	}
	overloads = append(overloads, cel.SingletonFunctionBinding(m.call))
	return cel.Function(m.name, overloads...)
}

// base returns the environment without any SLI. Building it takes a millisecond or
// two, so it is built once, when the first rule is compiled.
var base = sync.OnceValues(newBase)

func newBase() (*cel.Env, error) {
	// Multiplication and division are declared anew, with durations; CEL binds each
	// of its operators as a whole.
	standard := new(env.LibrarySubset).AddExcludedFunctions(
		env.NewFunction(operators.Multiply), env.NewFunction(operators.Divide))
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(standard)),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(maxDepth),
		cel.Variable(elapsedName, cel.DurationType),
		cel.Variable(phaseName, cel.StringType),
		cel.Variable(targetsName, cel.MapType(cel.StringType, cel.ListType(cel.StringType))),
		cel.Variable(faultsVariable, faultsType),
		cel.Macros(cel.GlobalMacro(faultName, 1, expandFault)),
		cel.Function(faultFunction, cel.Overload("fault_of", []*cel.Type{faultsType, cel.StringType}, faultType),
			cel.SingletonBinaryBinding(callFault)),
		cel.Function("active", cel.MemberOverload("fault_active", []*cel.Type{faultType}, cel.BoolType),
			cel.SingletonUnaryBinding(callActive)),
		cel.Function("baseline", cel.MemberOverload("sli_baseline", []*cel.Type{sliType}, baselineType),
			cel.SingletonUnaryBinding(callBaseline)),
		cel.Function(operators.Multiply, arithmetic("multiply", multiply, multiplications)...),
		cel.Function(operators.Divide, arithmetic("divide", divide, divisions)...),
	}
	for i := range methods {
		options = append(options, methods[i].declare())
	}
	built, err := cel.NewCustomEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("cannot build the guards' language: %w", err)
	}
	return built, nil
}

// expandFault makes fault(x) a call that can reach the run.
func expandFault(eh cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	return eh.NewCall(faultFunction, eh.NewIdent(faultsVariable), args[0]), nil
}

// reserved are the names that CEL or this package has given a meaning: CEL's
// keywords and those it keeps for later, its types, and ours.
var reserved = []string{
	"as", "bool", "break", "bytes", "const", "continue", "double", "duration", "dyn",
	"else", "false", "for", "function", "google", "if", "import", "in", "int", "let",
	"list", "loop", "map", "namespace", "null", "null_type", "package", "return",
	"string", "timestamp", "true", "type", "uint", "var", "void", "while",
	elapsedName, phaseName, targetsName, faultName,
}

// CheckName says why an SLI of that name could not be used in a rule; nil where it
// can.
func CheckName(name string) error {
	for i, r := range name {
		if !isLetterOrDigit(r) || i == 0 && r >= '0' && r <= '9' {
			return fmt.Errorf("the name %q can't stand in a rule: write letters, digits and _, with a letter first", name)
		}
	}
	switch {
	case name == "":
		return fmt.Errorf("the name of an SLI is empty")
	case slices.Contains(reserved, name):
		return fmt.Errorf("the name %q has a meaning of its own in rules: choose another", name)
	}
	return nil
}

// adapter turns Go values into CEL's; ours are CEL values already.
var adapter = types.DefaultTypeAdapter
