package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/squallhq/squall/internal/printable"
)

// How much of a hostile document reaches a terminal.
const (
	maxProblems = 100 // of one document, and of one list that is shown
	maxMessage  = 600 // characters of a message or a hint
	maxQuoted   = 60  // characters of a value quoted in a message
	maxExcerpt  = 100 // characters of a source line
	leadExcerpt = 40  // of them before the caret, where the line is longer
)

// WithHint says what would be right, and returns p.
func (p *Problem) WithHint(format string, args ...any) *Problem {
	p.Hint = printable.Text(fmt.Sprintf(format, args...), maxMessage)
	return p
}

// Error returns the problem as people read it: where it is, what is wrong, the
// source line with a caret, and the hint. Nothing of it can steer a terminal.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Position.File != "" {
		b.WriteString(printable.Text(p.Position.File, maxMessage) + ":")
	}
	if p.Position.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Position.Line, p.Position.Column)
	}
	if b.Len() > 0 {
		b.WriteString(" ")
	}
	b.WriteString(p.Message)
	if p.Position.Line > 0 {
		text, caret := p.excerpt()
		fmt.Fprintf(&b, "\n%5d | %s\n%5s | %s", p.Position.Line, text, "", caret)
	}
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}

// excerpt returns the source line around the caret, and the caret's own line.
// Tabs are kept in both, so that they align whatever a tab's width is.
func (p *Problem) excerpt() (text, caret string) {
	runes := []rune(p.line)
	column := min(max(p.Position.Column-1, 0), len(runes))
	start, end := 0, len(runes)
	if len(runes) > maxExcerpt {
		start = min(max(0, column-leadExcerpt), len(runes)-maxExcerpt)
		end = start + maxExcerpt
	}
	var line, under strings.Builder
	if start > 0 {
		line.WriteString("…")
		under.WriteByte(' ')
	}
	last := max(column+p.width, column+1)
	for i := start; i < end; i++ {
		shown := visible(runes[i])
		line.WriteString(shown)
		switch {
		case i >= last:
		case i >= column:
			under.WriteString(strings.Repeat("^", cells(shown)))
		case runes[i] == '\t':
			under.WriteByte('\t')
		default:
			under.WriteString(strings.Repeat(" ", cells(shown)))
		}
	}
	if end < len(runes) {
		line.WriteString("…")
	}
	if column >= end {
		under.WriteByte('^')
	}
	return strings.TrimRightFunc(line.String(), unicode.IsSpace), under.String()
}

// Error returns the problems in the order of their positions, and their number
// instead where there are more than anybody reads.
func (p Problems) Error() string {
	var b strings.Builder
	for i, problem := range p.Sorted() {
		if i == maxProblems {
			fmt.Fprintf(&b, "\nand %d more problems", len(p)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(problem.Error())
	}
	return b.String()
}

// Err returns p as an error, nil where there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Sorted returns p in the order of the positions.
func (p Problems) Sorted() Problems {
	return slices.SortedStableFunc(slices.Values(p), func(a, b *Problem) int {
		return cmp.Or(
			cmp.Compare(a.Position.File, b.Position.File),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column))
	})
}

// visible writes out a character that a terminal would obey or hide. A tab stays
// what it is.
func visible(r rune) string {
	if r == '\t' || strconv.IsPrint(r) {
		return string(r)
	}
	quoted := strconv.QuoteRune(r)
	return quoted[1 : len(quoted)-1]
}

// cells is the number of terminal columns that text takes, near enough for a
// caret: wide scripts take two, combining marks none.
func cells(text string) (n int) {
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Mn, r):
		case r >= 0x1100 && (unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) ||
			r >= 0xFF01 && r <= 0xFF60 || r >= 0x1F300 && r <= 0x1FAFF):
			n += 2
		default:
			n++
		}
	}
	return n
}

// clip makes a piece of a document short and harmless.
func clip(text string) string { return printable.Text(text, maxQuoted) }

// quote shows a piece of a document inside a message.
func quote(text string) string { return "`" + clip(text) + "`" }

// list shows names in a message: "`a`, `b` or `c`".
func list(names []string, word string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " " + word + " " + quoted[last]
}
