package strict

import (
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Decode reads v into the struct that into points to, and returns everything that
// is wrong with it. Fields that are left out get their defaults. Where there are
// problems, what was decoded must not be used.
func (v Value) Decode(into any, voc Vocabulary) Problems {
	d := decoder{voc: voc}
	d.value(v, reflect.ValueOf(into).Elem(), field{})
	return d.problems.Sorted()
}

type decoder struct {
	voc      Vocabulary
	problems Problems
}

// add keeps a problem, up to a number that a person can read.
func (d *decoder) add(p *Problem) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, p)
	}
}

// value decodes v into dst, and reports whether all of it could be decoded. What
// Checkers find does not count: their structs can be decoded.
func (d *decoder) value(v Value, dst reflect.Value, f field) bool {
	if len(d.problems) >= maxProblems {
		return false
	}
	switch t := dst.Type(); {
	case t == valueType:
		dst.Set(reflect.ValueOf(v))
		return true
	case t == textType:
		return d.text(v, dst, f)
	case t.Kind() == reflect.Pointer:
		dst.Set(reflect.New(t.Elem()))
		return d.value(v, dst.Elem(), f)
	case isScalar(t):
		return d.scalar(v, dst, f)
	case t.Kind() == reflect.Struct:
		return d.structure(v, dst)
	case t.Kind() == reflect.Slice:
		return d.slice(v, dst, f)
	case t.Kind() == reflect.Map:
		return d.mapping(v, dst, f)
	}
	return d.scalar(v, dst, f)
}

func (d *decoder) text(v Value, dst reflect.Value, f field) bool {
	var text string
	if !d.scalar(v, reflect.ValueOf(&text).Elem(), f) {
		return false
	}
	dst.Set(reflect.ValueOf(Text{Value: text, At: v}))
	return true
}

func (d *decoder) slice(v Value, dst reflect.Value, f field) bool {
	if v.node == nil || v.node.Kind != yaml.SequenceNode {
		p := v.Problemf("%s must be a list, not %s", v.name(), v.what())
		if v.node != nil && v.node.Kind == yaml.ScalarNode && !v.isNull() {
			p = p.WithHint("begin a new line with a hyphen: - %s", clip(v.node.Value))
		} else {
			p = p.WithHint("put a hyphen before each item")
		}
		d.add(p)
		return false
	}
	items := v.Items()
	list := reflect.MakeSlice(dst.Type(), len(items), len(items))
	clean := true
	for i, item := range items {
		if item.isNull() && item.node != nil {
			d.add(item.Problemf("%s is empty", item.name()).WithHint("write a value after the hyphen, or remove the hyphen"))
			clean = false
			continue
		}
		clean = d.value(item, list.Index(i), f) && clean
	}
	dst.Set(list)
	return clean
}

func (d *decoder) mapping(v Value, dst reflect.Value, f field) bool {
	if v.node == nil || v.node.Kind != yaml.MappingNode {
		d.add(v.Problemf("%s must be a mapping of names to values, not %s", v.name(), v.what()).WithHint("write `name: value`, one a line, further to the right"))
		return false
	}
	m := reflect.MakeMap(dst.Type())
	clean := true
	for _, key := range v.Keys() {
		if !d.keyIsText(key) {
			clean = false
			continue
		}
		item := v.Field(key.node.Value)
		if item.node == nil || item.isNull() {
			d.add(key.Problemf("%s has no value", quote(key.node.Value)).WithHint("write a value after the colon, or remove the line"))
			clean = false
			continue
		}
		element := reflect.New(dst.Type().Elem()).Elem()
		if !d.value(item, element, f) {
			clean = false
			continue
		}
		m.SetMapIndex(reflect.ValueOf(key.node.Value).Convert(dst.Type().Key()), element)
	}
	dst.Set(m)
	return clean
}

// keyIsText reports whether a key is a text; one that is no scalar at all was
// reported by Parse.
func (d *decoder) keyIsText(key Value) bool {
	if key.node.Kind != yaml.ScalarNode || key.node.ShortTag() == "!!merge" {
		return false
	}
	if key.node.ShortTag() != "!!str" {
		d.add(key.Problemf("the key %s is not a text", quote(key.node.Value)).WithHint("quote it: %q", clip(key.node.Value)))
		return false
	}
	return true
}

func (d *decoder) structure(v Value, dst reflect.Value) bool {
	s := shapeOf(dst.Type())
	var clean bool
	switch {
	case v.node == nil || v.isNull():
		d.add(v.Problemf("%s is empty", v.name()).WithHint("it takes %s", list(s.keys(d.voc), "and")))
		return false
	case v.node.Kind == yaml.MappingNode:
		clean = d.fields(v, dst, s)
	case v.node.Kind == yaml.ScalarNode && s.shorthand != nil:
		clean = d.shorthand(v, dst, s)
	default:
		p := v.Problemf("%s must be a mapping, not %s", v.name(), v.what())
		d.add(p.WithHint("it takes %s", list(s.keys(d.voc), "and")))
		return false
	}
	if !clean {
		return false
	}
	if reflect.PointerTo(dst.Type()).Implements(checkerType) {
		for _, p := range dst.Addr().Interface().(Checker).Check(v) {
			d.add(p)
		}
	}
	return true
}

