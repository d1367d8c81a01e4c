package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/squallhq/squall/experiments/engine"
)

// Text writes the summary that ends a run on a terminal. It holds no colour and no
// control character but line breaks.
func Text(w io.Writer, r *engine.Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", strings.ToUpper(headline(r)), title(r))
	row := func(label, format string, args ...any) {
		if line := fmt.Sprintf(format, args...); line != "" {
			fmt.Fprintf(&b, "  %-11s %s\n", label, line)
		}
	}
	if r.Rollback == engine.Incomplete {
		row("verdict", "%s", name(string(r.Verdict)))
	}
	row("reason", "%s", text(r.Reason))
	row("hypothesis", "%s", text(r.Hypothesis))
	for _, f := range r.Faults {
		row("fault", "%s on %s: %s", name(f.Name), name(f.Target), span(r, f))
		if f.Applied != nil {
			row("", "%s", evidence(f.Evidence))
		}
		if f.Error != "" {
			row("", "error: %s", text(f.Error))
		}
	}
	for _, g := range r.Guards {
		if g.Result == "not evaluated" {
			continue
		}
		row("guard", "%-8s %s: %s%s", name(g.Kind), text(g.Expr), name(g.Result), measured(g))
	}
	for _, s := range slis(r) {
		row("sli", "%s: %s", name(s.Name), phases(s))
	}
	row("reaction", "%s", reaction(r))
	row("recovery", "%s", recovery(r))
	for _, note := range r.Notes {
		row("note", "%s", text(note))
	}
	row("rollback", "%s", name(string(r.Rollback)))
	for _, left := range r.Left {
		row("left", "%s", text(left))
	}
	row("run", "%s, %s", name(r.Run), seconds(took(r)))
	return write(w, "text", b.String())
}

func measured(g engine.GuardResult) string {
	if g.Value == "" {
		return ""
	}
	return " (" + text(g.Value) + ")"
}

// phases sums an SLI up in one line.
func phases(s named) string {
	var parts []string
	for _, p := range windows(s.SLIResult) {
		if p.Summary != nil {
			parts = append(parts, fmt.Sprintf("%s p99 %s, %s ok", p.Name, value(s.Unit, p.P99), percent(p.OKRatio)))
		}
	}
	if len(parts) == 0 {
		return "no samples"
	}
	return strings.Join(parts, "; ")
}

// Alarm says as loudly as text can that something could not be put back, what it is,
// and what to do. It writes nothing where the rollback is clean.
func Alarm(w io.Writer, r *engine.Result) {
	if r.Rollback != engine.Incomplete {
		return
	}
	line := strings.Repeat("!", 72)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n!! ROLLBACK INCOMPLETE: squall could not put everything back.\n!! What is left of run %s:\n", line, name(r.Run))
	for _, left := range r.Left {
		fmt.Fprintf(&b, "!!   - %s\n", text(left))
	}
	fmt.Fprintf(&b, "!! Its undo records are kept. This tries again, as often as needed:\n!!\n!!       squall recover\n!!\n%s\n", line)
	// Where standard error is gone there is nobody left to tell.
	_, _ = io.WriteString(w, b.String())
}
