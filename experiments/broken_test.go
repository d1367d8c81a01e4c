package experiments_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/squallhq/squall/experiments"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// Every rule has a document that breaks it, named after the rule.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Fatalf("found %d broken documents in testdata, want 30 or more", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, problems := experiments.Load(filepath.Base(file), data, vocabulary())
			if len(problems) == 0 {
				t.Fatal("the broken document loads without a problem")
			}
			for _, p := range problems {
				if p.Hint == "" {
					t.Errorf("a problem has no hint:\n%v", p)
				}
				if !excerpt.MatchString(p.Error()) {
					t.Errorf("a problem has no position, line and caret:\n%v", p)
				}
			}
			got := problems.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

var excerpt = regexp.MustCompile(`^[^\n]+\.yaml:\d+:\d+: [^\n]+\n *\d+ \| [^\n]*\n *\| [ \t]*\^+\n  hint: [^\n]+$`)
