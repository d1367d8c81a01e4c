package strict_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/strict"
)

var breaks = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

func TestParseSplitsDocuments(t *testing.T) {
	const text = "# head\na: 1\n---\n# nothing\n---\na: 2\n...\n\na: 3\n---\na: |\n  ---\n"
	values, problems := strict.Parse("f", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got []string
	for _, v := range values {
		scalar, _ := v.Field("a").Scalar()
		got = append(got, fmt.Sprintf("%s from %q", scalar, v.Source()))
	}
	want := []string{
		`1 from "# head\na: 1\n"`,
		`2 from "---\na: 2\n...\n"`,
		`3 from "\na: 3\n"`,
		"---\n" + ` from "---\na: |\n  ---\n"`,
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestParseGoesOnAfterSyntaxErrors(t *testing.T) {
	values, problems := strict.Parse("f", []byte("a: 1\n---\na: [\n---\na: 2\n---\na: 'x\n---\n--- \na: b: c\nd: 'x\n---\na: 3\n"))
	var places []string
	for _, p := range problems {
		places = append(places, fmt.Sprintf("%d", p.Position.Line))
	}
	if got := strings.Join(places, " "); got != "3 7 10" {
		t.Errorf("problems are on the lines %s, want 3 7 10:\n%v", got, problems)
	}
	var got []string
	for _, v := range values {
		scalar, _ := v.Field("a").Scalar()
		got = append(got, scalar)
		for _, p := range problems {
			if v.SameDocument(p) {
				t.Errorf("the document %s is blamed for %v", scalar, p)
			}
		}
	}
	if strings.Join(got, " ") != "1 2 3" {
		t.Errorf("the sound documents are %q", got)
	}
}

func TestValue(t *testing.T) {
	values, _ := strict.Parse("f", []byte("spec:\n  faults:\n  - network: {delay: 1s}\n    empty:\n    odd key: x\n"))
	v := values[0]
	fault := v.Field("spec").Field("faults").Items()[0]
	for _, test := range []struct {
		value    strict.Value
		path     string
		line     int
		absent   bool
		scalar   string
		isScalar bool
	}{
		{v, "", 1, false, "", false},
		{fault.Field("network").Field("delay"), "spec.faults[0].network.delay", 3, false, "1s", true},
		{fault.Field("network").Field("loss"), "spec.faults[0].network.loss", 3, true, "", false},
		{fault.Field("network").Field("loss").Field("x"), "spec.faults[0].network.loss.x", 3, true, "", false},
		{fault.Field("empty"), "spec.faults[0].empty", 4, false, "", false},
		{fault.Field("odd key"), `spec.faults[0]["odd key"]`, 5, false, "x", true},
	} {
		scalar, isScalar := test.value.Scalar()
		if test.value.Path() != test.path || test.value.Position().Line != test.line || test.value.IsZero() != test.absent || scalar != test.scalar || isScalar != test.isScalar {
			t.Errorf("%s is at %s:%d, absent %v, scalar %q %v; want %+v", test.path, test.value.Path(), test.value.Position().Line, test.value.IsZero(), scalar, isScalar, test)
		}
	}
	if fault.Has("loss") || !fault.Has("network") || fault.Field("network").Items() != nil || len(v.Field("spec").Keys()) != 1 {
		t.Error("Has, Items or Keys is wrong")
	}
	var zero strict.Value
	if !zero.IsZero() || zero.Field("x").Position() != (strict.Position{}) || zero.Items() != nil || zero.Keys() != nil || zero.Source() != nil || zero.SameDocument(zero.Problemf("x")) {
		t.Error("the zero Value is not absent")
	}
	if problems := zero.Decode(new(rule), nil); len(problems) == 0 {
		t.Error("the zero Value is decoded")
	}
}

// Hostile files end soon, with few problems.
func TestParseIsBounded(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, strict.MaxSize/len(unit)) }
	for name, text := range map[string]string{
		"brackets":        fill("["),
		"braces":          fill("{a: "),
		"hyphens":         fill("- "),
		"empty items":     fill("-\n"),
		"question marks":  fill("? "),
		"commas":          "[" + fill("x,")[1:],
		"duplicates":      fill("a:\n"),
		"broken":          fill("---\n[\n"),
		"empty documents": fill("---\n"),
		"documents":       fill("a:\n---\n"),
		"tags":            fill("- !x y\n"),
		"anchors":         fill("- &a [x]\n- *a\n"),
		"one line":        "{" + fill("a: 1, ")[6:] + "}",
		"comments":        fill("# x\n"),
		"comments inside": "a:\n" + fill("  # x\n")[6:],
		"quotes":          `a: "` + fill(`\"`)[6:] + `"`,
		"text":            "a: |\n" + fill(" x\n")[6:],
		"keys":            fill("x: y\n? z\n"),
		"spaces":          fill(" "),
		"tabs":            fill("\t"),
		"too big":         fill("a: 1\n") + "more of it",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			values, problems := strict.Parse("f", []byte(text))
			for _, v := range values {
				problems = append(problems, v.Decode(new(rule), nil)...)
			}
			size := len(problems.Error())
			t.Logf("%d documents, %d problems of %d bytes, %s", len(values), len(problems), size, time.Since(start))
			if size > 200<<10 {
				t.Errorf("the problems have %d bytes", size)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("it took %s", took)
			}
		})
	}
}
