package guard

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/safety/sli"
)

// The examples of docs/guards.md compile.
func TestDocumentedRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/guards.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```cel\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/guards.md has no block of rules")
	}
	sampling := sli.Sampling{Every: time.Second, Timeout: time.Second}
	compiler := NewCompiler(Env{
		SLIs:     map[string]sli.Unit{"checkout": sli.Latency, "errors": sli.Number},
		Faults:   []string{"slow"},
		Targets:  []string{"payments"},
		Sampling: map[string]sli.Sampling{"checkout": sampling, "errors": sampling},
	})
	count := 0
	for line := range strings.Lines(block) {
		if _, problems := compiler.Compile(text(t, strings.TrimSpace(line))); len(problems) > 0 {
			t.Error(problems)
		}
		count++
	}
	if count < 10 {
		t.Errorf("%d rules", count)
	}
}
