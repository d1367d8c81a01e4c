package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/printable"
)

// frame is one picture of a run.
type frame struct {
	engine.Snapshot
	events        []engine.Event // oldest first
	now           time.Time
	footer        string
	width, height int
}

// The narrowest and lowest terminal that a frame is laid out for. In a smaller one
// the terminal cuts it off.
const (
	minWidth  = 40
	minHeight = 8
)

// safe makes a string from outside safe to show.
func safe(s string, limit int) string { return printable.Text(s, limit) }

// render lays the frame out: a head, the SLIs with their rules, the faults, as many
// of the last events as there is room for, and the footer in the last line.
func (f frame) render(t theme) string {
	f.width, f.height = max(f.width, minWidth), max(f.height, minHeight)
	top := f.head()
	body := slices.Concat(f.slis(), f.faults())
	room := f.height - len(top) - 1
	events := f.log(room - len(body))
	if len(body) > room {
		hidden := len(body) - room + 1
		body = append(body[:room-1], line{{fmt.Sprintf("… %d more lines: the terminal is too low", hidden), faint}})
	}
	lines := slices.Concat(top, body, events)
	for len(lines) < f.height-1 {
		lines = append(lines, nil)
	}
	lines = append(lines, line{{f.footer, bold}})
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(t.render(l.fit(f.width)))
	}
	return b.String()
}

func (f frame) head() []line {
	title := line{{"squall ", faint}, {safe(f.Experiment, 80), bold}}
	if f.width >= 90 {
		title = append(title, span{"  " + safe(f.Run, 60), faint})
	}
	if f.Started.IsZero() {
		return []line{title, {{"starting", faint}}, nil}
	}
	phases := line{}
	for i, p := range []engine.Phase{engine.PhaseBaseline, engine.PhaseFaults, engine.PhaseRollback, engine.PhaseRecovery, engine.PhaseDone} {
		if i > 0 {
			phases = append(phases, span{" › ", faint})
		}
		if p == f.Phase {
			phases = append(phases, span{"[" + string(p) + "]", accent})
		} else {
			phases = append(phases, span{string(p), faint})
		}
	}
	if phases.width() > f.width {
		phases = line{{"[" + safe(string(f.Phase), 12) + "]", accent}}
	}
	return []line{title, phases, f.progress(), nil}
}

// progress is a bar for the whole run, and the time that is left of its phase.
func (f frame) progress() line {
	whole, gone := f.Ends.Sub(f.Started), f.now.Sub(f.Started)
	share := 0.0
	if whole > 0 {
		share = min(max(gone.Seconds()/whole.Seconds(), 0), 1)
	}
	if f.Phase == engine.PhaseDone {
		share = 1
	}
	label := " " + clock(gone) + " of " + clock(whole)
	if left := f.PhaseEnds.Sub(f.now); left > 0 && f.Phase != engine.PhaseDone {
		label += fmt.Sprintf(", %s: %s left", f.Phase, clock(left))
	}
	width := min(max(f.width-lipgloss.Width(label), 6), 40)
	full := int(share * float64(width))
	return line{{strings.Repeat("█", full), accent}, {strings.Repeat("░", width-full), faint}, {label, normal}}
}

// kinds are the rules that matter in a phase.
func kinds(p engine.Phase) []string {
	switch p {
	case engine.PhaseBaseline:
		return []string{"admit"}
	case engine.PhaseFaults, engine.PhaseRollback:
		return []string{"abort", "pass"}
	case engine.PhaseRecovery:
		return []string{"recovery"}
	}
	return []string{"admit", "abort", "pass", "recovery"}
}

