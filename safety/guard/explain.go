package guard

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/common"

	"github.com/squallhq/squall/internal/strict"
)

// maxIssues is how many of CEL's errors about one rule are shown. One mistake often
// makes several.
const maxIssues = 5

// CEL's messages, from its checker/errors.go.
var (
	undeclared = regexp.MustCompile(`^undeclared reference to '(.*)' \(in container '.*'\)$`)
	// bareDuration is a duration without its quotes.
	bareDuration = regexp.MustCompile(`(?:^|[\s(<>=,*/+-])([0-9]+(?:\.[0-9]+)?(?:ms|us|s|m|h))\b`)
	percentile   = regexp.MustCompile(`^p[0-9]+$`)
	noOverload   = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*)'$`)
)

// explain turns CEL's errors into problems of the document, in words that need no
// knowledge of CEL.
func (c *Compiler) explain(text strict.Text, issues []*common.Error) strict.Problems {
	if strings.TrimSpace(text.Value) == "" {
		return strict.Problems{text.ProblemAt(1, 1, "the rule is empty")}
	}
	var problems strict.Problems
	for _, issue := range issues[:min(maxIssues, len(issues))] {
		message, way := c.translate(issue.Message, text.Value)
		line, column := issue.Location.Line(), issue.Location.Column()
		p := text.ProblemAt(max(line, 1), max(column-nameBefore(text.Value, line, column), 0)+1, message)
		if way != "" {
			p = p.WithHint("%s", way)
		}
		problems = append(problems, p)
	}
	return problems
}

// nameBefore returns the length of the function's name where a location is that of
// the parenthesis after it, as CEL locates calls. line counts from 1, column from 0.
func nameBefore(text string, line, column int) int {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return 0
	}
	runes := []rune(lines[line-1])
	if column < 0 || column >= len(runes) || runes[column] != '(' {
		return 0
	}
	before := string(runes[:column])
	return len(before) - len(strings.TrimRightFunc(before, isLetterOrDigit))
}

// translate returns CEL's message in our words, and a way out where there is one.
func (c *Compiler) translate(message, text string) (translated, way string) {
	if m := undeclared.FindStringSubmatch(message); m != nil {
		return c.unknownName(m[1])
	}
	if m := noOverload.FindStringSubmatch(message); m != nil {
		return c.mismatch(m[1], m[2])
	}
	switch {
	case strings.Contains(message, "recursion"):
		return "the rule is nested too deeply", "write it as several rules"
	case strings.Contains(message, "size exceeds limit"):
		return fmt.Sprintf("the rule is longer than %d characters", maxExpression), "write it as several rules"
	}
	syntax, isSyntax := strings.CutPrefix(message, "Syntax error: ")
	if !isSyntax {
		return message, ""
	}
	switch {
	case strings.Contains(text, "%"):
		way = "a share is written as a number: 1 % is 0.01"
	case bareDuration.MatchString(text):
		way = fmt.Sprintf("a window is written in quotes, as in okRatio(\"%s\"), and a duration as duration(\"%[1]s\")", bareDuration.FindStringSubmatch(text)[1])
	}
	if strings.HasPrefix(syntax, "mismatched input '<EOF>'") {
		return "the rule ends where something is still missing", way
	}
	syntax, _, _ = strings.Cut(syntax, " expecting ")
	return "this is not CEL: " + syntax, way
}

// unknownName is about a name that means nothing.
func (c *Compiler) unknownName(name string) (message, way string) {
	message = fmt.Sprintf("unknown name `%s`", name)
	known := slices.Sorted(maps.Keys(c.env.SLIs))
	for _, sliName := range known {
		if err := CheckName(sliName); err != nil && strings.HasPrefix(sliName, name) {
			return message, err.Error()
		}
	}
	functions := append(methodNames(), "active", "duration", faultName)
	candidates := slices.Concat(known, []string{elapsedName, phaseName, targetsName}, functions)
	switch near := strict.Suggest(name, candidates); {
	case percentile.MatchString(name):
		return message, fmt.Sprintf("write quantile(0.%s, \"5s\")", name[1:])
	case slices.Contains(functions, name):
		return message, fmt.Sprintf("`%s` is a method: write it after a dot", name)
	case near != "":
		return message, fmt.Sprintf("did you mean `%s`?", near)
	case len(known) == 0:
		return message, "the document has no SLIs"
	}
	return message, "the SLIs are " + strings.Join(known, ", ")
}

