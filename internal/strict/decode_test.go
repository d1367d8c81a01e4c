package strict_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/squallhq/squall/internal/strict"
)

type (
	level  string
	upper  string
	holder struct {
		Text    string            `yaml:"text" example:"some text"`
		Level   level             `yaml:"level" enum:"low|high" default:"low"`
		Levels  []level           `yaml:"levels" enum:"low|high" default:"[low, high]"`
		Bool    bool              `yaml:"bool" default:"true"`
		Int     int               `yaml:"int" default:"-7"`
		Small   int8              `yaml:"small"`
		Port    uint16            `yaml:"port"`
		Float   float64           `yaml:"float" default:"0.5"`
		Upper   upper             `yaml:"upper"`
		Address netip.Addr        `yaml:"address"`
		Labels  map[string]string `yaml:"labels"`
		Nested  nested            `yaml:"nested"`
		Pointer *nested           `yaml:"pointer"`
		List    []nested          `yaml:"list"`
		Expr    strict.Text       `yaml:"expr" default:"true"`
		Raw     strict.Value      `yaml:"raw"`
		Skipped int               `yaml:"-"`
	}
	nested struct {
		Name string `yaml:"name,shorthand" required:"true"`
		Size int    `yaml:"size" default:"3"`
	}
)

// UnmarshalText is that of a scalar whose notation is upper case.
func (u *upper) UnmarshalText(text []byte) error {
	if s := string(text); s == strings.ToUpper(s) {
		*u = upper(s)
		return nil
	}
	return errors.New("it is not in upper case: write " + strings.ToUpper(string(text)))
}

// Check refuses one name, whatever the rest.
func (n *nested) Check(at strict.Value) strict.Problems {
	if n.Name == "refused" {
		return strict.Problems{at.Field("name").Problemf("refused")}
	}
	return nil
}

