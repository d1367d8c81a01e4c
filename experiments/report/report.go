// Package report renders a finished run: as one line of JSON for programs, as a page
// of HTML for people to show around, as Markdown for a pull request, as JUnit XML for
// a build server, and as the few lines of text that end a run on a terminal.
//
// A result's strings (names of containers, rules, a server's own words inside an
// error) come from outside. Each form makes them harmless in its own notation.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/printable"
)

// The most characters that a report shows of one string from outside.
const (
	maxName = 120
	maxText = 1000
)

// JSON writes the result as one line.
func JSON(w io.Writer, r *engine.Result) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot write the result as JSON: %w", err)
	}
	// encoding/json leaves characters alone that can steer a terminal (U+009B is a
	// terminal's CSI). Outside of ASCII they only occur inside strings, where an
	// escape means the same.
	var b strings.Builder
	for _, c := range string(data) {
		if c > unicode.MaxASCII && c <= 0xffff && !unicode.IsPrint(c) {
			fmt.Fprintf(&b, `\u%04x`, c)
			continue
		}
		b.WriteRune(c)
	}
	b.WriteByte('\n')
	return write(w, "JSON", b.String())
}

func write(w io.Writer, form, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("cannot write the result as %s: %w", form, err)
	}
	return nil
}

func name(s string) string { return printable.Text(s, maxName) }
func text(s string) string { return printable.Text(s, maxText) }

// headline is the verdict as a report says it: an incomplete rollback wins over
// every verdict.
func headline(r *engine.Result) string {
	if r.Rollback == engine.Incomplete {
		return "rollback incomplete"
	}
	return name(string(r.Verdict))
}

// meaning says in a sentence what a verdict is.
func meaning(v engine.Verdict) string {
	switch v {
	case engine.Held:
		return "The hypothesis held: the faults provably took effect, and the steady state came back."
	case engine.Breached:
		return "The hypothesis did not hold."
	case engine.Refused:
		return "The run was not admitted. Nothing was touched."
	case engine.Inconclusive:
		return "The run proves nothing, neither way."
	case engine.Stopped:
		return "The run was stopped before its end, and rolled back."
	}
	return ""
}

// moment is something that happened at an instant of a run.
type moment struct {
	At   time.Time
	Text string
	Kind string // phase, fault, bad, good
}

// moments tells a run in the order in which it happened.
func moments(r *engine.Result) []moment {
	var list []moment
	add := func(at time.Time, kind, format string, args ...any) {
		list = append(list, moment{at, fmt.Sprintf(format, args...), kind})
	}
	for _, p := range r.Phases {
		switch p.Phase {
		case engine.PhaseBaseline:
			add(p.At, "phase", "The baseline begins: the steady state is measured.")
		case engine.PhaseFaults:
			add(p.At, "phase", "The faults begin.")
		case engine.PhaseRollback:
			add(p.At, "phase", "The rollback begins.")
		case engine.PhaseRecovery:
			add(p.At, "phase", "The recovery begins: the steady state has to come back.")
		case engine.PhaseDone:
			add(p.At, "phase", "The run ends.")
		default:
			add(p.At, "phase", "The phase %s begins.", name(string(p.Phase)))
		}
	}
	for _, f := range r.Faults {
		if f.Applied != nil {
			add(*f.Applied, "fault", "Fault %s is in %s, and was verified.", name(f.Name), name(f.Target))
		}
		if f.Evidence.Lost != nil {
			add(*f.Evidence.Lost, "bad", "Fault %s is gone from %s before its time.", name(f.Name), name(f.Target))
		}
		if f.Reverted != nil {
			add(*f.Reverted, "fault", "Fault %s is out of %s, and was verified gone.", name(f.Name), name(f.Target))
		}
	}
	if x := r.Reaction; x != nil {
		add(x.Breach, "bad", "A sample breaks a rule.")
		add(x.Detected, "bad", "A guard says abort.")
		if r.Rollback == engine.Clean {
			add(x.Clean, "good", "The last fault is verified gone, %s after the breach.", seconds(x.Total))
		}
	}
	slices.SortStableFunc(list, func(a, b moment) int { return a.At.Compare(b.At) })
	return list
}

// offset is an instant as the time since the run's start.
func offset(r *engine.Result, at time.Time) string {
	return fmt.Sprintf("%+.2f s", at.Sub(r.Started).Seconds())
}

// span is when a fault was in, in words.
func span(r *engine.Result, f engine.FaultResult) string {
	switch {
	case f.Applied == nil:
		return "never in"
	case f.Reverted == nil:
		return "in at " + offset(r, *f.Applied) + ", NOT REVERTED"
	}
	return fmt.Sprintf("in at %s, out at %s", offset(r, *f.Applied), offset(r, *f.Reverted))
}

// evidence is what proves a fault, in words.
func evidence(e engine.Evidence) string {
	parts := []string{fmt.Sprintf("touched %s", count(e.Touched, e.Unit))}
	if e.Detail != "" {
		parts = append(parts, text(e.Detail))
	}
	for _, f := range e.Facts {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s %s", name(f.Name), number(f.Value), name(f.Unit))))
	}
	return strings.Join(parts, "; ")
}

func count(n uint64, unit string) string {
	if unit == "" {
		return grouped(n)
	}
	return grouped(n) + " " + name(unit)
}

// grouped writes a number with a comma between groups of three digits.
func grouped(n uint64) string {
	digits := fmt.Sprint(n)
	if len(digits) <= 4 {
		return digits
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// named is an SLI with its name.
type named struct {
	Name string
	engine.SLIResult
}

func slis(r *engine.Result) []named {
	list := make([]named, 0, len(r.SLIs))
	for _, n := range slices.Sorted(maps.Keys(r.SLIs)) {
		list = append(list, named{n, r.SLIs[n]})
	}
	return list
}

// recovery says how the steady state came back, or nothing.
func recovery(r *engine.Result) string {
	switch {
	case r.Recovery == nil:
		return ""
	case r.Recovery.Recovered:
		return fmt.Sprintf("steady again %s after the last fault was out", seconds(r.Recovery.Seconds))
	}
	return fmt.Sprintf("not steady again within %s", seconds(r.Recovery.Seconds))
}

// reaction says how fast an abort was, or nothing.
func reaction(r *engine.Result) string {
	x := r.Reaction
	if x == nil || r.Rollback != engine.Clean { // without the last revert the time has no end
		return ""
	}
	return fmt.Sprintf("%s from the sample that broke the rule to the last fault verified gone (%s until the guard was sure, %s to roll back)",
		seconds(x.Total), seconds(x.Detected.Sub(x.Breach).Seconds()), seconds(x.Clean.Sub(x.Detected).Seconds()))
}

func took(r *engine.Result) float64 { return max(r.Ended.Sub(r.Started).Seconds(), 0) }

func title(r *engine.Result) string { return cmp.Or(name(r.Experiment), "experiment") }
