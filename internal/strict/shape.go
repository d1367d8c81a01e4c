package strict

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// shape is what the tags of a struct type say.
type shape struct {
	fields    []field
	variant   *field // the field of type Variant, nil where there is none
	shorthand *field // the field that a bare scalar fills, nil where there is none
}

type field struct {
	index    int
	typ      reflect.Type
	key      string
	required bool
	enum     []string
	initial  string // the default tag
	doc      string
	example  string
	set      string // the name of a variant's set of choices
}

var (
	textType    = reflect.TypeFor[Text]()
	valueType   = reflect.TypeFor[Value]()
	variantType = reflect.TypeFor[Variant]()
	scalarType  = reflect.TypeFor[encoding.TextUnmarshaler]()
	checkerType = reflect.TypeFor[Checker]()
)

// shapeOf reads the tags of a struct type. It panics where they make no sense:
// that is a mistake in the program, which any test of the type finds.
func shapeOf(t reflect.Type) shape {
	var s shape
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || key == "-" {
			continue
		}
		tags := field{
			index: i, typ: f.Type, key: key,
			required: f.Tag.Get("required") == "true",
			initial:  f.Tag.Get("default"),
			doc:      f.Tag.Get("doc"),
			example:  f.Tag.Get("example"),
			set:      f.Tag.Get("variant"),
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			tags.enum = strings.Split(enum, "|")
		}
		if f.Type == variantType {
			if s.variant != nil || tags.set == "" {
				panic(fmt.Sprintf("strict: %s.%s: a struct has at most one variant, and its tag names the set", t, f.Name))
			}
			s.variant = &tags
			continue
		}
		if key == "" || f.Anonymous {
			panic(fmt.Sprintf("strict: %s.%s has no yaml key", t, f.Name))
		}
		s.fields = append(s.fields, tags)
		if options == "shorthand" {
			s.shorthand = &tags
		}
	}
	return s
}

// keys returns every key that a mapping of this shape may have.
func (s shape) keys(voc Vocabulary) []string {
	var keys []string
	for _, f := range s.fields {
		keys = append(keys, f.key)
	}
	return append(keys, s.choices(voc)...)
}

// choices returns the keys of the variant's set.
func (s shape) choices(voc Vocabulary) []string {
	if s.variant == nil {
		return nil
	}
	var keys []string
	for _, choice := range voc[s.variant.set] {
		keys = append(keys, choice.Key)
	}
	return keys
}

// isScalar reports whether a type reads itself from a text.
func isScalar(t reflect.Type) bool { return reflect.PointerTo(t).Implements(scalarType) }
