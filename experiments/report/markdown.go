package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/squallhq/squall/experiments/engine"
)

// Markdown writes the result for a pull request, an issue or a wiki (GitHub's
// dialect, with tables).
func Markdown(w io.Writer, r *engine.Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n", escape(title(r)), headline(r))
	if r.Rollback == engine.Incomplete {
		fmt.Fprintf(&b, "> [!CAUTION]\n> **Rollback incomplete.** `squall recover` tries again. What is left:\n")
		for _, left := range r.Left {
			fmt.Fprintf(&b, "> - %s\n", code(text(left)))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "**%s** – %s\n\n", escape(name(string(r.Verdict))), escape(text(r.Reason)))
	if r.Hypothesis != "" {
		fmt.Fprintf(&b, "> %s\n\n", escape(text(r.Hypothesis)))
	}
	fmt.Fprintf(&b, "| | |\n| --- | --- |\n")
	row := func(label, value string) {
		if value != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", label, value)
		}
	}
	row("Run", code(name(r.Run)))
	row("Started", r.Started.UTC().Format("2006-01-02 15:04:05 MST"))
	row("Took", seconds(took(r)))
	row("Reaction", reaction(r))
	row("Recovery", recovery(r))
	row("Rollback", escape(name(string(r.Rollback))))
	if r.File != "" {
		row("File", code(name(r.File)))
	}
	markdownFaults(&b, r)
	markdownGuards(&b, r)
	markdownSLIs(&b, r)
	if len(r.Notes) > 0 {
		b.WriteString("\n## Notes\n\n")
		for _, note := range r.Notes {
			fmt.Fprintf(&b, "- %s\n", escape(text(note)))
		}
	}
	happened := moments(r)
	if len(happened) > 0 {
		b.WriteString("\n## What happened\n\n")
	}
	for _, m := range happened {
		fmt.Fprintf(&b, "- `%s` %s\n", offset(r, m.At), escape(m.Text))
	}
	return write(w, "Markdown", b.String())
}

func markdownFaults(b *strings.Builder, r *engine.Result) {
	if len(r.Faults) == 0 {
		return
	}
	b.WriteString("\n## Faults\n\n| fault | target | by | when | evidence |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range r.Faults {
		proof := escape(evidence(f.Evidence))
		if f.Error != "" {
			proof += " **error:** " + escape(text(f.Error))
		}
		fmt.Fprintf(b, "| %s | %s | %s (%s, tier %s) | %s | %s |\n", code(name(f.Name)), code(name(f.Target)),
			code(name(f.Injector)), escape(name(f.Backend)), escape(name(string(f.Tier))), span(r, f), proof)
	}
}

func markdownGuards(b *strings.Builder, r *engine.Result) {
	if len(r.Guards) == 0 {
		return
	}
	b.WriteString("\n## Guards\n\n| kind | rule | result | measured |\n| --- | --- | --- | --- |\n")
	for _, g := range r.Guards {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", escape(name(g.Kind)), code(text(g.Expr)), escape(name(g.Result)), code(text(g.Value)))
	}
}

func markdownSLIs(b *strings.Builder, r *engine.Result) {
	if len(r.SLIs) == 0 {
		return
	}
	b.WriteString("\n## SLIs\n\n| SLI | phase | samples | ok | p50 | p95 | p99 | max |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, s := range slis(r) {
		for _, p := range windows(s.SLIResult) {
			if p.Summary != nil {
				fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", code(name(s.Name)), p.Name, p.Count, percent(p.OKRatio),
					value(s.Unit, p.P50), value(s.Unit, p.P95), value(s.Unit, p.P99), value(s.Unit, p.Max))
			}
		}
	}
}

// escape makes a printable text plain in Markdown, also inside a table: no markup,
// no HTML, no link.
func escape(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case c == '&':
			b.WriteString("&amp;")
		case c == '<':
			b.WriteString("&lt;")
		case c == '>':
			b.WriteString("&gt;")
		case strings.ContainsRune("\\`*_{}[]()#|~!$", c):
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '@' || strings.HasPrefix(s[i:], "://"):
			// A comment between them keeps GitHub from calling a person, and from making a
			// link of a URL.
			b.WriteRune(c)
			b.WriteString("<!-- -->")
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// code makes a printable text a code span, also inside a table.
func code(s string) string {
	if s == "" {
		return ""
	}
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	s = strings.ReplaceAll(s, "|", `\|`)
	if len(fence) > 1 || strings.HasPrefix(s, " ") {
		s = " " + s + " "
	}
	return fence + s + fence
}
