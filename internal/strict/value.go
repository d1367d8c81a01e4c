package strict

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/squallhq/squall/internal/printable"
)

// IsZero reports whether v is absent: nothing stands at its path. A null is not
// absent.
func (v Value) IsZero() bool { return v.node == nil }

// Position returns where v stands; for an absent Value, where the mapping stands
// that lacks it.
func (v Value) Position() Position {
	if v.src == nil || v.at == nil {
		return Position{}
	}
	return v.src.position(v.at.Line, v.at.Column)
}

// Path returns the keys that lead to v, like "spec.faults[0].network".
func (v Value) Path() string { return v.path }

// Scalar returns v's text, and whether v is a scalar at all (a null is not).
func (v Value) Scalar() (string, bool) {
	if v.node == nil || v.node.Kind != yaml.ScalarNode || v.isNull() {
		return "", false
	}
	return v.node.Value, true
}

// Field returns the value under a key of the mapping v. Where there is none, the
// absent Value that it returns stands at v's position, so that a problem about a
// missing field points at the mapping.
func (v Value) Field(key string) Value {
	path := v.path + "." + key
	if v.path == "" {
		path = key
	}
	if !isWord(key) {
		path = fmt.Sprintf("%s[%q]", v.path, key)
	}
	if v.node != nil && v.node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			if k := v.node.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key {
				return v.child(v.node.Content[i+1], path)
			}
		}
	}
	return Value{at: v.at, src: v.src, path: path}
}

// Has reports whether v is a mapping with that key.
func (v Value) Has(key string) bool { return !v.Field(key).IsZero() }

// Items returns the items of the list v, nil where v is no list.
func (v Value) Items() []Value {
	if v.node == nil || v.node.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]Value, len(v.node.Content))
	for i, node := range v.node.Content {
		items[i] = v.child(node, fmt.Sprintf("%s[%d]", v.path, i))
	}
	return items
}

// Keys returns the keys of the mapping v in their order, each as a Value of its
// own, so that a problem can point at a key. It returns nil where v is no mapping.
func (v Value) Keys() []Value {
	if v.node == nil || v.node.Kind != yaml.MappingNode {
		return nil
	}
	keys := make([]Value, 0, len(v.node.Content)/2)
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		keys = append(keys, v.child(v.node.Content[i], v.path))
	}
	return keys
}

// Problemf returns a problem that stands at v. Control characters of its text are
// made visible.
func (v Value) Problemf(format string, args ...any) *Problem {
	message := fmt.Sprintf(format, args...)
	if v.src == nil || v.at == nil {
		return &Problem{Message: printable.Text(message, maxMessage)}
	}
	return v.src.problem(v.at.Line, v.at.Column, v.src.width(v.at), message)
}

// Source returns the lines of the document that v is part of, and nil for the
// zero Value.
func (v Value) Source() []byte {
	if v.src == nil || v.at == nil {
		return nil
	}
	first, after := v.src.document(v.at.Line)
	return v.src.data[v.src.starts[first-1]:v.src.starts[after-1]]
}

// SameDocument reports whether p stands in the document that v is part of.
func (v Value) SameDocument(p *Problem) bool {
	if v.src == nil || v.at == nil || p.Position.File != v.src.file {
		return false
	}
	first, after := v.src.document(v.at.Line)
	return first <= p.Position.Line && p.Position.Line < after
}

// child returns the Value of a node below v. An alias stands for what it names,
// but its problems point at the alias where the whole value is wrong.
func (v Value) child(node *yaml.Node, path string) Value {
	return Value{node: resolve(node), at: node, src: v.src, path: path}
}

func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

func (v Value) isNull() bool { return v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null" }

// what names v's kind in a message.
func (v Value) what() string {
	switch {
	case v.node == nil:
		return "nothing"
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	}
	switch v.node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the truth value " + quote(v.node.Value)
	case "!!int", "!!float":
		return "the number " + quote(v.node.Value)
	case "!!timestamp":
		return "the date " + quote(v.node.Value)
	}
	return "the text " + quote(v.node.Value)
}

// name is what a message calls v: its last key, or the document.
func (v Value) name() string {
	if v.path == "" {
		return "the document"
	}
	return quote(v.path)
}

func isWord(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// width is the number of characters that a problem at node underlines.
func (s *source) width(node *yaml.Node) int {
	line := s.line(node.Line)
	rest := skipRunes(line, node.Column-1)
	switch {
	case node.Kind == yaml.AliasNode:
		return 1 + utf8.RuneCountInString(node.Value)
	case node.Kind != yaml.ScalarNode || node.Value == "" && node.Style == 0:
		return 1
	case node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && rest != "":
		if end := closingQuote(rest); end > 0 {
			return utf8.RuneCountInString(rest[:end])
		}
		return utf8.RuneCountInString(rest)
	case strings.HasPrefix(rest, node.Value):
		return utf8.RuneCountInString(node.Value)
	}
	return 1
}

// closingQuote returns the index after the quoted scalar that text begins with,
// 0 where it does not end in text.
func closingQuote(text string) int {
	mark := text[0]
	for i := 1; i < len(text); i++ {
		switch {
		case mark == '"' && text[i] == '\\':
			i++
		case mark == '\'' && strings.HasPrefix(text[i:], "''"):
			i++
		case text[i] == mark:
			return i + 1
		}
	}
	return 0
}

func skipRunes(text string, n int) string {
	for i := range text {
		if n <= 0 {
			return text[i:]
		}
		n--
	}
	return ""
}
