package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors/all"
	"github.com/squallhq/squall/injectors/docker"
)

func TestTheExperimentsAreRight(t *testing.T) {
	client := docker.New() // it connects to nothing
	vocabulary := engine.Vocabulary(all.Registry(client))
	for _, o := range []Options{{}, {Docker: client}} {
		for _, a := range acts {
			text := o.document(a.document, "http://198.18.0.2:8080")
			documents, problems := experiments.Load(a.name, []byte(text), vocabulary)
			if len(problems) > 0 {
				t.Fatalf("%v", problems)
			}
			if len(documents.Experiments) != 1 || documents.Experiments[0].Metadata.Name != a.name {
				t.Fatalf("%s holds %d experiments", a.name, len(documents.Experiments))
			}
			if _, problems := engine.Compile(documents.Experiments[0]); len(problems) > 0 {
				t.Errorf("%v", problems)
			}
			if strings.Contains(text, "FRONT") || (o.Docker != nil) != strings.Contains(text, "docker: {name") {
				t.Errorf("not fitted:\n%s", text)
			}
		}
	}
}

func TestTheReportReplacesALinkAndIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	victim, page := filepath.Join(dir, "victim"), filepath.Join(dir, "report.html")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, page); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := Options{Out: &out, Report: page}
	if err := o.writeReport(&engine.Result{Verdict: engine.Held, Rollback: engine.Clean}); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(victim); err != nil || string(kept) != "mine" {
		t.Errorf("the link's file now holds %.20q, %v", kept, err)
	}
	if html, err := os.ReadFile(page); err != nil || !bytes.HasPrefix(html, []byte("<!doctype html>")) || !strings.Contains(out.String(), page) {
		t.Errorf("the report: %.20q, %v; said %q", html, err, out.String())
	}
	o.Report = filepath.Join(dir, "missing", "report.html")
	if err := o.writeReport(&engine.Result{}); err == nil {
		t.Error("a report was written to a folder that is not there")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".squall-report-*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestADemoThatCannotOpenRunsNothing(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), Options{
		Out: &out, Program: filepath.Join(t.TempDir(), "missing"), Docker: docker.New(),
		Run: func(context.Context, string) (*engine.Result, error) { return nil, errors.New("it ran") },
	})
	if err == nil || strings.Contains(err.Error(), "it ran") {
		t.Errorf("err = %v", err)
	}
}