func decode(t *testing.T, text string, into any, voc strict.Vocabulary) strict.Problems {
	t.Helper()
	values, problems := strict.Parse("f", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return values[0].Decode(into, voc)
}

func TestDecode(t *testing.T) {
	var h holder
	problems := decode(t, `
text: yes
level: high
levels: [high]
bool: false
int: 9223372036854775807
small: -128
port: 65535
float: 1e3
upper: "5"
address: 2001:db8::1
labels: {a: x, "true": y}
nested: short
pointer: {name: p}
list: [one, {name: two, size: 4}]
expr: a > b
raw: {any: [thing, 1]}
`, &h, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if item, _ := h.Raw.Field("any").Items()[0].Scalar(); item != "thing" || h.Raw.Path() != "raw" {
		t.Errorf("the raw value is %q at %q", item, h.Raw.Path())
	}
	if h.Expr.Value != "a > b" || h.Expr.At.Position().Line != 16 {
		t.Errorf("the text is %q on line %d", h.Expr.Value, h.Expr.At.Position().Line)
	}
	h.Raw, h.Expr = strict.Value{}, strict.Text{}
	want := holder{
		Text: "yes", Level: "high", Levels: []level{"high"}, Int: 1<<63 - 1, Small: -128, Port: 65535, Float: 1000, Upper: "5",
		Address: netip.MustParseAddr("2001:db8::1"), Labels: map[string]string{"a": "x", "true": "y"},
		Nested: nested{"short", 3}, Pointer: &nested{"p", 3}, List: []nested{{"one", 3}, {"two", 4}},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got  %+v\nwant %+v", h, want)
	}
}

func TestDecodeDefaults(t *testing.T) {
	for _, text := range []string{"{}", "{text: , level: ~, levels: null, nested: }"} {
		var h holder
		if problems := decode(t, text, &h, nil); len(problems) > 0 {
			t.Fatal(problems)
		}
		want := holder{
			Level: "low", Levels: []level{"low", "high"}, Bool: true, Int: -7, Float: 0.5,
			Nested: nested{Size: 3}, Expr: strict.Text{Value: "true"},
		}
		if !reflect.DeepEqual(h, want) {
			t.Errorf("%s: got  %+v\nwant %+v", text, h, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"text: 1":                  `f:1:7: 'text' must be a text, not the number '1' | quote it: "1"`,
		"text: true":               `f:1:7: 'text' must be a text, not the truth value 'true' | quote it: "true"`,
		"text: 1.5":                `f:1:7: 'text' must be a text, not the number '1.5' | quote it: "1.5"`,
		"text: 2026-01-02":         `f:1:7: 'text' must be a text, not the date '2026-01-02' | quote it: "2026-01-02"`,
		"text: {a: b}":             `f:1:7: 'text' must be a text, not a mapping | write a text, for example 'text: some text'`,
		"level: medium":            `f:1:8: 'level' cannot be 'medium' | write 'low' or 'high'`,
		"level: hihg":              `f:1:8: 'level' cannot be 'hihg' | did you mean 'high'?`,
		"levels: [low, mid]":       `f:1:15: 'levels[1]' cannot be 'mid' | write 'low' or 'high'`,
		"bool: 1":                  `f:1:7: 'bool' must be true or false, not the number '1' | write true or false; the default is 'bool: true'`,
		"bool: \"true\"":           `f:1:7: 'bool' must be true or false, not the text 'true' | write true or false; the default is 'bool: true'`,
		"int: 9223372036854775808": `f:1:6: 'int': '9223372036854775808' is outside -9223372036854775808 to 9223372036854775807 | write a whole number; the default is 'int: -7'`,
		"int: 0x10":                `f:1:6: 'int': '0x10' is not a plain decimal number | write a whole number; the default is 'int: -7'`,
		"int: 1_000":               `f:1:6: 'int': '1_000' is not a plain decimal number | write a whole number; the default is 'int: -7'`,
		"int: 1e3":                 `f:1:6: 'int' must be a whole number, not the number '1e3' | write a whole number; the default is 'int: -7'`,
		"small: 128":               `f:1:8: 'small': '128' is outside -128 to 127 | write a whole number`,
		"small: \"5\"":             `f:1:8: 'small' must be a whole number, not the text '5' | leave the quotes out`,
		"port: -1":                 `f:1:7: 'port': '-1' is outside 0 to 65535 | write a whole number`,
		"float: .nan":              `f:1:8: 'float': '.nan' is not a number within reach | write a number; the default is 'float: 0.5'`,
		"float: 1e999":             `f:1:8: 'float' must be a number, not the text '1e999' | write a number; the default is 'float: 0.5'`,
		"upper: abc":               `f:1:8: 'upper': it is not in upper case | write ABC`,
		"address: nowhere":         `f:1:10: 'address': ParseAddr("nowhere"): unable to parse IP | write a text`,
		"labels: {a: 1}":           `f:1:13: 'labels.a' must be a text, not the number '1' | quote it: "1"`,
		"labels: [a]":              `f:1:9: 'labels' must be a mapping of names to values, not a list | write 'name: value', one a line, further to the right`,
		"labels: {1: a}":           `f:1:10: the key '1' is not a text | quote it: "1"`,
		"nested: {size: 1}":        `f:1:9: 'nested' has no 'name' | add 'name'`,
		"nested: 5":                `f:1:9: 'nested' must be a text, not the number '5' | quote it: "5"`,
		"nested: [a]":              `f:1:9: 'nested' must be a mapping, not a list | it takes 'name' and 'size'`,
		"nested: refused":          `f:1:9: refused | `,
		"pointer: {name: refused}": `f:1:17: refused | `,
		"list: {name: a}":          `f:1:7: 'list' must be a list, not a mapping | put a hyphen before each item`,
		"list: [a, ~]":             `f:1:11: 'list[1]' is empty | write a value after the hyphen, or remove the hyphen`,
		"expr: 1":                  `f:1:7: 'expr' must be a text, not the number '1' | quote it: "1"`,
		"Skipped: 1":               `f:1:1: unknown field 'Skipped' | `,
		"nested: {namee: x}":       `f:1:10: unknown field 'namee' | did you mean 'name'?`,
	} {
		problems := decode(t, text, &holder{}, nil)
		if len(problems) != 1 {
			t.Errorf("%s: %d problems: %v", text, len(problems), problems)
			continue
		}
		first, _, _ := strings.Cut(problems[0].Error(), "\n")
		got := strings.ReplaceAll(first+" | "+problems[0].Hint, "`", "'")
		if hintless := strings.HasSuffix(want, " | "); got != want && (!hintless || !strings.HasPrefix(got, want)) {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

type (
	choice struct {
		Kind strict.Variant `yaml:",variant" variant:"kind"`
		Name string         `yaml:"name"`
	}
	checked struct {
		Part  nested `yaml:"part"`
		Other int    `yaml:"other"`
	}
)

func (*checked) Check(at strict.Value) strict.Problems {
	return strict.Problems{at.Problemf("the outer check")}
}

func TestDecodeVariant(t *testing.T) {
	voc := strict.Vocabulary{"kind": {
		{Key: "small", Type: reflect.TypeFor[nested]()},
		{Key: "large", Type: reflect.TypeFor[holder]()},
	}}
	var c choice
	if problems := decode(t, "name: x\nsmall: {name: y}\n", &c, voc); len(problems) > 0 {
		t.Fatal(problems)
	}
	if c.Kind.Key != "small" || *c.Kind.Spec.(*nested) != (nested{"y", 3}) || c.Kind.At.Position().Line != 2 {
		t.Errorf("the variant is %s %+v on line %d", c.Kind.Key, c.Kind.Spec, c.Kind.At.Position().Line)
	}
	for text, want := range map[string]string{
		"name: x":                     "does not say what it is",
		"{small: a, large: {}}":       "exclude each other",
		"{smal: a}":                   "unknown field `smal`",
		"{namee: x, small: a}":        "did you mean `name`?",
		"{small: }":                   "`small` is empty",
		"{small: refused}":            "refused",
		"{large: {nested: refused}}":  "refused",
		"{large: {port: 1, prot: 2}}": "did you mean `port`?",
	} {
		problems := decode(t, text, &choice{}, voc)
		if len(problems) != 1 || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: %d problems, want one with %q: %v", text, len(problems), want, problems)
		}
	}
}

// A Checker sees only what could be decoded; what other Checkers found does not
// keep it from looking.
func TestDecodeCallsCheckers(t *testing.T) {
	for text, want := range map[string]int{
		"part: fine":                1, // the outer check
		"part: refused":             2, // both
		"{part: fine, other: x}":    1, // not decoded: no check
		"{part: refused, other: x}": 2, // the inner part was decoded
	} {
		if problems := decode(t, text, &checked{}, nil); len(problems) != want {
			t.Errorf("%s: %d problems, want %d: %v", text, len(problems), want, problems)
		}
	}
}

func TestDecodeReportsEverything(t *testing.T) {
	problems := decode(t, "{txt: a, bool: 1, small: 1000, nested: {}, list: [{}, {nam: x}]}", &holder{}, nil)
	if len(problems) != 6 {
		t.Errorf("%d problems, want 6: %v", len(problems), problems)
	}
	problems = decode(t, "list: ["+strings.Repeat("{}, ", 1000)+"]", &holder{}, nil)
	if len(problems) != 100 {
		t.Errorf("%d problems, want no more than 100", len(problems))
	}
}

// A mistake in a type's tags is found by the first test that decodes it.
func TestDecodePanicsOnBadTypes(t *testing.T) {
	for name, into := range map[string]any{
		"no key": &struct{ A int }{},
		"bad default": &struct {
			A int `yaml:"a" default:"x"`
		}{},
		"no set": &struct {
			A strict.Variant `yaml:",variant"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			t.Error(decode(t, "{b: 1}", into, nil))
		}()
	}
}
