package target

import (
	"fmt"
	"regexp"
	"strings"
)

// maxPattern bounds a pattern's text: what is matched is hardly ever longer.
const maxPattern = 1000

// Pattern matches a value: exactly, or by a regular expression (RE2) that stands
// between slashes and must match the whole value, as if it began with ^ and ended
// with $. Every value that stays in the dark about its blast radius is a danger:
// /pay/ does not match payments-db, /pay.*/ does.
type Pattern struct {
	text string
	re   *regexp.Regexp // nil where the text is meant exactly
	set  bool
}

// UnmarshalText reads a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	if len(text) > maxPattern {
		return fmt.Errorf("a pattern of %d characters is too long: %d are allowed", len(text), maxPattern)
	}
	*p = Pattern{text: string(text), set: true}
	inner, isRegexp := expression(p.text)
	if !isRegexp {
		return nil
	}
	re, err := regexp.Compile(`^(?s:` + inner + `)$`)
	if err != nil {
		if _, plain := regexp.Compile(inner); plain != nil {
			err = plain // in the author's own words, not in ours
		}
		return fmt.Errorf("%s is not a regular expression: %w", p.text, err)
	}
	p.re = re
	return nil
}

func expression(text string) (inner string, isRegexp bool) {
	if len(text) < 3 || !strings.HasPrefix(text, "/") || !strings.HasSuffix(text, "/") {
		return "", false
	}
	return text[1 : len(text)-1], true
}

// MarshalText writes the pattern as it was read.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Noun returns "pattern".
func (Pattern) Noun() string { return "pattern" }

// JSONSchema describes a Pattern's notation. Numbers and truth values stand for
// their own text, as labels often hold them.
func (Pattern) JSONSchema() map[string]any {
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}

// Match reports whether the pattern matches all of value.
func (p Pattern) Match(value string) bool {
	if p.re != nil {
		return p.re.MatchString(value)
	}
	return p.text == value
}

// unmatched says what it is that no name fulfils.
func (p Pattern) unmatched() string {
	if p.re != nil {
		return fmt.Sprintf("has a name that %s matches; it must match the whole name", p.text)
	}
	return fmt.Sprintf("is called %q", p.text)
}

// given reports whether the document holds this pattern at all.
func (p Pattern) given() bool { return p.set }
