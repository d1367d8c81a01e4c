package strict

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
)

// Schema returns a JSON Schema (draft 2020-12) of documents that are one of the
// root types, for editors. It says as much of the language as a schema can; the
// rules of Checkers are not in it.
func Schema(id string, roots []reflect.Type, voc Vocabulary) ([]byte, error) {
	b := schemaBuilder{voc: voc, defs: map[string]any{}, names: map[reflect.Type]string{}}
	var refs []any
	for _, root := range roots {
		refs = append(refs, b.typ(root, field{}))
	}
	schema := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":     id,
		"$defs":   b.defs,
		"oneOf":   refs,
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot write the JSON Schema: %w", err)
	}
	return append(text, '\n'), nil
}

type object = map[string]any

type schemaBuilder struct {
	voc   Vocabulary
	defs  object
	names map[reflect.Type]string
}

// field returns the schema of a field, with what its tags say about it.
func (b *schemaBuilder) field(f field) object {
	schema := b.typ(f.typ, f)
	if f.doc != "" {
		schema["description"] = f.doc
	}
	if f.initial != "" {
		schema["default"] = jsonValue(f.initial, f.typ)
	}
	if f.example != "" {
		schema["examples"] = []any{jsonValue(f.example, f.typ)}
	}
	return schema
}

func (b *schemaBuilder) typ(t reflect.Type, f field) object {
	switch {
	case t == valueType:
		return object{}
	case t == textType:
		return object{"type": "string"}
	case t.Kind() == reflect.Pointer:
		return b.typ(t.Elem(), f)
	}
	if described, ok := reflect.Zero(t).Interface().(Described); ok {
		return described.JSONSchema()
	}
	switch {
	case isScalar(t) && f.enum != nil, t.Kind() == reflect.String && f.enum != nil:
		return object{"type": "string", "enum": f.enum}
	case isScalar(t):
		return object{"type": []string{"string", "number", "boolean"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return object{"$ref": "#/$defs/" + b.define(t)}
	case reflect.Slice:
		return object{"type": "array", "items": b.typ(t.Elem(), f)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": b.typ(t.Elem(), f)}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	}
	low, high := bounds(t)
	return object{"type": "integer", "minimum": json.Number(low), "maximum": json.Number(high)}
}

// define adds the schema of a struct type to the definitions, once, and returns
// its name there.
func (b *schemaBuilder) define(t reflect.Type) string {
	if name, found := b.names[t]; found {
		return name
	}
	name := t.Name()
	if b.defs[name] != nil || name == "" {
		name = strings.Map(func(r rune) rune {
			if strings.ContainsRune("./*[]{} ", r) {
				return '_'
			}
			return r
		}, t.String())
	}
	for base, n := name, 2; b.defs[name] != nil; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	b.names[t] = name
	b.defs[name] = object{} // a type may hold itself
	b.defs[name] = b.structure(t)
	return name
}

func (b *schemaBuilder) structure(t reflect.Type) object {
	s := shapeOf(t)
	properties := object{}
	required := []string{}
	for _, f := range s.fields {
		properties[f.key] = b.field(f)
		if f.required {
			required = append(required, f.key)
		}
	}
	schema := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	if s.variant != nil && len(b.voc[s.variant.set]) > 0 {
		var alternatives []any
		for _, choice := range b.voc[s.variant.set] {
			value := b.typ(choice.Type, field{})
			if choice.Doc != "" {
				value["description"] = choice.Doc
			}
			properties[choice.Key] = value
			alternatives = append(alternatives, object{"required": []string{choice.Key}})
		}
		schema["oneOf"] = alternatives
	}
	if s.shorthand == nil {
		return schema
	}
	return object{"oneOf": []any{b.field(*s.shorthand), schema}}
}

// jsonValue turns the text of a default or an example into what a JSON document
// would hold in its place.
func jsonValue(text string, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.String || t == textType || isScalar(t) && t.Kind() != reflect.Slice && !isNumber(text) {
		return text
	}
	values, problems := Parse("", []byte(text))
	if len(problems) > 0 || len(values) != 1 {
		return text
	}
	return values[0].plain()
}

func isNumber(text string) bool {
	values, problems := Parse("", []byte(text))
	return len(problems) == 0 && len(values) == 1 && (values[0].node.ShortTag() == "!!int" || values[0].node.ShortTag() == "!!float")
}

// plain returns v as encoding/json would have read it.
func (v Value) plain() any {
	var out any
	if v.node == nil || v.node.Decode(&out) != nil {
		return nil
	}
	if x, ok := out.(float64); ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
		return v.node.Value
	}
	return out
}
