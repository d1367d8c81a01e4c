package guard

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
	"github.com/squallhq/squall/safety/sli"
)

// inspection walks a type-checked expression for what CEL's types don't say: that
// windows are constant, that faults and targets exist, what the rule reads.
type inspection struct {
	compiler *Compiler
	text     strict.Text
	ast      *ast.AST
	rule     *Rule
	problems strict.Problems
}

func (i *inspection) inspect() {
	ast.PreOrderVisit(i.ast.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			i.ident(e)
		case ast.SelectKind:
			i.selection(e)
		case ast.CallKind:
			i.call(e)
		case ast.ComprehensionKind:
			i.comprehension(e)
		}
	}))
	slices.Sort(i.rule.slis)
	i.rule.slis = slices.Compact(i.rule.slis)
}

func (i *inspection) ident(e ast.Expr) {
	name := e.AsIdent()
	if _, isSLI := i.compiler.env.SLIs[name]; isSLI {
		i.rule.slis = append(i.rule.slis, name)
	}
	i.rule.timed = i.rule.timed || name == elapsedName
}

// selection checks targets.NAME.
func (i *inspection) selection(e ast.Expr) {
	s := e.AsSelect()
	if s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == targetsName {
		i.known(e, "target", s.FieldName(), i.compiler.env.Targets)
	}
}

// comprehension refuses a loop's variable that hides an SLI.
func (i *inspection) comprehension(e ast.Expr) {
	c := e.AsComprehension()
	for _, name := range []string{c.IterVar(), c.IterVar2()} {
		if _, isSLI := i.compiler.env.SLIs[name]; isSLI || slices.Contains(reserved, name) {
			i.report(i.problem(e, "the variable `%s` hides what the name means elsewhere", name).WithHint("give it another name"))
		}
	}
}

func (i *inspection) call(e ast.Expr) {
	c := e.AsCall()
	switch name := c.FunctionName(); {
	case name == faultFunction:
		if text, ok := literalText(c.Args()[1]); ok {
			i.known(c.Args()[1], "fault", text, i.compiler.env.Faults)
		} else {
			i.report(i.problem(c.Args()[1], "the name of a fault must be written out").WithHint(`write fault("name")`))
		}
	case name == operators.Index && c.Args()[0].Kind() == ast.IdentKind && c.Args()[0].AsIdent() == targetsName:
		if text, ok := literalText(c.Args()[1]); ok {
			i.known(c.Args()[1], "target", text, i.compiler.env.Targets)
		}
	case name == overloads.TypeConvertDuration:
		i.literalDuration(c.Args()[0])
	case comparisons[name] != "":
		i.comparison(e)
	case c.IsMemberFunction():
		if m := methodNamed(name); m != nil && i.isSLI(c.Target()) {
			i.method(e, m)
		}
	}
}

// literalDuration checks the text of duration("…").
func (i *inspection) literalDuration(e ast.Expr) {
	if text, ok := literalText(e); ok {
		if _, err := quantity.ParseDuration(text); err != nil {
			i.report(i.problem(e, "%v", err))
		}
	}
}

// isSLI says whether an expression's type is an SLI's, or its baseline's.
func (i *inspection) isSLI(e ast.Expr) bool {
	name := i.ast.GetType(e.ID()).TypeName()
	return name == sliType.TypeName() || name == baselineType.TypeName()
}

// method checks the call of an SLI's method and notes what it reads.
func (i *inspection) method(e ast.Expr, m *method) {
	read, ok := i.reading(e)
	if !ok {
		return
	}
	i.rule.timed = i.rule.timed || m.live
	if !m.window {
		return
	}
	w := Window{SLI: read.of.name, Range: read.over}
	if sampling, known := i.compiler.env.Sampling[w.SLI]; known {
		if err := sampling.Check(w.Range); err != nil {
			p := i.problem(last(e.AsCall().Args()), "%v", err)
			for _, text := range hint.Of(err) {
				p = p.WithHint("%s", text)
			}
			i.report(p)
			return
		}
	}
	if !slices.Contains(i.rule.windows, w) {
		i.rule.windows = append(i.rule.windows, w)
	}
}

