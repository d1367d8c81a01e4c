package strict

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// syntaxProblem turns an error of the YAML parser into a problem of the document
// that begins on the line current.
func (s *source) syntaxProblem(err error, current int) *Problem {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return s.problem(1, 1, 1, "cannot read the YAML: "+err.Error()).WithHint("check the indentation and the quotes")
	}
	line, column := load.Mark.Line, load.Mark.Column
	if line == 0 {
		line, column = s.locate(load.Mark.Index)
	}
	if first, _ := s.document(line); first == line && line > current {
		// What is missing was noticed at the next document's marker.
		line, column = line-1, utf8.RuneCountInString(s.line(line-1))+1
	}
	if errors.Is(err, errTooDeep) || strings.Contains(load.Message, errTooDeep.Error()) {
		return s.problem(line, column, 1, errTooDeep.Error()).WithHint("no document needs that; is a bracket left open?")
	}
	message := "cannot read the YAML: " + load.Message
	if load.ContextMsg != "" && load.ContextMark.Line > 0 {
		message += " " + load.ContextMsg
		if load.ContextMark.Line != line {
			message += s.sinceLine(load.ContextMark.Line)
		}
	}
	p := s.problem(line, column, 1, message)
	return p.WithHint("%s", s.syntaxHint(load, p))
}

// syntaxHint returns what most often mends a syntax error.
func (s *source) syntaxHint(load *yaml.LoadError, p *Problem) string {
	rest := skipRunes(p.line, p.Position.Column-1)
	next, _ := utf8.DecodeRuneInString(rest)
	switch text := load.Message + " " + load.ContextMsg; {
	case strings.ContainsRune(p.line, '\t') && (next == '\t' || strings.TrimLeft(p.line, " \t") == rest):
		return "indent with spaces; YAML allows no tabs there"
	case strings.Contains(text, "mapping values are not allowed"):
		return "put quotes around a value that contains a colon, or check the indentation"
	case strings.Contains(text, "cannot start any token"):
		return "put quotes around a value that begins with " + string(next)
	case strings.Contains(text, "flow sequence"):
		return "close the list that begins with [" + s.sinceLine(load.ContextMark.Line)
	case strings.Contains(text, "flow mapping"), strings.Contains(text, "flow node"):
		return "close the mapping that begins with {, and put commas between its fields"
	case strings.Contains(text, "quoted scalar") && strings.Contains(text, "escape"):
		return "use single quotes, or write two backslashes"
	case strings.Contains(text, "quoted scalar"):
		return "close the quotes that begin" + s.sinceLine(load.ContextMark.Line)
	case strings.Contains(text, "anchor"):
		return "name it with & before the first use, or put quotes around a text that begins with *"
	case strings.Contains(text, "block"), strings.Contains(text, "expected"):
		return "fields of one mapping start in one column, as do the hyphens of one list"
	}
	return "check the indentation, the quotes and the brackets"
}

// locate turns a byte's index into a line and a column.
func (s *source) locate(index int) (line, column int) {
	for i, start := range s.starts[1:] {
		if index < start {
			return i + 1, utf8.RuneCount(s.data[s.starts[i]:index]) + 1
		}
	}
	return len(s.lines), 1
}

func (s *source) sinceLine(line int) string {
	return " on line " + strconv.Itoa(s.position(line, 1).Line)
}
