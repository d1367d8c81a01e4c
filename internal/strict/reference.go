package strict

import (
	"fmt"
	"reflect"
	"strings"
)

// Section is a part of a reference page: choices under a title. Where Set is not
// empty they are that set's of the Vocabulary.
type Section struct {
	Title   string
	Doc     string
	Set     string
	Choices []Choice
}

// Reference returns a page in Markdown that describes every field of the
// sections' choices: its type, default, meaning and an example.
func Reference(sections []Section, voc Vocabulary) []byte {
	w := referenceWriter{voc: voc}
	for _, section := range sections {
		choices := section.Choices
		if section.Set != "" {
			choices = voc[section.Set]
		}
		w.printf("\n## %s\n", section.Title)
		if section.Doc != "" {
			w.printf("\n%s\n", section.Doc)
		}
		for _, choice := range choices {
			w.choice(section.Set, choice)
		}
	}
	return []byte(w.b.String())
}

type referenceWriter struct {
	b   strings.Builder
	voc Vocabulary

	prefix string                  // of the anchors: a set, or a document
	seen   map[reflect.Type]string // the path where a type was described
	queue  []pending
}

// pending is a struct type that a table mentions, to be described after it.
type pending struct {
	path string
	typ  reflect.Type
}

func (w *referenceWriter) printf(format string, args ...any) { fmt.Fprintf(&w.b, format, args...) }

func (w *referenceWriter) choice(set string, choice Choice) {
	path := ""
	if w.prefix = choice.Key; set != "" {
		w.prefix, path = set, choice.Key
	}
	w.seen = map[reflect.Type]string{choice.Type: path}
	w.printf("\n<a id=\"%s\"></a>\n\n### `%s`\n", anchor(w.prefix, path), choice.Key)
	if choice.Doc != "" {
		w.printf("\n%s\n", choice.Doc)
	}
	w.table(path, shapeOf(choice.Type))
	for len(w.queue) > 0 {
		next := w.queue[0]
		w.queue = w.queue[1:]
		w.printf("\n<a id=\"%s\"></a>\n\n#### `%s`\n", anchor(w.prefix, next.path), next.path)
		w.table(next.path, shapeOf(next.typ))
	}
}

// table describes the fields of one mapping.
func (w *referenceWriter) table(path string, s shape) {
	if s.shorthand != nil {
		w.printf("\nA bare value stands for `%s`.\n", s.shorthand.key)
	}
	if len(s.fields) == 0 && s.variant == nil {
		w.printf("\nIt has no fields: write `{}`.\n")
		return
	}
	w.printf("\n| field | type | default | meaning | example |\n| --- | --- | --- | --- | --- |\n")
	if s.variant != nil {
		var links []string
		for _, choice := range w.voc[s.variant.set] {
			links = append(links, fmt.Sprintf("[`%s`](#%s)", choice.Key, anchor(s.variant.set, choice.Key)))
		}
		w.printf("| %s | mapping | exactly one is required | %s |  |\n", strings.Join(links, ", "), cell(s.variant.doc))
	}
	for _, f := range s.fields {
		initial := code(f.initial)
		if f.required {
			initial = "required"
		}
		w.printf("| `%s` | %s | %s | %s | %s |\n", f.key, w.typ(join(path, f.key), f.typ, f), initial, cell(f.doc), code(f.example))
	}
}

// typ names a field's type, and queues the mapping it leads to.
func (w *referenceWriter) typ(path string, t reflect.Type, f field) string {
	if described, ok := reflect.Zero(t).Interface().(Described); ok {
		return described.Noun()
	}
	switch {
	case len(f.enum) > 0 && t.Kind() != reflect.Slice && t.Kind() != reflect.Map:
		return cell(list(f.enum, "or"))
	case t == valueType:
		return "anything"
	case t == textType || isScalar(t):
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.typ(path, t.Elem(), f)
	case reflect.Slice:
		return "list of " + plural(w.typ(path+"[]", t.Elem(), f))
	case reflect.Map:
		return "mapping of names to " + plural(w.typ(path+".NAME", t.Elem(), f))
	case reflect.Struct:
		described, found := w.seen[t]
		if !found {
			described = path
			w.seen[t] = path
			w.queue = append(w.queue, pending{path, t})
		}
		return fmt.Sprintf("[mapping](#%s)", anchor(w.prefix, described))
	case reflect.String:
		return "text"
	}
	return strings.TrimPrefix(noun(t), "a ")
}

// plural makes a type's name, or a link of it, into that of several.
func plural(name string) string {
	if link, target, found := strings.Cut(name, "]("); found {
		return link + "s](" + target
	}
	if strings.ContainsAny(name, "` ") && name != "whole number" && name != "bit rate" {
		return name // an enumeration, or a list
	}
	if strings.HasSuffix(name, "s") {
		return name + "es"
	}
	return name + "s"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// anchor makes an HTML id of words.
func anchor(words ...string) string {
	fields := strings.FieldsFunc(strings.Join(words, " "), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	return strings.ToLower(strings.Join(fields, "-"))
}

func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + cell(text) + "`"
}