// reading takes a method's call apart: of which SLI, over which window. It reports
// what is not constant.
func (i *inspection) reading(e ast.Expr) (read measurement, ok bool) {
	c := e.AsCall()
	read.method = methodNamed(c.FunctionName())
	receiver := c.Target()
	read.of = &opaque{}
	if receiver.Kind() == ast.CallKind && receiver.AsCall().FunctionName() == "baseline" && receiver.AsCall().IsMemberFunction() {
		read.of.baseline, read.over.Baseline = true, true
		receiver = receiver.AsCall().Target()
	}
	if receiver.Kind() != ast.IdentKind || !i.named(receiver) {
		i.report(i.problem(receiver, "%s must be called on the name of an SLI", read.method.name).
			WithHint("write %s.%s(…)", i.example(), read.method.name))
		return read, false
	}
	read.of.name = receiver.AsIdent()
	args := c.Args()
	if read.method.share != "" {
		if !i.share(args[0], &read) {
			return read, false
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return read, true
	}
	window := args[0]
	if window.Kind() == ast.CallKind && window.AsCall().FunctionName() == overloads.TypeConvertDuration {
		window = window.AsCall().Args()[0]
	}
	text, ok := literalText(window)
	if !ok {
		i.report(i.problem(window, "the window of %s must be written out: squall keeps each window up to date while it samples", read.method.name).
			WithHint(`write %s("5s")`, read.method.name))
		return read, false
	}
	length, err := windowLength(types.String(text))
	if err != nil {
		i.report(i.problem(window, "the window of %s: %v", read.method.name, err))
		return read, false
	}
	read.over.Length = length
	return read, true
}

// share checks a quantile or an objective that is written out.
func (i *inspection) share(e ast.Expr, read *measurement) bool {
	if e.Kind() != ast.LiteralKind {
		return true
	}
	share, ok := e.AsLiteral().(types.Double)
	read.share = float64(share)
	exact := read.method.name == "burn" // an objective of 0 or 1 leaves no budget to burn
	if ok && (share < 0 || share > 1 || exact && (share == 0 || share == 1)) {
		i.report(i.problem(e, "%s must be between 0 and 1", read.method.share).WithHint("99.9 %% is written 0.999"))
		return false
	}
	return true
}

func (i *inspection) named(e ast.Expr) bool {
	_, ok := i.compiler.env.SLIs[e.AsIdent()]
	return ok
}

// example is the name of an SLI of the document.
func (i *inspection) example() string {
	for _, name := range slices.Sorted(maps.Keys(i.compiler.env.SLIs)) {
		return name
	}
	return "checkout"
}

// comparisons are the operators of thresholds, as they are written.
var comparisons = map[string]string{
	operators.Less: "<", operators.LessEquals: "<=", operators.Greater: ">", operators.GreaterEquals: ">=",
}

var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}

// comparison notes a threshold, and refuses one that no sample can pass.
func (i *inspection) comparison(e ast.Expr) {
	args := e.AsCall().Args()
	operator := comparisons[e.AsCall().FunctionName()]
	figure, bound := args[0], args[1]
	if _, constant := literalNumber(figure); constant {
		figure, bound, operator = bound, figure, mirrored[operator]
	}
	value, constant := literalNumber(bound)
	if !constant || figure.Kind() != ast.CallKind || !figure.AsCall().IsMemberFunction() ||
		methodNamed(figure.AsCall().FunctionName()) == nil || !i.isSLI(figure.AsCall().Target()) {
		return
	}
	before := len(i.problems)
	read, ok := i.reading(figure)
	i.problems = i.problems[:before]                       // the call is visited for itself too
	if !ok || read.method.share != "" && read.share == 0 { // a share that is computed
		return
	}
	t := Threshold{SLI: read.of.name, Call: read.String(), Operator: operator, Bound: value, OfValues: read.method.result == valueType}
	i.rule.thresholds = append(i.rule.thresholds, t)
	i.reachable(bound, t)
}

// reachable refuses a bound on a latency that no sample can pass, because no attempt
// is waited for as long.
func (i *inspection) reachable(e ast.Expr, t Threshold) {
	sampling, known := i.compiler.env.Sampling[t.SLI]
	timeout := sampling.Timeout.Seconds()
	strict := t.Operator == ">" || t.Operator == "<="
	if !known || !t.OfValues || i.compiler.env.SLIs[t.SLI] != sli.Latency || t.Bound < timeout || t.Bound == timeout && !strict {
		return
	}
	bound := time.Duration(t.Bound * float64(time.Second))
	i.report(i.problem(e, "%s can't be above %s: an attempt is given up after %s", t.Call, bound, sampling.Timeout).
		WithHint("give %s a longer timeout and interval, or write a lower bound", t.SLI))
}

// known reports a name that is not one of the names.
func (i *inspection) known(e ast.Expr, kind, name string, names []string) {
	if slices.Contains(names, name) {
		return
	}
	p := i.problem(e, "there is no %s `%s`", kind, name)
	if near := strict.Suggest(name, names); near != "" {
		p = p.WithHint("did you mean `%s`?", near)
	}
	i.report(p)
}

// problem makes a problem that stands where an expression begins.
func (i *inspection) problem(e ast.Expr, format string, args ...any) *strict.Problem {
	at := i.ast.SourceInfo().GetStartLocation(e.ID())
	column := at.Column() - nameBefore(i.text.Value, at.Line(), at.Column())
	return i.text.ProblemAt(max(at.Line(), 1), max(column, 0)+1, fmt.Sprintf(format, args...))
}

func (i *inspection) report(p *strict.Problem) { i.problems = append(i.problems, p) }

func literalText(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// literalNumber reads a number, or duration("…") as seconds.
func literalNumber(e ast.Expr) (float64, bool) {
	if e.Kind() == ast.LiteralKind {
		return number(e.AsLiteral())
	}
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.TypeConvertDuration {
		return 0, false
	}
	text, ok := literalText(e.AsCall().Args()[0])
	d, err := quantity.ParseDuration(text)
	return d.D().Seconds(), ok && err == nil
}

func last(args []ast.Expr) ast.Expr { return args[len(args)-1] }
