package strict_test

import (
	"strings"
	"testing"

	"github.com/squallhq/squall/internal/strict"
)

// at returns the problem of the first document's value under key.
func at(t *testing.T, text, key string) *strict.Problem {
	t.Helper()
	values, problems := strict.Parse("f.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return values[0].Field(key).Problemf("wrong")
}

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, test := range map[string]struct{ text, key, want string }{
		"plain":         {"a: 1\nkey: value\n", "key", "f.yaml:2:6: wrong\n    2 | key: value\n      |      ^^^^^"},
		"quoted":        {"key: 'it''s' # it\n", "key", "f.yaml:1:6: wrong\n    1 | key: 'it''s' # it\n      |      ^^^^^^^"},
		"double quoted": {`key: "a\"b" # c`, "key", "f.yaml:1:6: wrong\n    1 | key: \"a\\\"b\" # c\n      |      ^^^^^^"},
		"over lines":    {"key: 'a\n  b'\n", "key", "f.yaml:1:6: wrong\n    1 | key: 'a\n      |      ^^"},
		"block":         {"key: |\n  a\n", "key", "f.yaml:1:6: wrong\n    1 | key: |\n      |      ^"},
		"list":          {"key: [a]\n", "key", "f.yaml:1:6: wrong\n    1 | key: [a]\n      |      ^"},
		"alias":         {"a: &x [1]\nkey: *x\n", "key", "f.yaml:2:6: wrong\n    2 | key: *x\n      |      ^^"},
		"missing field": {"a: 1\n", "key", "f.yaml:1:1: wrong\n    1 | a: 1\n      | ^"},
		"tab":           {"key:\tvalue\n", "key", "f.yaml:1:6: wrong\n    1 | key:\tvalue\n      |     \t^^^^^"},
		"wide":          {"{日本: 1, key: value}\n", "key", "f.yaml:1:14: wrong\n    1 | {日本: 1, key: value}\n      |                ^^^^^"},
		"combining":     {"{e\u0301: 1, key: value}\n", "key", "f.yaml:1:14: wrong\n    1 | {e\u0301: 1, key: value}\n      |             ^^^^^"},
		"hidden":        {"{\"\u202e\": 1, key: value}\n", "key", "f.yaml:1:15: wrong\n    1 | {\"\\u202e\": 1, key: value}\n      |                    ^^^^^"},
		"byte order":    {"\ufeffkey: value\n", "key", "f.yaml:1:6: wrong\n    1 | key: value\n      |      ^^^^^"},
		"carriage":      {"a: 1\r\nkey: value\r\n", "key", "f.yaml:2:6: wrong\n    2 | key: value\n      |      ^^^^^"},
		"next line":     {"a: 1\u0085key: value\u0085", "key", "f.yaml:2:6: wrong\n    2 | key: value\n      |      ^^^^^"},
		"long line":     {"{a: " + long + ", key: value}\n", "key", "f.yaml:1:312: wrong\n    1 | …" + strings.Repeat("x", 87) + ", key: value}\n      |  " + strings.Repeat(" ", 94) + "^^^^^"},
		"long value":    {"key: " + long + "\n", "key", "f.yaml:1:6: wrong\n    1 | key: " + strings.Repeat("x", 95) + "…\n      |      " + strings.Repeat("^", 95)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := at(t, test.text, test.key).Error(); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestProblemCannotSteerTerminal(t *testing.T) {
	values, _ := strict.Parse("evil\x1b]0;x\a.yaml", []byte("a: 1\n"))
	p := values[0].Problemf("one\ntwo \x1b[31m \u202e \x80").WithHint("three\r%s", strings.Repeat("y", 10_000))
	got := p.Error()
	for _, want := range []string{`evil\x1b]0;x\a.yaml:1:1: one two \x1b[31m \u202e \x80`, `hint: three yyy`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if len(got) > 2000 {
		t.Errorf("the problem has %d bytes", len(got))
	}
}

func TestProblemsAreSorted(t *testing.T) {
	values, _ := strict.Parse("f", []byte("a: 1\nb: 2\nc: 3\n"))
	v := values[0]
	problems := strict.Problems{v.Field("c").Problemf("third"), v.Field("a").Problemf("first"), v.Field("b").Problemf("second"), v.Field("a").Problemf("also first")}
	text := problems.Error()
	last := -1
	for _, word := range []string{" first", "also first", "second", "third"} {
		i := strings.Index(text, word)
		if i < last {
			t.Errorf("%q comes too early in\n%s", word, text)
		}
		last = i
	}
}

func TestNoProblemIsNoError(t *testing.T) {
	if err := (strict.Problems{}).Err(); err != nil {
		t.Errorf("no problem is the error %v", err)
	}
	if err := (strict.Problems{{Message: "x"}}).Err(); err == nil || err.Error() != "x" {
		t.Errorf("a problem without a position is %v", err)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"delay", "jitter", "loss", "duplicate", "allowIrreversible", "at", "if"}
	for word, want := range map[string]string{
		"dealy":                       "delay",
		"Delay":                       "delay",
		"dela":                        "delay",
		"jiter":                       "jitter",
		"los":                         "loss",
		"duplikate":                   "duplicate",
		"allow_ireversible":           "allowIrreversible",
		"aat":                         "at",
		"fi":                          "if",
		"x":                           "",
		"":                            "",
		"severity":                    "",
		"zz":                          "",
		strings.Repeat("delay", 1000): "",
	} {
		if got := strict.Suggest(word, known); got != want {
			t.Errorf("Suggest(%.20q) is %q, want %q", word, got, want)
		}
	}
	if got := strict.Suggest("delay", nil); got != "" {
		t.Errorf("Suggest among nothing is %q", got)
	}
}