// shorthand decodes a bare scalar that stands for a whole struct.
func (d *decoder) shorthand(v Value, dst reflect.Value, s shape) bool {
	clean := true
	for _, f := range s.fields {
		switch {
		case f.key == s.shorthand.key:
			clean = d.value(v, dst.Field(f.index), f) && clean
		case f.required:
			d.add(v.Problemf("%s needs a %s too", v.name(), quote(f.key)).WithHint("write `%s: %s` and `%s: …`", s.shorthand.key, clip(v.node.Value), f.key))
			clean = false
		default:
			d.absent(dst.Field(f.index), f)
		}
	}
	return clean
}

// fields decodes the fields of a mapping.
func (d *decoder) fields(v Value, dst reflect.Value, s shape) bool {
	unknown, clean := d.unknown(v, s)
	for _, f := range s.fields {
		item := v.Field(f.key)
		switch {
		case item.node != nil && !item.isNull():
			clean = d.value(item, dst.Field(f.index), f) && clean
		case f.required && slices.Contains(unknown, f.key):
			clean = false // its misspelling was reported
		case f.required:
			d.missing(v, item, f)
			clean = false
		default:
			d.absent(dst.Field(f.index), f)
		}
	}
	if s.variant != nil {
		clean = d.variant(v, dst.Field(s.variant.index), s, len(unknown) > 0) && clean
	}
	return clean
}

// unknown reports the keys of v that s does not have, and returns what they were
// probably meant to be ("" where nothing is near).
func (d *decoder) unknown(v Value, s shape) (meant []string, clean bool) {
	known := s.keys(d.voc)
	clean = true
	for _, key := range v.Keys() {
		switch {
		case !d.keyIsText(key):
			meant, clean = append(meant, ""), false
			continue
		case slices.Contains(known, key.node.Value):
			continue
		}
		clean = false
		near := Suggest(key.node.Value, known)
		meant = append(meant, near)
		p := key.Problemf("unknown field %s", quote(key.node.Value))
		if near != "" {
			d.add(p.WithHint("did you mean %s?", quote(near)))
		} else {
			d.add(p.WithHint("%s takes %s", v.name(), list(known, "and")))
		}
	}
	return meant, clean
}

// missing reports a required field that is left out or empty.
func (d *decoder) missing(v, item Value, f field) {
	p := v.Problemf("%s has no %s", v.name(), quote(f.key))
	if item.node != nil {
		p = item.Problemf("%s is empty", item.name())
	}
	switch {
	case f.example != "":
		p = p.WithHint("add it, for example `%s: %s`", f.key, f.example)
	case len(f.enum) == 1:
		p = p.WithHint("add `%s: %s`", f.key, f.enum[0])
	case f.doc != "":
		p = p.WithHint("add `%s`: %s", f.key, f.doc)
	default:
		p = p.WithHint("add `%s`", f.key)
	}
	d.add(p)
}

// variant decodes the one key of a set of choices.
func (d *decoder) variant(v Value, dst reflect.Value, s shape, misspelt bool) bool {
	choices := s.choices(d.voc)
	var found *Choice
	clean := true
	for _, key := range v.Keys() {
		i := slices.Index(choices, key.node.Value)
		if i < 0 || key.node.Kind != yaml.ScalarNode {
			continue
		}
		if found != nil {
			d.add(key.Problemf("%s and %s exclude each other", quote(found.Key), quote(key.node.Value)).
				WithHint("keep one of them, and write the other as an entry of its own"))
			clean = false
			continue
		}
		found = &d.voc[s.variant.set][i]
	}
	if found == nil {
		if !misspelt {
			d.add(v.Problemf("%s does not say what it is", v.name()).WithHint("add one of %s", list(choices, "or")))
		}
		return false
	}
	at := v.Field(found.Key)
	spec := reflect.New(found.Type)
	if !d.value(at, spec.Elem(), field{}) {
		return false
	}
	dst.Set(reflect.ValueOf(Variant{Key: found.Key, Spec: spec.Interface(), At: at}))
	return clean
}

// absent fills a field that is left out: its default, and the defaults inside it.
func (d *decoder) absent(dst reflect.Value, f field) {
	t := dst.Type()
	switch {
	case f.initial != "" && t == textType:
		dst.Set(reflect.ValueOf(Text{Value: f.initial}))
	case f.initial != "":
		if err := setDefault(dst, f.initial); err != nil {
			panic("strict: the default of " + f.key + ": " + err.Error())
		}
	case t.Kind() == reflect.Struct && t != textType && t != valueType && t != variantType && !isScalar(t):
		for _, inner := range shapeOf(t).fields {
			d.absent(dst.Field(inner.index), inner)
		}
	}
}
