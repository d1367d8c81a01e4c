package target

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/strict"
)

func TestPattern(t *testing.T) {
	for _, test := range []struct {
		text    string
		yes, no string
	}{
		{"payments", "payments", "payments-db"},
		{"a.c", "a.c", "abc"},
		{"/pay.*/", "payments", "my-payments"},
		{"/pay|ship/", "ship", "shipping"},
		{"/(?i)web/", "WEB", "webs"},
		{"/a.b/", "a\nb", "a\nb\n"},
		{"/", "/", ""},
		{"//", "//", ""},
		{"", "", "x"},
		{"/usr/bin/x", "/usr/bin/x", "usr/bin/x"},
	} {
		var p Pattern
		if err := p.UnmarshalText([]byte(test.text)); err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if !p.Match(test.yes) || p.Match(test.no) {
			t.Errorf("%q: matches %q: %v, matches %q: %v", test.text, test.yes, p.Match(test.yes), test.no, p.Match(test.no))
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, text := range []string{"a", "/a/", "/(/", "/a)(b/", "//", "/\\/"} {
		f.Add(text, "a")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		var p Pattern
		if p.UnmarshalText([]byte(text)) != nil {
			return
		}
		if p.re == nil && p.Match(value) != (text == value) {
			t.Errorf("%q matches %q", text, value)
		}
		if again, err := p.MarshalText(); err != nil || string(again) != text {
			t.Errorf("%q is written as %q", text, again)
		}
	})
}

func TestSelectorProblems(t *testing.T) {
	for _, test := range []struct {
		text string
		spec any
		want string // the first problem, or "" for none
	}{
		{"labels: {tier: 1, app: /pay.*/}", &Docker{}, ""},
		{"{project: shop, service: /a|b/}", &Docker{}, ""},
		{"id: 4f1d2c3b4a59", &Docker{}, ""},
		{"name: /pay(/", &Docker{}, "1:7: "},
		{"labels: {tier: '/[/'}", &Docker{}, "1:16: "},
		{"{}", &Docker{}, "1:1: the selector would match every container"},
		{"labels: {}", &Docker{}, "1:1: the selector would match every container"},
		{"id: web", &Docker{}, "1:5: \"web\" is not a container's id"},
		{"name: ''", &Docker{}, "1:7: `name` is empty"},
		{"name: shop", &NetNS{}, ""},
		{"path: /run/netns/shop", &NetNS{}, ""},
		{"path: shop", &NetNS{}, "1:7: \"shop\" is not an absolute path"},
		{"{name: a, path: /b}", &NetNS{}, "1:17: `name` and `path` exclude each other"},
		{"{}", &NetNS{}, "1:1: the selector does not say which namespace"},
		{"interface: eth0", &Host{}, ""},
		{"interface: a/b", &Host{}, "1:12: \"a/b\" is not an interface's name"},
		{"interface: sixteen-letters-", &Host{}, "1:12: "},
		{"{}", &Host{}, "1:1: "},
		{"pid: 12", &Process{}, ""},
		{"{name: postgres, cmdline: /.*5432.*/}", &Process{}, ""},
		{"pid: 0", &Process{}, "1:6: 0 is not the number of a process"},
		{"{pid: 1, name: x}", &Process{}, "1:7: `pid` excludes"},
		{"{}", &Process{}, "1:1: the selector would match every process"},
	} {
		documents, problems := strict.Parse("t.yaml", []byte(test.text))
		if len(problems) > 0 {
			t.Fatalf("%s: %v", test.text, problems)
		}
		got := documents[0].Decode(test.spec, nil).Error()
		if test.want == "" && got != "" || !strings.HasPrefix(strings.TrimPrefix(got, "t.yaml:"), test.want) {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}

func TestPick(t *testing.T) {
	var targets []injectors.Target
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		targets = append(targets, injectors.Target{Name: name, ID: "id-" + name})
	}
	for _, test := range []struct {
		count   int
		percent float64
		want    int
	}{{0, 0, 7}, {3, 0, 3}, {9, 0, 7}, {0, 50, 4}, {0, 1, 1}, {0, 100, 7}, {0, 100.0 / 7, 1}, {0, 300.0 / 7, 3}} {
		if got := Pick(targets, test.count, test.percent, 7); len(got) != test.want {
			t.Errorf("count %d, percent %g: picked %d, want %d", test.count, test.percent, len(got), test.want)
		}
	}
	seen := map[string]bool{}
	for seed := range int64(200) {
		seen[Pick(targets, 1, 0, seed)[0].Name] = true
	}
	if len(seen) != len(targets) {
		t.Errorf("200 seeds pick only %v", seen)
	}
}

// A pick depends on the names and the seed alone: not on the order, and not on
// targets that are not picked.
func TestPickIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringN(1, 5, -1), 2, 12, rapid.ID).Draw(t, "names")
		seed := rapid.Int64().Draw(t, "seed")
		count := rapid.IntRange(1, len(names)).Draw(t, "count")
		var targets []injectors.Target
		for _, name := range names {
			targets = append(targets, injectors.Target{Name: name, ID: name})
		}
		picked := map[string]bool{}
		for _, p := range Pick(targets, count, 0, seed) {
			picked[p.Name] = true
		}
		if len(picked) != count {
			t.Fatalf("picked %d of %d", len(picked), count)
		}
		for i := len(targets) - 1; i >= 0; i-- { // the other way round, and one unpicked less
			if !picked[targets[i].Name] {
				targets = append(targets[:i], targets[i+1:]...)
				break
			}
		}
		for i, j := 0, len(targets)-1; i < j; i, j = i+1, j-1 {
			targets[i], targets[j] = targets[j], targets[i]
		}
		for _, p := range Pick(targets, count, 0, seed) {
			if !picked[p.Name] {
				t.Fatalf("%q was not picked before", p.Name)
			}
		}
	})
}