// mismatch is about a function or operator that does not take what it was given.
func (c *Compiler) mismatch(function, signature string) (message, way string) {
	operator := strings.Trim(function, "_")
	isOperator := operator != function && strings.HasPrefix(function, "_") || function == "!_" || function == "-_"
	if !isOperator {
		return c.mismatchedCall(function, signature)
	}
	left, right, _ := strings.Cut(strings.Trim(signature, "()"), ", ")
	both := func(a, b string) bool { return left == a && right == b || left == b && right == a }
	numeric := func(t string) bool { return t == "int" || t == "double" || t == "uint" }
	message = fmt.Sprintf("`%s` can't be used between %s and %s", operator, typeName(left), typeName(right))
	switch {
	case strings.HasPrefix(left, "sli(") || strings.HasPrefix(right, "sli(") || strings.HasPrefix(left, "baseline(") || strings.HasPrefix(right, "baseline("):
		way = `an SLI has many values: ask for one of them, as in last() or p99("5s")`
	case left == "duration" && numeric(right), right == "duration" && numeric(left):
		way = `a duration is written duration("800ms")`
	case both("duration", "string"):
		way = `a duration is written duration("800ms"), a text alone is not one`
	case both("int", "double"), both("uint", "double"):
		way = "write both numbers with a point: 2.0"
	case function == "_||_" || function == "_&&_":
		way = "both sides must be true or false"
	}
	return message, way
}

// mismatchedCall is about a function that does not take what it was given.
func (c *Compiler) mismatchedCall(function, signature string) (message, way string) {
	receiver, args, isMethod := strings.Cut(signature, ".(")
	m := methodNamed(function)
	switch {
	case isMethod && args == ")":
		message = fmt.Sprintf("`%s` can't be asked of %s without an argument", function, typeName(receiver))
	case isMethod:
		message = fmt.Sprintf("`%s` can't be asked of %s with %s", function, typeName(receiver), typeName(strings.TrimSuffix(args, ")")))
	default:
		message = fmt.Sprintf("`%s` can't be called with %s", function, typeName(strings.Trim(signature, "()")))
	}
	switch {
	case m == nil:
	case !isMethod:
		way = fmt.Sprintf("`%s` is a method: write it after an SLI's name and a dot", function)
	case m.numbers && strings.Contains(receiver, "(duration)"):
		way = fmt.Sprintf("%s is for counters, and this SLI is a latency", function)
	case m.live && strings.HasPrefix(receiver, "baseline("):
		way = fmt.Sprintf("a baseline has no %s", function)
	default:
		way = callOf(m)
	}
	return message, way
}

// callOf shows how a method is called.
func callOf(m *method) string {
	var args []string
	if m.share != "" {
		args = append(args, "0.99")
	}
	if m.window {
		args = append(args, `"5s"`)
	}
	text := fmt.Sprintf("write %s(%s)", m.name, strings.Join(args, ", "))
	if m.window {
		args = args[:len(args)-1]
		text += fmt.Sprintf(", or %s(%s) for all of the phase", m.name, strings.Join(args, ", "))
	}
	return text
}

func isLetterOrDigit(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

var typeNames = strings.NewReplacer(
	"sli(duration)", "a latency SLI", "sli(double)", "an SLI", "sli(<T>)", "an SLI",
	"baseline(duration)", "a latency's baseline", "baseline(double)", "a baseline",
	"duration", "a duration", "int", "a whole number", "double", "a number", "string", "a text", "bool", "a truth value")

// typeName is a CEL type for people.
func typeName(cel string) string { return typeNames.Replace(cel) }
