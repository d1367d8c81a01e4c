package strict_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/squallhq/squall/internal/strict"
)

type rule struct {
	If strict.Text `yaml:"if,shorthand" required:"true"`
}

// The place of a character of the text is shown where it stands in the file,
// whatever the scalar's style.
func TestTextProblemAt(t *testing.T) {
	for name, text := range map[string]string{
		"plain":               "if: a + § + b\n",
		"shorthand":           "a + § + b\n",
		"after spaces":        "if:    a + § + b\n",
		"plain over lines":    "if: a +\n  b + § + c\n",
		"plain, empty lines":  "if: a +\n\n\n  b + § + c\n",
		"plain, blank ends":   "if: a +   \n  b + § + c\n",
		"single quoted":       "if: 'a + § + b'\n",
		"doubled quotes":      "if: 'it''s a ''x'' + §'\n",
		"single over lines":   "if: 'a\n\n  b §'\n",
		"double quoted":       "if: \"a + § + b\"\n",
		"escapes":             `if: "a\t\"x\" \x41\u00e9\U0001F600 §"` + "\n",
		"escaped line break":  "if: \"a \\\n   b §\"\n",
		"double over lines":   "if: \"a\n   b\n\n   §\"\n",
		"literal":             "if: |\n  a\n    b §\n  c\n",
		"literal, stripped":   "if: |-\n  a §\n",
		"literal, kept":       "if: |+ # kept\n  a\n  §\n\n\n",
		"literal, empty line": "if: |\n\n\n  a\n\n  b §\n",
		"folded":              "if: >\n  a\n  b §\n  c\n",
		"folded paragraphs":   "if: >\n  a\n\n\n  b §\n",
		"folded, indented":    "if: >\n  a\n    b\n  c\n\n    d\n  e §\n",
		"in a list":           "rules:\n- if: |\n    a\n    §\n",
		"in a flow mapping":   "rules: [{if: \"a + § \"}]\n",
		"anchored":            "if: &x a + §\n",
		"tagged":              "if: !!str a + §\n",
		"tagged and anchored": "if: !!str &x 'a + §'\n",
		"aliased":             "x: &x a + §\nif: *x\n",
		"carriage returns":    "if: |\r\n  a\r\n  b §\r\n",
		"not ASCII":           "if: äöü + § + b\n",
		"byte order mark":     "\ufeffif: a + §\n",
		"second document":     "a: 1\n---\nif: a + §\n",
	} {
		t.Run(name, func(t *testing.T) {
			values, problems := strict.Parse("f.yaml", []byte(text))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			v := values[len(values)-1]
			if list := v.Field("rules").Items(); list != nil {
				v = list[0]
			}
			var r rule
			if problems := v.Decode(&r, nil); len(problems) > 0 && !v.Has("x") {
				t.Fatal(problems)
			}
			value := r.If.Value
			before, _, found := strings.Cut(value, "§")
			if !found {
				t.Fatalf("the text is %q", value)
			}
			line := strings.Count(before, "\n") + 1
			column := utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:]) + 1
			p := r.If.ProblemAt(line, column, "here")
			lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
			shown := []rune(lines[p.Position.Line-1])
			if i := p.Position.Column - 1; i >= len(shown) || shown[i] != '§' {
				t.Errorf("the place %d:%d of the text %q is shown at %d:%d:\n%v", line, column, value, p.Position.Line, p.Position.Column, p)
			}
		})
	}
}

func TestTextProblemAtIsBestEffort(t *testing.T) {
	values, _ := strict.Parse("f", []byte("- abc\n- |2\n    abc\n- ''\n- [a]\n"))
	items := values[0].Items()
	for _, test := range []struct {
		text         strict.Text
		line, column int
		want         string
	}{
		{strict.Text{Value: "abc", At: items[0]}, 1, 99, "1:6"}, // past the end: the end
		{strict.Text{Value: "abc", At: items[0]}, 99, 1, "1:6"},
		{strict.Text{Value: "abc", At: items[0]}, 0, 0, "1:3"},
		{strict.Text{Value: "abc", At: items[0]}, -5, -5, "1:3"},
		{strict.Text{Value: "  abc\n", At: items[1]}, 1, 4, "2:3"}, // an indentation that is not known here: the beginning
		{strict.Text{Value: "", At: items[2]}, 1, 1, "4:4"},
		{strict.Text{Value: "x", At: items[3]}, 1, 1, "5:3"}, // no scalar
		{strict.Text{Value: "x"}, 1, 1, "0:0"},               // no place
	} {
		p := test.text.ProblemAt(test.line, test.column, "here")
		if got := fmt.Sprintf("%d:%d", p.Position.Line, p.Position.Column); got != test.want {
			t.Errorf("the place %d:%d of %q is shown at %s, want %s", test.line, test.column, test.text.Value, got, test.want)
		}
	}
}

// Whatever a scalar looks like, its characters are found at themselves: what
// stands at a place is the text's character, unless the file writes it otherwise
// (an escape, a folded line break).
func FuzzTextProblemAt(f *testing.F) {
	for _, seed := range []string{"if: a b\n", "if: 'a''b\n\n c'\n", "if: \"a\\n\\x41\\\n  b\"\n", "if: |\n a\n  b\n", "if: >-\n a\n b\n\n  c\n d\n", "if: &x !!str a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, _ := strict.Parse("f", []byte(text))
		for _, v := range values {
			value, found := v.Field("if").Scalar()
			if !found || len(value) > 200 {
				continue
			}
			checkPlaces(t, text, strict.Text{Value: value, At: v.Field("if")})
		}
	})
}

func checkPlaces(t *testing.T, source string, text strict.Text) {
	start := text.At.Position()
	lines := breaks.Split(strings.TrimPrefix(source, "\ufeff"), -1)
	line, column := 1, 0
	for _, want := range text.Value {
		column++
		p := text.ProblemAt(line, column, "here").Position
		if want == '\n' {
			line, column = line+1, 0
			continue
		}
		if p.Line == start.Line && p.Column == start.Column {
			continue // given up
		}
		shown := []rune(lines[p.Line-1])
		if p.Column > len(shown) {
			if want != ' ' {
				t.Errorf("%q of %q is shown at the end of line %d", want, text.Value, p.Line)
			}
			continue
		}
		if got := shown[p.Column-1]; got != want && got != '\\' && (want != ' ' || got != '\t') {
			t.Errorf("%q of %q is shown at %q, %d:%d of %q", want, text.Value, got, p.Line, p.Column, source)
		}
	}
}
