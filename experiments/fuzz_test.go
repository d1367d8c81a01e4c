package experiments_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/strict"
)

var lineBreak = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

// Whatever a file holds: no panic, every problem stands inside the file, and
// nothing of a problem's text can steer a terminal.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/broken/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("cannot find the seeds %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	voc := vocabulary()
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, problems := experiments.Load("f.yaml", data, voc)
		if len(problems) == 0 && len(docs.Experiments)+len(docs.Schedules) == 0 {
			t.Error("there is neither a document nor a problem")
		}
		lines := lineBreak.Split(string(data), -1)
		for _, p := range problems {
			checkProblem(t, lines, p)
		}
		for _, e := range docs.Experiments {
			for _, rule := range e.Spec.Guards.Admit {
				checkText(t, lines, rule.If)
			}
			for _, rule := range e.Spec.Guards.Abort {
				checkText(t, lines, rule.If)
			}
			if e.Spec.Duration() < e.Spec.Baseline.D() {
				t.Errorf("the run takes %s", e.Spec.Duration())
			}
			for _, fault := range e.Spec.Faults {
				if start, end := e.Spec.FaultWindow(fault); start >= end {
					t.Errorf("the fault %q lasts from %s to %s", fault.Name, start, end)
				}
			}
		}
	})
}

func checkText(t *testing.T, lines []string, text strict.Text) {
	for line := range 4 {
		for column := range 40 {
			checkProblem(t, lines, text.ProblemAt(line, column, "here"))
		}
	}
}

func checkProblem(t *testing.T, lines []string, p *strict.Problem) {
	at := p.Position
	if at.File != "f.yaml" || at.Line < 1 || at.Line > len(lines) || at.Column < 1 ||
		at.Column > utf8.RuneCountInString(lines[at.Line-1])+1 {
		t.Errorf("the problem %q stands at %+v, outside the file", p.Message, at)
	}
	text := p.Error()
	if len(text) > 16<<10 {
		t.Errorf("the problem %q has %d bytes", p.Message, len(text))
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7F && r < 0xA0 || r == 0x202E }); i >= 0 {
		t.Errorf("the problem holds the control character %q:\n%q", text[i], text)
	}
	if strings.Count(text, "\n") > 3 {
		t.Errorf("the problem has more lines than its own:\n%q", text)
	}
}