func (f frame) slis() []line {
	var lines []line
	nameWidth := 4
	for _, s := range f.SLIs {
		nameWidth = max(nameWidth, min(lipgloss.Width(safe(s.Name, 24)), f.width/4))
	}
	shown := map[int]bool{}
	for _, s := range f.SLIs {
		value := "–"
		style := normal
		if n := len(s.Recent); n > 0 {
			last := s.Recent[n-1]
			value = sampleText(s.Unit, last)
			if !last.OK {
				style = bad
			}
		}
		width := min(max(f.width-nameWidth-22, 8), 60)
		l := line{{pad(safe(s.Name, 24), nameWidth), bold}, {"  ", normal}}
		l = append(l, sparkline(s.Recent, width)...)
		lines = append(lines, append(l, span{"  " + value, style}))
		for i, g := range f.Guards {
			if !shown[i] && slices.Contains(g.SLIs, s.Name) && slices.Contains(kinds(f.Phase), g.Kind) {
				shown[i] = true
				lines = append(lines, rule(g, f.width))
			}
		}
	}
	for i, g := range f.Guards { // the rules that look at no SLI
		if !shown[i] && len(g.SLIs) == 0 && slices.Contains(kinds(f.Phase), g.Kind) {
			lines = append(lines, rule(g, f.width))
		}
	}
	if len(lines) > 0 {
		lines = append(lines, nil)
	}
	return lines
}

func rule(g engine.GuardSnapshot, width int) line {
	answer, style := safe(g.Result, 20), faint
	switch {
	case g.Result == "true" && g.Kind == "abort", g.Result == "no data", g.Result == "error":
		style = bad
	case g.Result == "true", g.Result == "false" && g.Kind == "abort":
		style = good
	case g.Result == "false":
		style = warn
	}
	l := line{{"  " + pad(safe(g.Kind, 8), 6) + " ", faint}, {pad(answer, max(len("false"), lipgloss.Width(answer))), style}}
	expr := safe(g.Expr, 200)
	value := safe(g.Value, 200)
	// What was measured usually repeats the rule's left side: both only where there is
	// room for them.
	if used := l.width() + 2; value == "" || used+lipgloss.Width(expr)+lipgloss.Width(value)+2 <= width {
		l = append(l, span{"  " + expr, normal})
		if value != "" {
			l = append(l, span{"  " + value, faint})
		}
		return l
	}
	return append(l, span{"  " + expr, normal})
}

func (f frame) faults() []line {
	var lines []line
	for _, x := range f.Faults {
		dot, style := "○", faint
		switch x.State {
		case "applying", "reverting":
			dot, style = "◐", warn
		case "active":
			dot, style = "●", warn
		case "reverted":
			dot, style = "✓", good
		case "lost", "failed":
			dot, style = "✗", bad
		}
		l := line{
			{dot + " ", style}, {safe(x.Name, 40), bold}, {" on " + safe(x.Target, 40), normal},
			{"  " + safe(x.State, 16), style},
		}
		if when := f.when(x); when != "" {
			l = append(l, span{" " + when, faint})
		}
		lines = append(lines, l)
		if proof := evidence(x.Evidence); proof != "" && x.State != "waiting" {
			lines = append(lines, line{{"  " + proof, faint}})
		}
	}
	if len(lines) > 0 {
		lines = append(lines, nil)
	}
	return lines
}

// when says how soon a fault's state changes.
func (f frame) when(x engine.FaultSnapshot) string {
	switch {
	case x.State == "waiting" && x.Starts.After(f.now):
		return "starts in " + clock(x.Starts.Sub(f.now))
	case x.State == "active" && x.Ends.After(f.now):
		return "for " + clock(x.Ends.Sub(f.now)) + " more"
	}
	return ""
}

func evidence(e engine.Evidence) string {
	parts := []string{}
	if e.Touched > 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("touched %d %s", e.Touched, safe(e.Unit, 20))))
	}
	if e.Detail != "" {
		parts = append(parts, safe(e.Detail, 200))
	}
	return strings.Join(parts, ": ")
}

// log is the newest events, as many as there is room for.
func (f frame) log(room int) []line {
	var lines []line
	for _, e := range f.events[max(0, len(f.events)-max(room, 0)):] {
		style := normal
		switch e.Kind {
		case engine.EventAbort, engine.EventError, engine.EventLost:
			style = bad
		case engine.EventWarning:
			style = warn
		case engine.EventReverted:
			style = good
		}
		lines = append(lines, line{{pad(clock(e.At.Sub(f.Started)), 8), faint}, {safe(e.Text, 400), style}})
	}
	return lines
}
