package strict

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/squallhq/squall/internal/printable"
)

// source is a file's text with its lines, as YAML counts them.
type source struct {
	file   string
	data   []byte
	lines  []string // without their line breaks; at least one
	starts []int    // the byte where each line starts, and the end of data
	docs   []int    // the lines where documents start, the first one's is 1
}

func newSource(file string, data []byte) *source {
	s := &source{file: file, data: data}
	text := string(data)
	start := 0
	for i := 0; i < len(text); {
		n := lineBreak(text[i:])
		if n == 0 {
			i++
			continue
		}
		s.lines = append(s.lines, text[start:i])
		s.starts = append(s.starts, start)
		i += n
		start = i
	}
	if start < len(text) || len(s.lines) == 0 {
		s.lines = append(s.lines, text[start:])
		s.starts = append(s.starts, start)
	}
	s.lines[0] = strings.TrimPrefix(s.lines[0], "\uFEFF") // not a character of the first line
	s.starts = append(s.starts, len(text))
	s.docs = []int{1}
	for i, line := range s.lines {
		// A document's markers can't be content: YAML forbids them even in block
		// scalars and between quotes.
		if start := i + 1; isMarker(line, "---") && start > 1 {
			s.docs = append(s.docs, start)
		} else if isMarker(line, "...") && start < len(s.lines) {
			s.docs = append(s.docs, start+1)
		}
	}
	s.docs = slices.Compact(s.docs)
	return s
}

func isMarker(line, marker string) bool {
	rest, found := strings.CutPrefix(line, marker)
	return found && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// lineBreak returns the length of the line break that text begins with, 0 where
// it begins with none. YAML 1.1 breaks lines at five characters.
func lineBreak(text string) int {
	switch {
	case strings.HasPrefix(text, "\r\n"):
		return 2
	case text[0] == '\n' || text[0] == '\r':
		return 1
	case strings.HasPrefix(text, "\u0085"):
		return 2
	case strings.HasPrefix(text, "\u2028") || strings.HasPrefix(text, "\u2029"):
		return 3
	}
	return 0
}

// line returns a line by its number, from 1; empty where there is none.
func (s *source) line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	return s.lines[number-1]
}

// position returns a position that lies in the file, the end of it where line and
// column are past it.
func (s *source) position(line, column int) Position {
	switch {
	case line < 1:
		line, column = 1, 1
	case line > len(s.lines):
		line = len(s.lines)
		column = utf8.RuneCountInString(s.line(line)) + 1
	}
	column = min(max(column, 1), utf8.RuneCountInString(s.line(line))+1)
	return Position{File: s.file, Line: line, Column: column}
}

// problem returns a problem at a place of the file, its message made harmless.
func (s *source) problem(line, column, width int, message string) *Problem {
	at := s.position(line, column)
	return &Problem{Position: at, Message: printable.Text(message, maxMessage), line: s.line(at.Line), width: width}
}

// document returns the first line of the document that line is part of, and the
// line after its last.
func (s *source) document(line int) (first, after int) {
	i := max(1, sort.SearchInts(s.docs, line+1))
	first, after = s.docs[i-1], len(s.lines)+1
	if i < len(s.docs) {
		after = s.docs[i]
	}
	return first, after
}

// checkText finds the bytes that YAML does not allow, where the parser would not
// say where they are.
func (s *source) checkText() *Problem {
	if bytes.HasPrefix(s.data, []byte{0xFF, 0xFE}) || bytes.HasPrefix(s.data, []byte{0xFE, 0xFF}) {
		return s.problem(1, 1, 1, "the file is not UTF-8 but UTF-16").WithHint("save it as UTF-8")
	}
	for i, line := range s.lines {
		column := 0
		for at, r := range line {
			column++
			switch {
			case r == utf8.RuneError && !strings.HasPrefix(line[at:], "\uFFFD"):
				return s.problem(i+1, column, 1, fmt.Sprintf("the byte 0x%02x is not UTF-8", line[at])).WithHint("save the file as UTF-8")
			case r < ' ' && r != '\t', r >= 0x7F && r < 0xA0, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
				return s.problem(i+1, column, 1, fmt.Sprintf("the character %U is not allowed in YAML", r)).WithHint("remove it, or write it as an escape between double quotes")
			}
		}
	}
	return nil
}
