// Package printable makes strings that come from outside (container names, labels,
// answers of servers, errors that quote them) safe to show on a terminal: such a
// string can hold escape sequences that rewrite the screen, line breaks that forge a
// line of their own, and characters that reverse the text around them.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s as one line of at most limit characters, with nothing in it that a
// terminal would take for anything but text. White space, line breaks included,
// becomes single spaces; other control and format characters, and bytes that are not
// UTF-8, become Go's escapes, such as \x1b. A longer text ends in an ellipsis.
// Printing what Text returned through Text again changes nothing.
func Text(s string, limit int) string {
	if limit <= 0 {
		return ""
	}
	var b strings.Builder
	count, space := 0, false
	// end is where b still leaves room for an ellipsis.
	end := 0
	write := func(part string) bool {
		for _, r := range part {
			if count == limit {
				return false
			}
			if count == limit-1 {
				end = b.Len()
			}
			b.WriteRune(r)
			count++
		}
		return true
	}
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		part := s[:size]
		s = s[size:]
		if unicode.IsSpace(r) {
			space = true
			continue
		}
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			quoted := strconv.QuoteToASCII(part)
			part = quoted[1 : len(quoted)-1]
		}
		if space && count > 0 && !write(" ") || !write(part) {
			return strings.TrimRight(b.String()[:end], " ") + "…"
		}
		space = false
	}
	return b.String()
}
