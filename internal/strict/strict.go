// Package strict reads YAML into Go structs and forgives nothing: an unknown
// field, a wrong type, a duplicate key or a missing value is a [Problem] with its
// file, line and column, the line itself, a caret, and what would be right. All
// problems of a file are reported at once.
//
// The same struct tags describe a field to the loader, to the JSON Schema and to
// the reference pages:
//
//	yaml:"delay"        the key; `yaml:"if,shorthand"` also lets a bare scalar stand
//	                    for the whole struct
//	required:"true"     the key must be there
//	enum:"all|any"      the values allowed
//	default:"10s"       the value taken where the key is left out (documentation and
//	                    decoding)
//	doc:"…"             one sentence for people
//	example:"200ms"     a value to show
//	variant:"fault"     on a field of type Variant: exactly one further key of the
//	                    named set of choices stands in this mapping
//	yaml:"-"            no field of the document
//
// A field without a value (null) counts as left out. Scalar types read themselves
// as encoding.TextUnmarshaler; an error of theirs that ends in ": write …" has its
// ending shown as the hint.
package strict

import (
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Position is a place in a file. Line and Column count from 1; Column counts
// characters.
type Position struct {
	File         string
	Line, Column int
}

// Problem is one thing that is wrong with a document.
type Problem struct {
	Position Position
	Message  string // "unknown field `dealy`"
	Hint     string // "did you mean `delay`?", or empty

	line  string // the source line, for the excerpt
	width int    // the number of characters underlined
}

// Problems is every problem of a file, in the order of their positions. A nil
// Problems is no error: return it as error only where it is not empty.
type Problems []*Problem

// Value is a part of a document, not decoded yet, that remembers where it stands.
// The zero Value is absent.
type Value struct {
	node *yaml.Node // with aliases resolved; nil where absent
	at   *yaml.Node // where it stands: an alias, or the mapping that lacks it
	src  *source
	path string
}

// Choice is one of an open set of keys, such as the name of an injector, with the
// type of its value.
type Choice struct {
	Key  string
	Type reflect.Type // a struct type
	Doc  string
}

// Vocabulary holds the sets of choices by the name that a variant tag gives.
type Vocabulary map[string][]Choice

// Variant is the one key of a set of choices that a mapping holds, and its value.
type Variant struct {
	Key  string
	Spec any   // a pointer to a new value of the Choice's Type
	At   Value // the value under Key
}

// Text is a scalar that remembers where it stands, so that an error inside it (of
// a CEL expression) can be shown in the file.
type Text struct {
	Value string
	At    Value
}

// Checker is implemented by pointers to structs with rules of their own. Check is
// called after a struct was decoded without a problem; at is its mapping.
type Checker interface {
	Check(at Value) Problems
}

// Described is implemented by scalar types that have a notation of their own, such
// as a duration.
type Described interface {
	// Noun is what people call a value of the type: "duration".
	Noun() string
	// JSONSchema describes the notation, without a description of the field.
	JSONSchema() map[string]any
}
